"""From answered looks to advice for devices. Pure.

Looks are a biased sample (devices send what they are unsure of), so nothing is concluded about
a class as a whole, only about looks of one class within one band of margins: within a band the
sending does not depend on being right.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.contract.config import Settings
from agent.contract.messages import AdviceBody
from cloud.config import AdviceConfig
from cloud.measures import wilson

BANDS: Final = 10
LOWEST: Final = 0.05
"""Of thresholds: never is everything of a class taken as sure."""
HIGHEST: Final = 0.95
MAX_WANTED: Final = 16
MAX_PAIRS: Final = 32
Z: Final = 1.2816
"""One-sided 90 %: advice is reversible and clamped by the device, so it need not be surer."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One look with a usable second look."""

    device_label: str | None
    margin: float
    verdict_label: str | None
    """None: none of the classes."""
    fair: bool = True
    """Its margin or chance alone decided that it was sent. Not so a sure answer that was asked
    about because it was against the rest of its track, or about something strange: such are wrong
    more often than others of the same margin."""

    @property
    def wrong(self) -> bool:
        """True when device and second look disagree."""
        return self.device_label != self.verdict_label


def draw_up(judged: Sequence[Judged], config: AdviceConfig) -> AdviceBody | None:
    """Return advice, or None while there is too little to go by.

    Args:
        judged: Looks that ended as a class or as none of them.
        config: Minimum counts and the error that is tolerated.
    """
    if len(judged) < config.min_looks:
        return None
    return AdviceBody(
        wanted=_wanted(judged, config),
        confused=_confused(judged, config),
        thresholds=_thresholds(judged, config),
        based_on=len(judged),
    )


def differs(new: AdviceBody, old: AdviceBody) -> bool:
    """Tell whether advice says something else than before, apart from how much it rests on."""
    if (new.wanted, dict(new.thresholds)) != (old.wanted, dict(old.thresholds)):
        return True
    return {pair[:2] for pair in new.confused} != {pair[:2] for pair in old.confused}


def _confused(judged: Sequence[Judged], config: AdviceConfig) -> tuple[tuple[str, str, int], ...]:
    pairs = Counter(
        (item.device_label, item.verdict_label)
        for item in judged
        if item.wrong and item.device_label and item.verdict_label
    )
    often = [(a, b, n) for (a, b), n in pairs.items() if a and b and n >= config.min_pairs]
    return tuple(sorted(often, key=lambda pair: (-pair[2], pair[0], pair[1]))[:MAX_PAIRS])


def _wanted(judged: Sequence[Judged], config: AdviceConfig) -> tuple[str, ...]:
    """Return classes that take part in many errors, worst first."""
    part: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for item in judged:
        for label in {item.device_label, item.verdict_label} - {None}:
            if label is not None:
                part[label] += 1
                wrong[label] += item.wrong
    worst = {
        label: wilson(wrong[label], part[label], Z)[0]
        for label in part
        if wrong[label] >= config.min_pairs
    }
    bad = [label for label, low in worst.items() if low > config.target_error]
    return tuple(sorted(bad, key=lambda label: (-worst[label], label))[:MAX_WANTED])


def _thresholds(judged: Sequence[Judged], config: AdviceConfig) -> dict[str, float]:
    by_class: dict[str, list[Judged]] = defaultdict(list)
    for item in judged:
        if item.device_label and item.fair:
            by_class[item.device_label].append(item)
    found = {
        label: _threshold(items, config)
        for label, items in sorted(by_class.items())
        if len(items) >= config.min_class_looks
    }
    return {label: value for label, value in found.items() if value is not None}


def _threshold(items: Sequence[Judged], config: AdviceConfig) -> float | None:
    """Return the margin below which a class should be asked about; None: cannot tell.

    Up: the upper edge of the highest band with provably too many errors. Down: as far below the
    usual threshold as every band is provably good; right answers of confident looks (the audit
    share) prove nothing about uncertain ones.
    """
    count: Counter[int] = Counter()
    wrong: Counter[int] = Counter()
    for item in items:
        band = min(BANDS - 1, int(item.margin * BANDS))
        count[band] += 1
        wrong[band] += item.wrong
    bad = [b for b in count if wilson(wrong[b], count[b], Z)[0] > config.target_error]
    if bad:
        return min(HIGHEST, round((max(bad) + 1) / BANDS, 2))
    edge = usual = round(Settings().threshold * BANDS)
    while edge > 0 and wilson(wrong[edge - 1], count[edge - 1], Z)[1] < config.target_error:
        edge -= 1
    return max(LOWEST, round(edge / BANDS, 2)) if edge < usual else None
