"""How much money each device's looks may cost: the day's cap, shared out. Pure."""

from dataclasses import dataclass
from typing import Final

from agent.contract.messages import AdviceBody, Grant

GRANTED: Final = 0.9
"""Share of the cap that is granted; the rest is for calls that fail and for people who ask."""
MIN_LOOKS: Final = 20
"""Looks that must have been paid for before anybody is told a price."""
STEP: Final = 1.25
"""A grant that changes less than so many times is no news."""


@dataclass(frozen=True, slots=True)
class Paid:
    """What second looks cost lately."""

    usd: float
    looks: int


def share_out(cap_usd: float, devices: int, paid: Paid) -> Grant | None:
    """Return each device's grant; None: no money limits it.

    Equal shares: who sees little leaves a part unspent, but nobody can take another's.

    Args:
        cap_usd: What a day may cost, >= 0.
        devices: How many were heard lately.
        paid: Nothing is granted while too little was paid to know a price, nor where second
            looks are free.
    """
    if paid.looks < MIN_LOOKS or paid.usd <= 0 or devices < 1:
        return None
    return Grant(usd_per_day=cap_usd * GRANTED / devices, usd_per_look=paid.usd / paid.looks)


def granted(
    body: AdviceBody | None, grant: Grant | None, before: Grant | None = None
) -> AdviceBody | None:
    """Return advice with a grant; None: nothing to say.

    A grant alone is advice too, and so is that the one of `before` no longer holds.
    """
    if grant is None:
        return AdviceBody() if body is None and before else body
    return (body or AdviceBody()).model_copy(update={"grant": grant})


def moved(new: Grant | None, old: Grant | None) -> bool:
    """Tell whether a grant differs so much from the last that devices should be told."""
    if new is None or old is None:
        return new is not old
    pairs = ((new.usd_per_day, old.usd_per_day), (new.usd_per_look, old.usd_per_look))
    return any(max(pair) > STEP * min(pair) for pair in pairs)
