"""How high the bar lies that a sighting's worth must pass: a running quantile. Pure.

Asked is the best share of what could be asked lately, and the share follows from how full the
budget is. So the bar finds its height by itself: in fog, when much is doubtful, the budget sinks
until only the best pass; when little is doubtful it fills and everything doubtful passes. In the
long run exactly as much is asked as the budget pays for, r = budget rate / rate of sightings,
without an estimate of either rate, and a quantile that lags behind a change of weather costs or
saves at most what the budget holds.
"""

from dataclasses import dataclass
from typing import Any, Final

RECENT: Final = 256
EASY: Final = 0.5
"""How full a budget must be for everything doubtful to pass."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Worth of the latest sightings that could be asked about, asked or not."""

    recent: tuple[float, ...] = ()

    def passes(self, worth: float, share: float) -> bool:
        """Tell whether a worth is among the best `share` (0..1) of the recent ones.

        Equals pass together: where all are alike, the budget alone decides.
        """
        if share >= 1.0:
            return True
        above = sum(other > worth for other in self.recent)
        return above < share * (len(self.recent) + 1)

    def after(self, worth: float) -> "Bar":
        """Return the bar once another sighting could have been asked about."""
        return Bar((*self.recent, worth)[-RECENT:])

    def as_saved(self) -> list[float]:
        """Return plain values for JSON."""
        return [round(worth, 3) for worth in self.recent]

    @classmethod
    def restored(cls, saved: Any) -> "Bar":  # noqa: ANN401 - JSON is any
        """Return what an earlier run saved; an empty one where that is not what we save now."""
        try:
            return cls(tuple(float(worth) for worth in saved)[-RECENT:])
        except (TypeError, ValueError):
            return cls()


def passing_share(fill: float) -> float:
    """Return the share of sightings that may pass when the budget is `fill` (0..1) full."""
    return min(1.0, (max(0.0, fill) / EASY) ** 2)
