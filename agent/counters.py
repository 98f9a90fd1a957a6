"""What the device counts, for telemetry and the CLI. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

BINS: Final = 10


@dataclass(slots=True)
class Counters:
    """Counts since the start; one thread writes, others read."""

    frames: int = 0
    predictions: int = 0
    sightings: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    histogram: list[int] = field(default_factory=lambda: [0] * BINS)
    """Top scores in ten equal bins over 0..1."""
    invoke_ms: float = 0.0
    """Moving average of one frame's propose and classify time."""

    def scored(self, score: float) -> None:
        """Count one prediction's top score."""
        self.predictions += 1
        self.histogram[min(BINS - 1, int(score * BINS))] += 1

    def timed(self, seconds: float) -> None:
        """Take one frame's time into the average (weight 1/16)."""
        self.frames += 1
        self.invoke_ms += (seconds * 1000 - self.invoke_ms) / 16
