"""Paired measurement: arms alternate in one run, the figure is the median of paired ratios."""

import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
RESAMPLES = 2_000
SPREAD = 1.5


@dataclass(frozen=True, slots=True)
class Ratio:
    """Median of paired ratios with its 95 % bootstrap interval."""

    median: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.median:.3f} [{self.low:.3f}, {self.high:.3f}] n={self.n}"


def paired(top: Sequence[float], bottom: Sequence[float]) -> Ratio:
    """Return the ratio top / bottom of values measured in alternation."""
    ratios = [a / b for a, b in zip(top, bottom, strict=True)]
    return of_values(ratios)


def of_values(values: Sequence[float]) -> Ratio:
    """Return the median of values with a seeded bootstrap interval."""
    rng = random.Random(1)
    medians = sorted(
        statistics.median(rng.choices(values, k=len(values))) for _ in range(RESAMPLES)
    )
    return Ratio(
        statistics.median(values),
        medians[int(0.025 * RESAMPLES)],
        medians[int(0.975 * RESAMPLES)],
        len(values),
    )


def seconds(action: Callable[[], object]) -> float:
    """Return how long one call takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def repeated(action: Callable[[], None], times: int) -> Callable[[], None]:
    """Return an action that does another so many times."""

    def all_of_them() -> None:
        for _ in range(times):
            action()

    return all_of_them


def machine(bare: Sequence[float]) -> str:
    """Say how quiet the machine was: load, and how far the bare arm spread."""
    spread = max(bare) / min(bare)
    noisy = "  NOISY: repeat on a quiet machine" if spread > SPREAD else ""
    return (
        f"load {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores,"
        f" bare arm spread {spread:.2f}x{noisy}"
    )
