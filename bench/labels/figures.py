"""From learning curves to what they cost: labels to a target, area, intervals over seeds. Pure."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from bench.labels.arms import Run

RESAMPLES: Final = 2_000
Curve = npt.NDArray[np.floating]
Runs = Sequence[Mapping[str, Run]]
"""Of each seed, the arms."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its 95 % bootstrap interval over seeds."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float | None]:
        """Return plain values; what is infinite (never reached) as null."""
        return {"value": plain(self.value), "low": plain(self.low), "high": plain(self.high)}


def plain(value: float) -> float | None:
    """Return a value for JSON, which knows no infinity: what is never reached is null."""
    return value if math.isfinite(value) else None


def labels_to(labels: Curve, accuracy: Curve, target: float) -> float:
    """Return after how many labels a curve first reaches a target; infinite: never."""
    for n in range(len(accuracy)):
        if accuracy[n] >= target:
            if n == 0:
                return float(labels[0])
            share = (target - accuracy[n - 1]) / (accuracy[n] - accuracy[n - 1])
            return float(labels[n - 1] + share * (labels[n] - labels[n - 1]))
    return math.inf


def over_seeds(count: int, figure: Callable[[npt.NDArray[np.intp]], float]) -> Figure:
    """Return a figure of all seeds and its interval: seeds are drawn with all their arms."""
    rng = np.random.default_rng(1)
    found = sorted(figure(rng.integers(0, count, count)) for _ in range(RESAMPLES))
    low, high = found[int(0.025 * RESAMPLES)], found[int(0.975 * RESAMPLES)]
    return Figure(figure(np.arange(count)), low, high)


def curves(runs: Runs, arm: str, kind: str = "accuracy") -> Curve:
    """Return one arm's curves, shape (seeds, rounds + 1)."""
    return np.array([getattr(of[arm], kind) for of in runs], np.float64)


def label_ratio(runs: Runs, arm: str, other: str) -> Figure:
    """Return labels(arm) / labels(other) to where the other ends, of the mean curves."""
    tops, bottoms = curves(runs, arm), curves(runs, other)
    spent, others_spent = curves(runs, arm, "labels"), curves(runs, other, "labels")

    def ratio(drawn: npt.NDArray[np.intp]) -> float:
        bottom = bottoms[drawn].mean(axis=0)
        target = float(bottom[-1])
        needed = labels_to(others_spent[drawn].mean(axis=0), bottom, target)
        return labels_to(spent[drawn].mean(axis=0), tops[drawn].mean(axis=0), target) / needed

    return over_seeds(len(runs), ratio)


def seed_ratios(runs: Runs, arm: str, other: str) -> list[float]:
    """Return the same ratio seed by seed."""
    return [label_ratio([of], arm, other).value for of in runs]


def median_ratio(ratios: Sequence[float]) -> Figure:
    """Return the median of ratios of seeds."""
    values = np.array(ratios)
    return over_seeds(len(values), lambda drawn: float(np.median(values[drawn])))


def area(runs: Runs, arm: str) -> Figure:
    """Return the area under the learning curve: the mean accuracy over all labels spent."""
    of_seeds = np.array([_area(of[arm]) for of in runs])
    return over_seeds(len(runs), lambda drawn: float(of_seeds[drawn].mean()))


def _area(run: Run) -> float:
    middle = (run.accuracy[1:] + run.accuracy[:-1]) / 2
    return float((middle * np.diff(run.labels)).sum() / (run.labels[-1] - run.labels[0]))


def final(runs: Runs, arm: str, kind: str = "accuracy") -> Figure:
    """Return what an arm ends with."""
    ends = curves(runs, arm, kind)[:, -1]
    return over_seeds(len(runs), lambda drawn: float(ends[drawn].mean()))


def leads(runs: Runs, arm: str, other: str) -> list[Figure]:
    """Return by how much an arm is better after each round, the mean over seeds."""
    gap = curves(runs, arm) - curves(runs, other)
    return [
        over_seeds(len(runs), lambda drawn, n=n: float(gap[drawn, n].mean()))  # type: ignore[misc]
        for n in range(1, gap.shape[1])
    ]


def kendall(a: Sequence[float], b: Sequence[float]) -> float:
    """Return Kendall's rank correlation tau-b of two rankings of the same things."""
    x, y = np.asarray(a), np.asarray(b)
    upper = np.triu_indices(len(x), 1)
    dx, dy = (np.sign(v[:, None] - v[None])[upper] for v in (x, y))
    norm = math.sqrt(float((dx != 0).sum()) * float((dy != 0).sum()))
    return float((dx * dy).sum()) / norm if norm else 0.0
