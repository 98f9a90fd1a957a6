"""The clock as an argument. Adapter."""

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Two clocks: one that may jump, one that never does."""

    def now(self) -> float:
        """Return unix time in seconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only rise, from an arbitrary start."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        """Return unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds since boot or so."""
        return time.monotonic()
