"""Is a picture worth classifying: black, white, covered, torn, frozen, or fine? Pure.

Runs on every frame, so it looks at a coarse grid of some 800 pixels. Where a whole picture has to
be compared (before a camera is called frozen), it is hashed in full.
"""

import zlib
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np

from agent.vision.types import Image

Condition = Literal["ok", "black", "blinded", "covered", "torn", "frozen"]

BLACK_MEAN: Final = 8.0
WHITE_MEAN: Final = 247.0
FLAT_STD: Final = 3.0
ROWS: Final = 24
COLUMNS: Final = 32
COVERED_AFTER_S: Final = 10.0
"""A lorry may stand before the lens for a moment."""
LOOK_AGAIN_S: Final = 1.0
"""How often the whole of a picture with little in it is searched."""
SMALLEST: Final = 48
"""Pixels of a side below which a picture is too small to say what is in it."""
PLENTY: Final = 24
LITTLE: Final = 4
"""Relief, in grey levels: of the grid, above which there is surely something to see; of the whole
picture, below which there is nothing but noise and a slow change of brightness."""
TORN_SHARE: Final = 8
"""A picture is torn where the lowest 1/8 of it, or more, was never filled."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a frame is good for."""

    usable: bool
    """False: do not classify it."""
    condition: Condition
    """The camera's condition, which follows single frames only after a while (see below)."""


class FrameJudge:
    """Judges the frames of one open source, in order.

    A frame without a picture is never usable, yet a live camera counts as black, blinded or torn
    only after `black_after_s` of nothing else, so that a flickering lamp does not flood the
    status, and as covered after ten times that. A live camera is frozen when its picture has not
    changed in a single bit for `frozen_after_s`: sensor noise makes that impossible while it
    works. Pictures of a file were chosen by somebody: of them only black ones are left out.
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
        self._bad_since: float | None = None
        self._plain = False
        self._plain_until = float("-inf")
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
        fault = self._fault(image, sample, grid.shape, now)
        if fault == "ok":
            self._bad_since = None
            self._condition = "ok"
            return Judgement(usable=True, condition="ok")
        if self._bad_since is None:
            self._bad_since = now
        patience = self._black_after_s if fault != "covered" else COVERED_AFTER_S
        if now - self._bad_since >= patience:
            self._condition = fault
        return Judgement(usable=False, condition=self._condition)

    def _fault(self, image: Image, sample: bytes, shape: tuple[int, ...], now: float) -> Condition:
        """Return what is wrong with this one frame."""
        values = np.frombuffer(sample, np.uint8)
        # The mean decides nearly always, and it is the cheaper half (of which `mean` costs double).
        total = int(np.add.reduce(values, dtype=np.uint32))
        if total < BLACK_MEAN * len(values) and values.std() < FLAT_STD:
            return "black"
        if not self._live:
            return "ok"
        if total > WHITE_MEAN * len(values) and values.std() < FLAT_STD:
            return "blinded"
        if is_torn(image):
            return "torn"
        return "covered" if self._is_plain(image, values.reshape(shape), now) else "ok"

    def _is_plain(self, image: Image, grid: Image, now: float) -> bool:
        if min(image.shape[:2]) < SMALLEST or relief(grid, (8, 6)) >= PLENTY:
            self._plain_until = float("-inf")
            return False
        if now >= self._plain_until:
            self._plain_until = now + LOOK_AGAIN_S
            self._plain = relief(image, (16, 12)) < LITTLE
        return self._plain

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


def relief(image: Image, size: tuple[int, int]) -> int:
    """Return the sharpest bend of brightness between neighbouring cells, in grey levels.

    A slow change over the whole picture, as a covered lens shows it, counts for nothing, and the
    averaging over each cell takes the noise away.

    Args:
        image: Height x width x 3.
        size: Cells per row and per column.
    """
    cells = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.int16)
    across = np.abs(np.diff(cells, 2, axis=1)).max()
    return int(max(across, np.abs(np.diff(cells, 2, axis=0)).max()))


def is_torn(image: Image) -> bool:
    """Tell whether the lower part is of the one colour that decoders leave where data is missing.

    That is the middle grey of a JPEG's or video's empty blocks, or the green of an empty YUV
    plane; from edge to edge, and not one pixel of it otherwise.
    """
    blue, green, red = (int(v) for v in image[-1, 0])
    grey = 126 <= green <= 131 and blue == green == red
    unfilled = blue == red == 0 and 130 <= green <= 140
    if not (grey or unfilled) or len(image) < SMALLEST:
        return False
    lowest = image[-(len(image) // TORN_SHARE) :]
    return bool((lowest == image[-1, 0]).all()) and not bool((image == image[-1, 0]).all())
