"""From output tensor to calibrated scores. Pure."""

import math
from typing import Final

import numpy as np

from agent.vision.preprocess import Quantisation, Tensor
from agent.vision.types import FloatArray

FLOOR: Final = 1e-6
"""Stands in for a probability of 0; small enough that 1,000 classes at it add nothing."""
TINY: Final = 1e-30
"""Stands in for a sum of exponentials that vanished."""


def dequantise(raw: Tensor, quantisation: Quantisation) -> FloatArray:
    """Return real values as float32; a float tensor passes through."""
    if quantisation.scale == 0.0:
        return raw.astype(np.float32)
    # Subtract as float: int8 minus a zero point overflows in int8.
    values: FloatArray = raw.astype(np.float32) - np.float32(quantisation.zero_point)
    values *= np.float32(quantisation.scale)
    return values


def to_logits(values: FloatArray, probabilities: bool) -> FloatArray:
    """Return logits; of softmax outputs their logarithm, floored so that zeros stay finite."""
    return np.log(np.maximum(values, FLOOR)) if probabilities else values


def calibrated(
    logits: FloatArray, temperature: float, classes: int | None = None
) -> tuple[FloatArray, float]:
    """Return probabilities and energy at a temperature.

    Args:
        logits: Shape (outputs,).
        temperature: > 0.
        classes: So many outputs, the first, are classes of the task; None: all.

    Returns:
        softmax(logits / T), shape (outputs,), and -T * logsumexp(logits of classes / T).
    """
    scaled = logits / np.float32(temperature)
    peak = scaled.max()
    exps = np.exp(scaled - peak)
    total = float(exps.sum())
    known = total if classes is None else max(TINY, float(exps[:classes].sum()))
    return exps / np.float32(total), -temperature * (float(peak) + math.log(known))


def best_two(scores: FloatArray) -> tuple[int, float, float]:
    """Return index and score of the best class, and the margin to the second (1 class: score)."""
    index = int(scores.argmax())
    best = float(scores[index])
    # A partition takes many times as long where most scores tie.
    others = scores.copy()
    others[index] = 0.0
    return index, best, best - float(others.max())


def top_k(scores: FloatArray, k: int) -> list[int]:
    """Return the indices of the k best classes, best first."""
    return [int(i) for i in np.argsort(scores)[::-1][:k]]
