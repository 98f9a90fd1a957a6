"""What this device has asked about lately, and how new something else is beside it. Pure."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from agent.vision.preprocess import hash_distance

MOST: Final = 256
"""Views remembered, the newest; over restarts too."""
NEW_BITS: Final = 20
"""Difference hashes of unrelated pictures differ in 32 of 64 bits, give or take 4."""
LEAST: Final = 0.25
"""Novelty of what is only just no repetition."""
RARE: Final = 0.5
"""Need of a class that was not asked about lately and that no advice asks for."""
DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Asked:
    """Difference hash and answer of each view that was asked about, the oldest first."""

    views: tuple[tuple[int, str], ...] = ()

    def after(self, dhash: int, label: str) -> "Asked":
        """Return what is remembered once another view was asked about."""
        return Asked((*self.views, (dhash, label))[-MOST:])

    def novelty(self, dhash: int, label: str, duplicate_bits: int) -> float:
        """Return how new a view is, 0..1; 0: a repetition, which nobody needs to see again.

        A repetition has the same answer and a hash within `duplicate_bits`. Two signs may look
        alike at 9 x 8 pixels and be told apart by the model, so under another answer only a
        third of that counts, and no view is less new for being somewhat alike.
        """
        nearest = 1.0
        for known, answer in self.views:
            far = hash_distance(dhash, known)
            if far <= (duplicate_bits if answer == label else duplicate_bits // 3):
                return 0.0
            if answer == label and far < NEW_BITS:
                beyond = (far - duplicate_bits) / max(1, NEW_BITS - duplicate_bits)
                nearest = min(nearest, LEAST + (1.0 - LEAST) * beyond)
        return nearest

    def need(self, label: str, wanted: AbstractSet[str]) -> float:
        """Return how much a class is needed, 0..1.

        Args:
            label: The device's answer.
            wanted: Classes that advice asks for.
        """
        if label in wanted:
            return 1.0
        return RARE / (1 + sum(answer == label for _, answer in self.views))

    def as_saved(self) -> dict[str, Any]:
        """Return a few plain values for JSON."""
        labels = sorted({answer for _, answer in self.views})
        return {
            "labels": labels,
            "of": [labels.index(answer) for _, answer in self.views],
            "hashes": "".join(f"{known:0{DIGITS}x}" for known, _ in self.views),
        }

    @classmethod
    def restored(cls, saved: object) -> "Asked":
        """Return what an earlier run saved; nothing where that is not what we save now."""
        try:
            labels, of, hashes = (saved[k] for k in ("labels", "of", "hashes"))  # type: ignore[index]
            parts = [hashes[i * DIGITS : (i + 1) * DIGITS] for i in range(len(of))]
            return cls(tuple((int(h, 16), str(labels[n])) for h, n in zip(parts, of, strict=True)))
        except (KeyError, TypeError, ValueError, IndexError):
            return cls()
