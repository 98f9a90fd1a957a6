"""The best view of each sighting, held until it is time to ask. Pure.

What is held is not accepted yet: only the spool accepts. It lies in memory as the coded look that
would be sent, so a view costs a few kilobytes however large its frame was, and shows what the
privacy masks of its own frame let through.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from agent.contract.codec import Look
from agent.worth import Signals

MOST: Final = 64
BETTER: Final = 1.2
"""A view replaces another only if it is so many times better: coding one costs time."""
LARGE: Final = 64
"""Sides in pixels from which a larger region shows nothing more."""


@dataclass(frozen=True, slots=True)
class View:
    """One sight of an object that might be asked about."""

    look: Look
    """Reason and worth are not settled yet."""
    label: str
    """What the device answered to it; empty: nothing of the profile."""
    dhash: int
    merit: float
    signals: Signals[float]
    """Novelty and need are not known yet."""

    @property
    def sighting_id(self) -> str:
        """Whose view it is."""
        return self.look.meta.sighting_id


def merit(sharpness: float, side: int) -> float:
    """Return how good a view is to ask about: sharp and large, whatever the model thinks of it.

    A sign far away is always doubtful; the view that teaches is the one where it is near. And
    which view of an audited sighting is judged must not depend on how sure the model was of it.

    Args:
        sharpness: Of the region at the size of a model's input, >= 0 (`agent.crops.sharpness`).
        side: The region's shorter side in pixels.
    """
    return math.sqrt(sharpness) * min(side, LARGE) / LARGE


@dataclass(slots=True)
class _Held:
    view: View
    since: float


class Views:
    """The best view of each sighting of one camera. Not thread-safe."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, sighting_id: object) -> bool:
        return sighting_id in self._held

    def betters(self, sighting_id: str, value: float) -> bool:
        """Tell whether a view of this merit would be held."""
        held = self._held.get(sighting_id)
        return held is None or value > held.view.merit * BETTER

    def hold(self, view: View, now: float) -> None:
        """Hold a view in place of the one before, at monotonic time `now`."""
        held = self._held.get(view.sighting_id)
        self._held[view.sighting_id] = _Held(view, held.since if held else now)

    def due(self, ended: Collection[str], now: float, hold_s: float) -> list[View]:
        """Let go of the views that are to be asked about now, the oldest first.

        Args:
            ended: Sightings that have closed.
            now: Monotonic seconds.
            hold_s: Views held so long are due; and the oldest, where more are held than fit.
        """
        surplus = len(self._held) - MOST
        due = [
            name
            for number, (name, held) in enumerate(self._held.items())
            if number < surplus or name in ended or now - held.since >= hold_s
        ]
        return [self._held.pop(name).view for name in due]
