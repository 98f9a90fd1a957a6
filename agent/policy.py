"""When to ask and how much: settings, advice, model and profile, within the limits. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from agent.budget import RESERVE_SHARE, Budget, daily
from agent.contract.config import Limits, Settings, held_threshold
from agent.contract.manifest import ModelManifest
from agent.contract.messages import AdviceBody, Grant
from agent.contract.profile import Profile
from agent.decide import TYPICAL_LOOK_BYTES, Policy


def policy_of(
    settings: Settings, advice: AdviceBody | None, limits: Limits, manifest: ModelManifest | None
) -> Policy:
    """Return the policy in force: settings and advice, held within the device's limits.

    Args:
        settings: Of the fleet.
        advice: None: none is in force.
        limits: The device's own.
        manifest: The model's own thresholds; advice replaces those for margins class by class.
    """
    unknown = manifest.unknown if manifest else None
    thresholds = {
        **(manifest.thresholds if manifest else {}),
        **(advice.thresholds if advice else {}),
    }
    return Policy(
        threshold=settings.threshold,
        audit_share=settings.audit_share,
        looks_per_sighting=settings.looks_per_sighting,
        duplicate_bits=settings.duplicate_bits,
        min_side=settings.min_side,
        class_thresholds={
            label: held_threshold(value, limits) for label, value in thresholds.items()
        },
        wanted=frozenset(advice.wanted) if advice else frozenset(),
        unknown_above=unknown.threshold if unknown else math.inf,
    )


@dataclass(frozen=True, slots=True)
class Ration:
    """What a day may cost."""

    looks: int
    size: int
    """Bytes."""
    grant: Grant | None
    audits: bool
    """True: a part is kept for them."""


def ration_of(
    settings: Settings, advice: AdviceBody | None, limits: Limits, profile: Profile
) -> Ration:
    """Return the day's ration: settings, else the profile's, and never above the limits."""
    looks, size = settings.looks_per_day, settings.bytes_per_day
    grant = advice.grant if advice else None
    if grant and limits.usd_per_day is not None:
        usd = min(grant.usd_per_day, limits.usd_per_day)
        grant = grant.model_copy(update={"usd_per_day": usd})
    return Ration(
        min(limits.looks_per_day, profile.budget.looks_per_day if looks is None else looks),
        min(limits.bytes_per_day, profile.budget.bytes_per_day if size is None else size),
        grant,
        settings.audit_share > 0,
    )


Levels = tuple[float | None, float | None, float | None]
"""Looks, bytes and dollars left in the buckets; None: full."""


def levels_of(saved: Sequence[float | None] | None) -> Levels:
    """Return levels that an earlier run saved; of what it did not save, full ones."""
    looks, size, usd = (*(saved or ()), None, None, None)[:3]
    return looks, size, usd


def budget_of(ration: Ration, levels: Levels, now: float) -> Budget:
    """Return the buckets of a ration, at monotonic time `now`."""
    looks, size, usd = levels
    reserve, grant = RESERVE_SHARE if ration.audits else 0.0, ration.grant
    return Budget(
        daily(ration.looks, looks, now, reserve_share=reserve),
        daily(ration.size, size, now, TYPICAL_LOOK_BYTES, reserve),
        daily(grant.usd_per_day, usd, now, grant.usd_per_look, reserve) if grant else None,
        grant.usd_per_look if grant else 0.0,
        None if grant else usd,
    )
