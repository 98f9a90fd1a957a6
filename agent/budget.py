"""How much may still be sent: token buckets for looks, bytes and money. Pure."""

from dataclasses import dataclass, replace
from typing import Final

DAY_S: Final = 86_400.0
BURST_SHARE: Final = 0.25
"""A bucket holds a quarter of a day's ration: a quiet night is not spent in one minute."""
RESERVE_SHARE: Final = 0.2
"""Part of a bucket that only audits may draw on."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: refills with time up to its capacity."""

    level: float
    capacity: float
    per_s: float
    at: float
    """Monotonic seconds of `level`."""
    reserve: float = 0.0
    """The level below which only audits are served."""

    def refilled(self, now: float) -> "Bucket":
        """Return the bucket at a later monotonic time; earlier times change nothing."""
        if now <= self.at:
            return self
        level = min(self.capacity, self.level + (now - self.at) * self.per_s)
        return replace(self, level=level, at=now)

    def spent(self, tokens: float, now: float) -> "Bucket":
        """Return the bucket after a purchase at a monotonic time."""
        full = self.refilled(now)
        return replace(full, level=full.level - tokens)

    @property
    def fill(self) -> float:
        """How full it is above its reserve, 0..1."""
        room = self.capacity - self.reserve
        return max(0.0, self.level - self.reserve) / room if room > 0 else 0.0

    @property
    def reserve_fill(self) -> float:
        """How full its reserve is, 0..1; of a bucket too small for one: all of it."""
        room = self.reserve or self.capacity
        return min(1.0, max(0.0, self.level) / room) if room > 0 else 0.0


def daily(
    per_day: float,
    level: float | None,
    now: float,
    unit: float = 1.0,
    reserve_share: float = 0.0,
) -> Bucket:
    """Make a bucket for a daily ration.

    Args:
        per_day: Tokens a day, >= 0.
        level: Level saved by an earlier run, cut to the capacity, debts and all; None: full, but
            with no more than a day's ration.
        now: Monotonic seconds.
        unit: Tokens of one look, for which there is room, with a reserve or without, however
            small the ration: it is saved up for, over days if need be. Of none there is none.
        reserve_share: Part of it that is kept for audits, 0..1.
    """
    capacity = max(per_day * BURST_SHARE, unit) if per_day > 0 else 0.0
    start = min(capacity, per_day if level is None else level)
    wanted = max(unit, capacity * reserve_share) if reserve_share > 0 else 0.0
    return Bucket(start, capacity, per_day / DAY_S, now, min(wanted, max(0.0, capacity - unit)))


@dataclass(frozen=True, slots=True)
class Budget:
    """What may still be kept."""

    looks: Bucket
    size: Bucket
    """Bytes."""
    money: Bucket | None = None
    """US dollars; None: nobody has said what a look costs."""
    usd_per_look: float = 0.0
    usd_before: float | None = None
    """Dollars that were left when a look last had a price; None: it has one, or never had."""

    @property
    def levels(self) -> tuple[float, float, float | None]:
        """Looks, bytes and dollars left, to be saved."""
        usd = self.money.level if self.money else self.usd_before
        return self.looks.level, self.size.level, usd

    def affords(self, size: int, now: float) -> bool:
        """Tell whether one more look of `size` bytes fits now, audits aside."""
        if self.looks.refilled(now).level < self.looks.reserve + 1.0:
            return False
        if self.size.refilled(now).level < self.size.reserve + size:
            return False
        money = self.money
        return money is None or money.refilled(now).level >= money.reserve + self.usd_per_look

    def spent(self, size: int, now: float) -> "Budget":
        """Return the budget after one look of `size` bytes; an audit may leave it in debt."""
        money = self.money.spent(self.usd_per_look, now) if self.money else None
        return replace(
            self,
            looks=self.looks.spent(1.0, now),
            size=self.size.spent(size, now),
            money=money,
        )

    def fill(self, now: float) -> float:
        """Return how full the emptiest bucket is above its reserve, 0..1."""
        return min(bucket.refilled(now).fill for bucket in self._buckets())

    def reserve_fill(self, now: float) -> float:
        """Return how full the emptiest reserve is, 0..1."""
        return min(bucket.refilled(now).reserve_fill for bucket in self._buckets())

    def _buckets(self) -> tuple[Bucket, ...]:
        return (self.looks, self.size, self.money) if self.money else (self.looks, self.size)
