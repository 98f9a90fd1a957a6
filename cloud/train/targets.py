"""What the network is asked to answer. Pure."""

import numpy as np

from agent.vision.types import FloatArray


def softened(
    one_hot: FloatArray, smoothing: float, answers: FloatArray | None = None, share: float = 0.0
) -> FloatArray:
    """Return training targets, each row a distribution.

    Cross-entropy is linear in its targets, so a share of the teacher's answer in them is
    distillation (Hinton et al. 2015, arXiv 1503.02531) without a loss of its own.

    Args:
        one_hot: True classes, shape (batch, classes).
        smoothing: Share spread evenly over all classes, 0..1 (Szegedy et al. 2016).
        answers: A teacher's probabilities for the same images, shape (batch, classes).
        share: The teacher's share of the target, 0..1.
    """
    even = smoothing / one_hot.shape[1]
    smooth = np.asarray(one_hot * (1 - smoothing) + even, np.float32)
    if answers is None:
        return smooth
    return np.asarray((1 - share) * smooth + share * answers, np.float32)


def mean_answer(logits: tuple[FloatArray, ...], temperature: float) -> FloatArray:
    """Return the mean probabilities of some teachers.

    Args:
        logits: Of each teacher, shape (batch, classes).
        temperature: > 0; above 1 it shows which wrong classes are nearly right.
    """
    scaled = np.stack(logits).astype(np.float64) / temperature
    exps = np.exp(scaled - scaled.max(axis=2, keepdims=True))
    return np.asarray((exps / exps.sum(axis=2, keepdims=True)).mean(axis=0), np.float32)
