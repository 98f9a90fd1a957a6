"""How well a score ranks what it should rank, and how sure a figure is. Pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]

RESAMPLES: Final = 1_000
CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds between which a figure lies."""

    low: float
    high: float


def auroc(scores: Values, positive: Flags) -> float | None:
    """Return the area under the ROC curve: how well scores tell positives from the rest.

    It is the chance that a positive has the higher score of a random pair, equals counted half:
    exact, from mid-ranks (H. Mann and D. Whitney, Ann. Math. Statist. 18, 1947).

    Args:
        scores: High where positive, shape (n,).
        positive: Shape (n,).

    Returns:
        0..1; 0.5 is chance. None where all or none are positive.
    """
    ones = int(positive.sum())
    zeros = len(positive) - ones
    if not ones or not zeros:
        return None
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    # Equal values share the mean of the ranks that they take up, counted from 1.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return (float(ranks[positive].sum()) - ones * (ones + 1) / 2) / (ones * zeros)


def share_caught(uncertainty: Values, wrong: Flags, share: float) -> float | None:
    """Return which share of the errors is among the least sure `share` of all.

    A group of equals that the limit cuts through counts in part: what would be caught on
    average if chance chose among them. So neither their order nor a fraction of one counts.

    Args:
        uncertainty: High where unsure, shape (n,).
        wrong: Shape (n,).
        share: 0..1 of the n.

    Returns:
        0..1; None where there are no errors.
    """
    errors = int(wrong.sum())
    if not errors:
        return None
    _, place, counts = np.unique(-uncertainty, return_inverse=True, return_counts=True)
    before = np.cumsum(counts) - counts
    taken = np.clip((share * len(wrong) - before) / counts, 0, 1)
    return float(taken[place][wrong].sum()) / errors


def best_share(error_rate: float, share: float) -> float:
    """Return what a perfect ranking would catch, 0..1: more errors than places cannot fit."""
    return min(1.0, share / error_rate) if error_rate > 0 else 1.0


def wilson(errors: float, count: float, z: float) -> tuple[float, float]:
    """Return the Wilson score interval of a share (E. B. Wilson 1927); (0, 1) of nothing.

    Args:
        errors: 0..count; of a weighted sample, in units of its effective size.
        count: >= 0.
        z: Standard normal quantile of the confidence wanted.
    """
    if count == 0:
        return 0.0, 1.0
    share = errors / count
    centre = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def bootstrap(
    groups: Sequence[object],
    figure: Callable[[Indices], float | None],
    *,
    resamples: int = RESAMPLES,
    seed: int = 1,
) -> Interval | None:
    """Return the 95 % percentile interval of a figure, resampled by whole groups.

    Pictures of one sign are nearly the same picture: drawing tracks, not images, keeps the
    interval honest (B. Efron, Ann. Statist. 7, 1979; by clusters). A figure that no resample
    changes, as an accuracy of 1, gets an interval without width: zero errors prove no zero rate.

    Args:
        groups: The group of each item, shape (n,), n >= 1.
        figure: Takes the indices of drawn items, some of them repeatedly; None: undefined there.
        resamples: How often to draw as many groups as there are.
        seed: Same seed, same interval.

    Returns:
        None where the figure was undefined in every resample.
    """
    names = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    place = np.array([names[group] for group in groups])
    order = np.argsort(place, kind="stable")
    sizes = np.bincount(place)
    starts = np.cumsum(sizes) - sizes
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        drawn = rng.integers(0, len(sizes), len(sizes))
        lengths = sizes[drawn]
        ends = np.cumsum(lengths)
        inside = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
        value = figure(order[np.repeat(starts[drawn], lengths) + inside])
        if value is not None:
            found.append(value)
    if not found:
        return None
    rest = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, (rest, 1 - rest))
    return Interval(float(low), float(high))
