"""Is a picture worth classifying: black, frozen, or fine? Pure.

Runs on every frame, so it looks at a coarse grid of some 800 pixels. Where a whole picture has to
be compared (before a camera is called frozen), it is hashed in full.
"""

import zlib
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from agent.vision.types import Image

Condition = Literal["ok", "black", "frozen"]

BLACK_MEAN: Final = 8.0
BLACK_STD: Final = 3.0
ROWS: Final = 24
COLUMNS: Final = 32


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a frame is good for."""

    usable: bool
    """False: do not classify it."""
    condition: Condition
    """The camera's condition, which follows single frames only after a while (see below)."""


class FrameJudge:
    """Judges the frames of one open source, in order.

    A black frame is never usable, yet a live camera counts as black only after `black_after_s`
    of nothing else, so that a flickering lamp does not flood the status. A live camera is frozen
    when its picture has not changed in a single bit for `frozen_after_s`: sensor noise makes that
    impossible while it works.
    """

    def __init__(
        self, *, live: bool, frozen_after_s: float = 30.0, black_after_s: float = 1.0
    ) -> None:
        """Start with a camera that is fine; only `live` ones can freeze."""
        self._live = live
        self._frozen_after_s = frozen_after_s
        self._black_after_s = black_after_s if live else 0.0
        self._sample = b""
        self._same_since = 0.0
        self._digest: int | None = None
        self._black_since: float | None = None
        self._condition: Condition = "ok"

    def judge(self, image: Image, now: float) -> Judgement:
        """Judge the next frame.

        Args:
            image: Height x width x 3, any size from 1 x 1.
            now: Monotonic seconds.
        """
        grid = image[:: max(1, image.shape[0] // ROWS), :: max(1, image.shape[1] // COLUMNS)]
        sample = grid.tobytes()
        if self._live and self._frozen(image, sample, now):
            self._condition = "frozen"
            return Judgement(usable=False, condition="frozen")
        if _is_black(sample):
            if self._black_since is None:
                self._black_since = now
            if now - self._black_since >= self._black_after_s:
                self._condition = "black"
            return Judgement(usable=False, condition=self._condition)
        self._black_since = None
        self._condition = "ok"
        return Judgement(usable=True, condition="ok")

    def _frozen(self, image: Image, sample: bytes, now: float) -> bool:
        if sample != self._sample:
            self._sample, self._same_since, self._digest = sample, now, None
            return False
        same_s = now - self._same_since
        if same_s < self._frozen_after_s / 2:
            return False
        # The grid stands still. A quiet scene at night may do that; the whole picture may not.
        digest = zlib.crc32(np.ascontiguousarray(image).data)
        if self._digest is None:
            self._digest = digest
        elif digest != self._digest:
            self._same_since, self._digest = now, None
            return False
        return same_s >= self._frozen_after_s


def _is_black(sample: bytes) -> bool:
    values = np.frombuffer(sample, np.uint8)
    # The mean decides nearly always, and it is the cheaper half (of which `mean` costs double).
    dark = np.add.reduce(values, dtype=np.uint32) < BLACK_MEAN * len(values)
    return bool(dark and values.std() < BLACK_STD)
