"""How much may still be sent: token buckets. Pure."""

from dataclasses import dataclass, replace
from typing import Final

DAY_S: Final = 86_400.0
BURST_SHARE: Final = 0.25
"""A bucket holds a quarter of a day's ration: a quiet night is not spent in one minute."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: refills with time up to its capacity."""

    level: float
    capacity: float
    per_s: float
    at: float
    """Monotonic seconds of `level`."""

    def refilled(self, now: float) -> "Bucket":
        """Return the bucket at a later monotonic time; earlier times change nothing."""
        if now <= self.at:
            return self
        level = min(self.capacity, self.level + (now - self.at) * self.per_s)
        return replace(self, level=level, at=now)


def daily(per_day: float, level: float | None, now: float) -> Bucket:
    """Make a bucket for a daily ration.

    Args:
        per_day: Tokens a day, >= 0.
        level: Level saved by an earlier run, cut to the capacity; None: full.
        now: Monotonic seconds.
    """
    capacity = max(per_day * BURST_SHARE, min(per_day, 1.0))
    start = capacity if level is None else min(max(level, 0.0), capacity)
    return Bucket(start, capacity, per_day / DAY_S, now)


@dataclass(frozen=True, slots=True)
class Budget:
    """Looks and bytes that may still be kept."""

    looks: Bucket
    size: Bucket

    def affords(self, size: int, now: float) -> bool:
        """Tell whether one more look of `size` bytes fits now."""
        return self.looks.refilled(now).level >= 1.0 and self.size.refilled(now).level >= size

    def spent(self, size: int, now: float) -> "Budget":
        """Return the budget after one look of `size` bytes."""
        looks, bytes_ = self.looks.refilled(now), self.size.refilled(now)
        return Budget(
            replace(looks, level=looks.level - 1.0),
            replace(bytes_, level=bytes_.level - size),
        )
