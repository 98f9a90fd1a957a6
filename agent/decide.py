"""Which sights of an object are worth a second look, and why. Pure.

Two decisions. `decide` judges each sight as it comes: might it be asked about? Of those the best
view is held (`agent.held`), and `choose` judges it against what else could be asked and what was.
Audits are drawn apart from all this, by chance alone.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, cast, get_args

from agent.asked import Asked
from agent.bar import Bar, passing_share
from agent.budget import Budget
from agent.contract.messages import Reason
from agent.held import View
from agent.vision.preprocess import hash_distance
from agent.vision.tracker import Sighting
from agent.vision.types import Prediction
from agent.worth import Signals, indecision, relative_entropy, strangeness, worth

Dropped = Literal["sure", "small", "enough", "same", "duplicate", "outranked", "budget", "busy"]
REASONS: Final = frozenset(get_args(Reason))
TYPICAL_LOOK_BYTES: Final = 2_500
WANTED_SHARE: Final = 0.25
"""Share of confident sightings of a wanted class that are asked about."""
OTHER_VIEW: Final = 2
"""Another view of an object differs in more than so many times the bits of a duplicate."""


@dataclass(frozen=True, slots=True)
class Policy:
    """When to ask."""

    threshold: float
    """Calibrated margin, 0..1, below which a prediction is uncertain."""
    audit_share: float
    looks_per_sighting: int
    duplicate_bits: int
    min_side: int
    """Regions smaller than this many pixels tell nobody anything."""
    class_thresholds: Mapping[str, float] = field(default_factory=dict)
    """From the model and advice, within the device's limits; replaces `threshold` for its class."""
    wanted: frozenset[str] = frozenset()
    """Classes that advice asks for."""
    unknown_above: float = math.inf
    """The model's: an answer with more energy is about something it never learned."""


@dataclass(slots=True)
class Record:
    """What is remembered of one sighting while it lasts."""

    drawn: bool = False
    """The audit has been drawn: it is a sighting, not only a track."""
    audit_share: float = 0.0
    """The chance of being drawn, 0..1."""
    audit: bool = False
    """Its id was drawn, and it has not been sent yet."""
    doubtful: bool = False
    """It was in doubt at some frame: the best view may be one without doubt."""
    frames: int = 0
    margins: float = 0.0
    """Of all its frames: the sum."""
    tried: int = 0
    """Views of it that were chosen among, sent or not."""
    dhash: int = 0
    """Of the view tried last ..."""
    label: str = ""
    """... and what the device answered to it."""
    sighting_label: str = ""
    """The answer to the sighting as a whole, so far."""

    def settled(self, signals: Signals[float]) -> Signals[float]:
        """Return a view's signals with the margin of the whole sighting, the mean of its frames."""
        return replace(signals, margin=self.margins / self.frames) if self.frames else signals


@dataclass(frozen=True, slots=True)
class Decision:
    """Keep or not, and why."""

    why: Reason | Dropped

    @property
    def reason(self) -> Reason | None:
        """Why the region is asked about; None where it is not."""
        return cast("Reason", self.why) if self.why in REASONS else None


def decide(
    prediction: Prediction,
    sighting: Sighting,
    policy: Policy,
    budget: Budget,
    record: Record,
    now: float,
) -> Decision:
    """Decide whether one sight of an object might be asked about.

    Args:
        prediction: Of a region that belongs to the sighting.
        sighting: What is known about the object so far.
        policy: When to ask.
        budget: What may still be sent.
        record: What is remembered of the sighting.
        now: Monotonic seconds.
    """
    reason = _reason(prediction, sighting, policy, record)
    record.doubtful = reason == "uncertain"
    if reason is None:
        return Decision("sure")
    box = prediction.region.box
    if min(box.width, box.height) < policy.min_side:
        return Decision("small")
    if record.audit:
        return Decision(reason)
    if record.tried >= policy.looks_per_sighting:
        return Decision("enough")
    if not budget.affords(TYPICAL_LOOK_BYTES, now):
        return Decision("budget")
    return Decision(reason)


def is_other_view(dhash: int, label: str, record: Record, policy: Policy) -> bool:
    """Tell whether a view shows or says something else than the one of its sighting tried last."""
    if not record.tried or label != record.label:
        return True
    return hash_distance(dhash, record.dhash) > OTHER_VIEW * policy.duplicate_bits


@dataclass(frozen=True, slots=True)
class Basis:
    """What choosing goes by: replaced as a whole, so a reader never sees half of a change."""

    budget: Budget
    bar: Bar = field(default_factory=Bar)
    asked: Asked = field(default_factory=Asked)

    def after(self, view: View, size: int, now: float) -> "Basis":
        """Return what choosing goes by once a view was accepted as a look of `size` bytes."""
        asked = self.asked.after(view.dhash, view.label)
        return replace(self, budget=self.budget.spent(size, now), asked=asked)


@dataclass(frozen=True, slots=True)
class Choice:
    """What becomes of a held view."""

    why: Dropped | None
    """Why it is not asked about; None: it is."""
    worth: float
    basis: Basis
    """With the view's worth among the recent ones."""


def choose(view: View, policy: Policy, basis: Basis, now: float) -> Choice:
    """Choose whether a sighting's best view is asked about: is it new, worth it and affordable?"""
    novelty = basis.asked.novelty(view.dhash, view.label, policy.duplicate_bits)
    need = basis.asked.need(view.label, policy.wanted)
    value = worth(replace(view.signals, novelty=novelty, need=need))
    if novelty == 0.0:
        return Choice("duplicate", value, basis)
    share = passing_share(basis.budget.fill(now))
    passes = basis.bar.passes(value, share)
    basis = replace(basis, bar=basis.bar.after(value))
    if not passes:
        return Choice("outranked", value, basis)
    if not basis.budget.affords(TYPICAL_LOOK_BYTES, now):
        return Choice("budget", value, basis)
    return Choice(None, value, basis)


def audited(sighting_id: str, share: float) -> bool:
    """Tell whether a sighting is drawn for the audit: by its id alone, with this chance.

    The random tail of an id was drawn before anything was known of the object, so those drawn
    are a simple random sample of all sightings, whatever the device thinks of them.
    """
    return draw(sighting_id, "audit") < share


def draw(sighting_id: str, purpose: Literal["audit", "wanted"]) -> float:
    """Return a number in 0..1 fixed by the random tail of a sighting's id.

    One draw a sighting and purpose, not one a frame: a long sighting is not audited more often.
    """
    digits = sighting_id[-8:] if purpose == "audit" else sighting_id[-16:-8]
    return int(digits, 16) / 2**32


def _reason(
    prediction: Prediction, sighting: Sighting, policy: Policy, record: Record
) -> Reason | None:
    if record.doubtful or _is_doubtful(prediction, sighting, policy):
        return "uncertain"
    if record.audit:
        return "audit"
    if record.tried or prediction.label not in policy.wanted:
        return None
    return "wanted" if draw(sighting.sighting_id, "wanted") < WANTED_SHARE else None


def _is_doubtful(prediction: Prediction, sighting: Sighting, policy: Policy) -> bool:
    """Tell whether an answer is near another, about the unknown, or against the rest of its track.

    What is none of these is sure: it is never asked about merely because there is budget left.
    """
    label = prediction.label
    if prediction.margin < policy.class_thresholds.get(label, policy.threshold):
        return True
    if prediction.index < 0:
        return False
    return prediction.energy > policy.unknown_above or bool(
        sighting.label and label != sighting.label
    )


def signals_of(prediction: Prediction, sighting: Sighting, unknown_above: float) -> Signals[float]:
    """Return what is known about one sight of an object, novelty and need apart."""
    agrees = prediction.label == sighting.label
    return Signals(
        margin=prediction.margin,
        entropy=relative_entropy(prediction.scores),
        strange=strangeness(prediction.energy, unknown_above),
        disagree=1.0 - sighting.score if agrees else sighting.score,
        band=indecision(prediction.region.score),
        novelty=1.0,
        need=0.0,
    )
