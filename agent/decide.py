"""Which predictions are worth a second look, and why. Pure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, cast, get_args

from agent.budget import Budget
from agent.contract.messages import Reason
from agent.vision.preprocess import hash_distance
from agent.vision.types import Prediction

Dropped = Literal["sure", "small", "enough", "duplicate", "budget"]
REASONS: Final = frozenset(get_args(Reason))
TYPICAL_LOOK_BYTES: Final = 2_500
WANTED_SHARE: Final = 0.25
"""Share of confident sightings of a wanted class that are asked about."""


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
    sighting_id: str,
    policy: Policy,
    budget: Budget,
    kept: int,
    now: float,
) -> Decision:
    """Decide about one prediction, whatever was kept of others (see `repeats`).

    Args:
        prediction: Of a region that belongs to a sighting.
        sighting_id: 32 hexadecimal digits; its random tail also draws the audit.
        policy: When to ask.
        budget: What may still be sent.
        kept: Looks kept of this sighting.
        now: Monotonic seconds.
    """
    reason = _reason(prediction, sighting_id, policy, kept)
    if reason is None:
        return Decision("sure")
    box = prediction.region.box
    if min(box.width, box.height) < policy.min_side:
        return Decision("small")
    if kept >= policy.looks_per_sighting:
        return Decision("enough")
    if not budget.affords(TYPICAL_LOOK_BYTES, now):
        return Decision("budget")
    return Decision(reason)


def repeats(dhash: int, hashes: Iterable[int], policy: Policy) -> bool:
    """Tell whether a region is one of those kept lately, by their difference hashes.

    Apart from `decide`, so that a hash is taken only of what is otherwise worth keeping.
    """
    return any(hash_distance(dhash, h) <= policy.duplicate_bits for h in hashes)


def _reason(prediction: Prediction, sighting_id: str, policy: Policy, kept: int) -> Reason | None:
    threshold = policy.class_thresholds.get(prediction.label, policy.threshold)
    unknown = prediction.index >= 0 and prediction.energy > policy.unknown_above
    if prediction.margin < threshold or unknown:
        return "uncertain"
    if kept:
        return None
    if prediction.label in policy.wanted and audit_draw(sighting_id, "wanted") < WANTED_SHARE:
        return "wanted"
    return "audit" if audit_draw(sighting_id, "audit") < policy.audit_share else None


def audit_draw(sighting_id: str, purpose: str) -> float:
    """Return a number in 0..1 fixed by the random tail of a sighting's id.

    One draw a sighting and purpose, not one a frame: a long sighting is not audited more often.
    """
    digits = sighting_id[-8:] if purpose == "audit" else sighting_id[-16:-8]
    return int(digits, 16) / 2**32
