"""Where a fixed camera's picture moves: cheap region proposals. Pure."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from agent.vision.types import Box, FloatArray, Image, Region

WIDTH: Final = 160
"""Motion is looked for on a grey picture at most this many pixels wide."""
MIN_STEP: Final = 10.0
"""Smallest change of brightness, of 255, that counts."""
NOISES: Final = 4.0
"""A change must be so many times a pixel's usual one."""
RATE: Final = 0.05
"""Share of the new frame in the background, where nothing moves."""
RATE_MOVING: Final = 0.01
"""The same where something does: what stops is background after some hundred frames."""
SUDDEN: Final = 0.6
"""When more of the picture than this changed at once, the light or the view did."""
MERGE: Final = 2
"""Boxes nearer than this many small pixels are one."""

Mask = npt.NDArray[np.uint8]


class MotionDetector:
    """Finds what differs from a slowly following background. One per camera; keeps state.

    All work is on a small grey picture, so the cost does not grow with the frame. Slow light
    changes go into the background; a change of the whole picture's brightness (exposure) is
    subtracted; each pixel's own noise raises its threshold; a sudden change of most of the
    picture starts anew. The first frame proposes nothing.

    Args:
        min_size: Smallest side of a region in frame pixels.
        max_regions: Largest come first, others are dropped.
    """

    def __init__(self, min_size: int, max_regions: int) -> None:
        self._min_size = min_size
        self._max_regions = max_regions
        self._background: FloatArray = np.zeros((0, 0), np.float32)
        self._noise: FloatArray = np.zeros((0, 0), np.float32)

    def propose(self, image: Image) -> tuple[Region, ...]:
        """Take the next frame; return moving regions, largest first.

        Each region's score is the share of its box that moves.
        """
        small = _shrink(image)
        if self._background.shape != small.shape:
            self._restart(small)
            return ()
        difference = small - self._background
        difference -= np.float32(np.median(difference))
        change = np.abs(difference)
        moving = change > np.maximum(MIN_STEP, NOISES * self._noise)
        if moving.mean() > SUDDEN:
            self._restart(small)
            return ()
        self._learn(small, change, moving)
        scale = image.shape[1] / small.shape[1]
        return self._regions(_clean(moving), scale, image)

    def _restart(self, small: FloatArray) -> None:
        self._background = small
        self._noise = np.full(small.shape, MIN_STEP / NOISES / 2, np.float32)

    def _learn(self, small: FloatArray, change: FloatArray, moving: npt.NDArray[np.bool_]) -> None:
        rate = np.where(moving, np.float32(RATE_MOVING), np.float32(RATE))
        self._background += rate * (small - self._background)
        self._noise += rate * (change - self._noise)

    def _regions(self, mask: Mask, scale: float, image: Image) -> tuple[Region, ...]:
        height, width = image.shape[:2]
        regions = []
        for x0, y0, x1, y1 in _boxes(mask):
            box = Box(
                max(0, int(x0 * scale)), max(0, int(y0 * scale)),
                min(width, round(x1 * scale)), min(height, round(y1 * scale)),
            )  # fmt: skip
            if min(box.width, box.height) >= self._min_size:
                share = cv2.countNonZero(mask[y0:y1, x0:x1]) / ((x1 - x0) * (y1 - y0))
                regions.append(Region(box, share))
        regions.sort(key=lambda r: -r.box.area)
        return tuple(regions[: self._max_regions])


def _shrink(image: Image) -> FloatArray:
    height, width = image.shape[:2]
    size = (min(WIDTH, width), max(1, round(height * min(WIDTH, width) / width)))
    # Bilinear reads four pixels for each one it makes: independent of the frame's size.
    small = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    grey = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), (5, 5), 0)
    return grey.astype(np.float32)


def _clean(moving: npt.NDArray[np.bool_]) -> Mask:
    """Drop single pixels, close holes."""
    mask = moving.astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)
    return cv2.morphologyEx(opened, cv2.MORPH_CLOSE, kernel, iterations=2).astype(np.uint8)


def _boxes(mask: Mask) -> list[tuple[int, int, int, int]]:
    """Return the components' boxes, near ones merged."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes = [(int(x), int(y), int(x + w), int(y + h)) for x, y, w, h, _ in stats[1:]]
    merged: list[tuple[int, int, int, int]] = []
    while boxes:
        box = boxes.pop()
        near = next((b for b in merged if _near(box, b)), None)
        if near is None:
            merged.append(box)
            continue
        merged.remove(near)
        boxes.append(
            (min(box[0], near[0]), min(box[1], near[1]), max(box[2], near[2]), max(box[3], near[3]))
        )
    return merged


def _near(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return (
        a[0] - MERGE < b[2] and b[0] - MERGE < a[2] and a[1] - MERGE < b[3] and b[1] - MERGE < a[3]
    )
