"""The last layer, learned anew each night: multinomial logistic regression on fixed features."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agent.vision.types import FloatArray

Ints = npt.NDArray[np.int64]
STEPS: Final = 150
DECAY: Final = 3e-3
SMOOTHING: Final = 0.05
"""Of targets: a labeller that errs must not be believed to the last."""
BALANCE: Final = 0.5
"""Classes weigh as the root of their share, as in the trainer."""
UNSEEN: Final = -20.0
"""Bias of classes without a label."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Weights of the last layer on standardised features."""

    kernel: FloatArray
    bias: FloatArray
    mean: FloatArray
    spread: FloatArray

    def logits(self, features: FloatArray) -> FloatArray:
        """Return logits, shape (n, classes)."""
        inputs = (features - self.mean) / self.spread
        return np.asarray(inputs @ self.kernel + self.bias, np.float32)

    def scores(self, features: FloatArray) -> FloatArray:
        """Return probabilities, shape (n, classes)."""
        return softmax(self.logits(features))


def softmax(logits: FloatArray) -> FloatArray:
    """Return probabilities by row."""
    exps = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exps / exps.sum(axis=1, keepdims=True), np.float32)


def learn(features: FloatArray, labels: Ints, weights: FloatArray, classes: int) -> Head:
    """Fit the layer by accelerated gradient descent (Y. Nesterov 1983), always the same way.

    Args:
        features: Shape (n, width).
        labels: Class of each.
        weights: Of each example; those of a class are then scaled by `BALANCE`.
        classes: So many outputs.
    """
    mean, spread = features.mean(axis=0), features.std(axis=0) + np.float32(1e-3)
    inputs = ((features - mean) / spread).astype(np.float32)
    mass = np.bincount(labels, weights, classes)
    share = weights * np.maximum(mass, 1e-9)[labels] ** -BALANCE
    share = (share / share.sum()).astype(np.float32)[:, None]
    target = _targets(labels, mass > 0)
    # The Hessian of softmax is at most half the second moment of its inputs (D. Böhning 1992).
    steepest = 0.5 * float(np.linalg.norm((inputs * share).T @ inputs, 2)) + 0.5 + DECAY
    rate = np.float32(1 / steepest)
    kernel = np.zeros((inputs.shape[1], classes), np.float32)
    bias = np.where(mass > 0, 0, UNSEEN).astype(np.float32)
    ahead_kernel, ahead_bias, time = kernel, bias, 1.0
    for _ in range(STEPS):
        gap = share * (softmax(inputs @ ahead_kernel + ahead_bias) - target)
        next_kernel = ahead_kernel - rate * (inputs.T @ gap + np.float32(DECAY) * ahead_kernel)
        next_bias = ahead_bias - rate * gap.sum(axis=0) * (mass > 0)
        later = (1 + (1 + 4 * time * time) ** 0.5) / 2
        momentum = np.float32((time - 1) / later)
        ahead_kernel = next_kernel + momentum * (next_kernel - kernel)
        ahead_bias = next_bias + momentum * (next_bias - bias)
        kernel, bias, time = next_kernel, next_bias.astype(np.float32), later
    return Head(kernel, bias, mean, spread)


def _targets(labels: Ints, seen: npt.NDArray[np.bool_]) -> FloatArray:
    target = np.zeros((len(labels), len(seen)), np.float32)
    target[:, seen] = SMOOTHING / int(seen.sum())
    target[np.arange(len(labels)), labels] += 1 - SMOOTHING
    return target
