"""How far scores can be believed: calibration error, likelihood, temperature. Pure."""

from typing import Final

import numpy as np
import numpy.typing as npt

from agent.vision.types import FloatArray

IntArray = npt.NDArray[np.int64]
BINS: Final = 15
TINY: Final = 1e-12
"""Stands in for a probability of 0 under the logarithm."""
LOWEST: Final = 0.05
HIGHEST: Final = 20.0
"""Temperatures that are tried."""
NEWTON_STEPS: Final = 30


def expected_calibration_error(scores: FloatArray, right: npt.NDArray[np.bool_]) -> float:
    """Return the mean gap between confidence and accuracy over 15 equal-mass bins.

    Args:
        scores: Probability of the predicted class, shape (n,), n >= 1.
        right: Whether it was the class, shape (n,).

    Returns:
        0..1, weighted by the bins' sizes.
    """
    order = np.argsort(scores, kind="stable")
    bins = np.array_split(order, min(BINS, len(order)))
    gaps = [abs(float(scores[b].mean()) - float(right[b].mean())) * len(b) for b in bins]
    return sum(gaps) / len(order)


def negative_log_likelihood(logits: FloatArray, classes: IntArray, temperature: float) -> float:
    """Return the mean of -log softmax(logits / T) at the true class.

    Args:
        logits: Shape (n, classes), n >= 1.
        classes: True class indices, shape (n,).
        temperature: > 0.
    """
    scaled = logits.astype(np.float64) / temperature
    peak = scaled.max(axis=1, keepdims=True)
    total = peak[:, 0] + np.log(np.exp(scaled - peak).sum(axis=1))
    return float((total - scaled[np.arange(len(classes)), classes]).mean())


def fit_temperature(logits: FloatArray, classes: IntArray) -> float:
    """Return the temperature that makes the true classes likeliest (Guo et al. 2017).

    Golden-section search on its logarithm, in which the likelihood has one valley.
    """
    share = (5**0.5 - 1) / 2
    low, high = np.log(LOWEST), np.log(HIGHEST)
    for _ in range(40):
        left, right = high - share * (high - low), low + share * (high - low)
        if negative_log_likelihood(logits, classes, float(np.exp(left))) < negative_log_likelihood(
            logits, classes, float(np.exp(right))
        ):
            high = right
        else:
            low = left
    return round(float(np.exp((low + high) / 2)), 4)


def fit_platt(logits: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return temperature and offset that make sigmoid((logit - offset) / T) the share of right.

    Logistic regression by Newton's method, with targets a little inside 0..1, so that it ends
    (J. Platt, "Probabilistic outputs for support vector machines", 1999).

    Args:
        logits: Shape (n,).
        right: Shape (n,).

    Returns:
        1 and 0 where there is nothing to fit, or where higher logits are right less often.
    """
    hits = int(right.sum())
    if not 0 < hits < len(right):
        return 1.0, 0.0
    high, low = (hits + 1) / (hits + 2), 1 / (len(right) - hits + 2)
    targets = np.where(right, high, low)
    inputs = np.stack([logits, np.ones_like(logits)], axis=1)
    # From logits as they are: from a flat start Newton's steps overshoot where hits are rare.
    weights = np.array([1.0, 0.0])
    for _ in range(NEWTON_STEPS):
        shares = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        slopes = inputs.T @ (shares - targets)
        curve = (inputs * (shares * (1 - shares))[:, None]).T @ inputs + 1e-6 * np.eye(2)
        weights -= np.linalg.solve(curve, slopes)
    slope, start = (float(w) for w in weights)
    if not 1 / HIGHEST <= slope <= 1 / LOWEST:
        return 1.0, 0.0
    return 1 / slope, -start / slope
