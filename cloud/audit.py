"""How often devices are wrong, from sightings drawn by chance alone. Pure.

What devices ask about is a biased sample: mostly what they are unsure of. So errors among it say
little about errors among everything, and nothing about confident ones. The audit is drawn by the
random tail of each sighting's id before anything is known of it, with a chance that the device
tells, so each drawn sighting stands for 1 / chance sightings (D. Horvitz and D. Thompson, J. Amer.
Statist. Assoc. 47, 1952); their sum over the errors, divided by that over all (J. Hajek, 1971), is
the share of all sightings that were wrong. Where the chance never changed that is simply the share
of the drawn ones. Its interval is Wilson's (1927) at the effective size of the sample: the smaller
of the one that its weights alone imply (L. Kish, Survey Sampling, 1965) and the one that its
variance does (E. Korn and B. Graubard, Survey Methodology 24, 1998). The first is too large where
errors are more common among those drawn rarely, the second where hardly any error was drawn; where
the chance never changed both are the sample's own size.

What is measured is disagreement with the second look. Where that errs in a share `n` of its
answers, the rate is off by at most `n`: a right answer is called wrong in at most `n` of the
cases, a wrong one right in at most `n`. `Estimate.bounds` adds it on both sides.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cloud.measures import Interval, wilson

Z: Final = 1.959964
"""Two-sided 95 %."""
LEAST_CHANCE: Final = 1e-6
"""Devices round to it: a smaller one is no device's word, and its weight would be without bound."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One sighting that was drawn, by the look that was sent of it."""

    sighting_id: str
    device: str
    model: str
    chance: float
    """With which it was drawn, `LEAST_CHANCE` to 1."""
    said: str | None
    """The device's answer to the sighting; None: nothing of the profile."""
    outcome: str | None
    """How the second look ended; None: it has not."""
    told: str | None
    """The class it told."""

    @property
    def wrong(self) -> bool | None:
        """Whether the second look contradicts the device; None: it settled nothing."""
        if self.outcome == "label":
            return self.said != self.told
        return self.said is not None if self.outcome == "none" else None


@dataclass(frozen=True, slots=True)
class Estimate:
    """The share of all sightings that the device got wrong."""

    drawn: int
    wrong: int
    """Of those settled."""
    unsettled: int
    """Drawn, but no answer yet, or none that settles it: left out of the rate."""
    rate: float | None
    """0..1; None: nothing settled."""
    interval: Interval
    """95 %, of chance in the draw alone."""
    bounds: Interval
    """The same, with what a labeller's errors may add on both sides."""
    unsettled_bounds: Interval
    """The rate if all that is unsettled were right, and if all of it were wrong."""


def one_each(drawn: Iterable[Drawn]) -> list[Drawn]:
    """Return the first of each sighting: a device that forgot may have sent a second look."""
    first: dict[str, Drawn] = {}
    for item in drawn:
        first.setdefault(item.sighting_id, item)
    return list(first.values())


def estimate(drawn: Sequence[Drawn], labeller_error: float = 0.0) -> Estimate:
    """Estimate the true error rate.

    Args:
        drawn: Each sighting once.
        labeller_error: Share of the second look's answers that may be wrong, 0..1.
    """
    settled = [(1 / item.chance, bool(item.wrong)) for item in drawn if item.wrong is not None]
    total = sum(weight for weight, _ in settled)
    against = sum(weight for weight, wrong in settled if wrong)
    open_ = sum(1 / item.chance for item in drawn if item.wrong is None)
    if not settled:
        nothing = Interval(0.0, 1.0)
        return Estimate(len(drawn), 0, len(drawn), None, nothing, nothing, nothing)
    rate = against / total
    size = _effective_size(settled, rate)
    low, high = wilson(rate * size, size, Z)
    return Estimate(
        drawn=len(drawn),
        wrong=sum(wrong for _, wrong in settled),
        unsettled=len(drawn) - len(settled),
        rate=rate,
        interval=Interval(low, high),
        bounds=Interval(max(0.0, low - labeller_error), min(1.0, high + labeller_error)),
        unsettled_bounds=Interval(against / (total + open_), (against + open_) / (total + open_)),
    )


def _effective_size(settled: Sequence[tuple[float, bool]], rate: float) -> float:
    """Return how many equally weighted sightings would tell as much; weights and whether wrong."""
    total = sum(weight for weight, _ in settled)
    by_weights = total**2 / sum(weight**2 for weight, _ in settled)
    variance = sum((weight * (wrong - rate)) ** 2 for weight, wrong in settled) / total**2
    return min(by_weights, rate * (1 - rate) / variance) if variance > 0 else by_weights
