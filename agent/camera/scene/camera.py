"""From metres to pixels, and sprites onto a picture. Pure."""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from agent.camera.scene.pen import Mask, Sprite
from agent.vision.types import Image

_LENS: Final = 1.5
"""Focal length in widths of the frame: 37 degrees, a dashboard camera's middle."""
_EYE: Final = 1.3
"""Metres from the ground to the camera."""
_HORIZON: Final = 0.52
"""Share of the frame above it."""
_SMALLEST: Final = 8
"""Pyramids end at this side, pixels."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the camera looks."""

    focal: float
    """Pixels."""
    eye: float
    """Metres above ground."""
    middle: float
    """Column that shows straight ahead."""
    horizon: float
    """Row of the horizon."""

    def project(self, across: float, up: float, ahead: float) -> tuple[float, float]:
        """Return the pixel (x, y) of a point in metres; `ahead` > 0."""
        scale = self.focal / ahead
        return self.middle + across * scale, self.horizon + (self.eye - up) * scale


def pose_at(width: int, height: int, seconds: float, phase: float) -> Pose:
    """Return where the camera looks: the car sways a little, the road shakes it."""
    sway = 0.022 * width * math.sin(0.31 * seconds + phase) * math.sin(0.17 * seconds)
    shake = 0.0022 * height * math.sin(9.1 * seconds + phase) + 0.004 * height * math.sin(seconds)
    return Pose(_LENS * width, _EYE, width / 2 + sway, _HORIZON * height + shake)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a sprite goes: its middle and size in pixels, its turn."""

    x: float
    y: float
    width: float
    height: float
    degrees: float = 0.0
    """Clockwise."""

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """The upright box around it, x0, y0, x1, y1, not on whole pixels."""
        # For the shapes of signs (discs, triangles) a turn of few degrees hardly widens the box.
        dx, dy = self.width / 2, self.height / 2
        return self.x - dx, self.y - dy, self.x + dx, self.y + dy


Pyramid = tuple[Sprite, ...]
"""A sprite, and the same at half, quarter ... size: far things must not flicker."""


def pyramid(sprite: Sprite) -> Pyramid:
    """Halve a sprite again and again."""
    levels = [sprite]
    while min(levels[-1].alpha.shape) >= 2 * _SMALLEST:
        last = levels[-1]
        size = ((last.alpha.shape[1] + 1) // 2, (last.alpha.shape[0] + 1) // 2)
        bgr = cv2.resize(last.bgr, size, interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(last.alpha, size, interpolation=cv2.INTER_AREA)
        levels.append(Sprite(np.asarray(bgr, np.uint8), np.asarray(alpha, np.uint8)))
    return tuple(levels)


def paste(frame: Image, levels: Pyramid, place: Placement, table: Image, soft: bool) -> None:
    """Paint a sprite onto the frame, in place.

    Args:
        frame: BGR.
        levels: The sprite.
        place: Where to; may lie outside, wholly or in part.
        table: What light and air do to its colours, for `cv2.LUT`.
        soft: True: smooth edges (signs); False: hard ones, which is faster.
    """
    reach = 1 + (abs(math.sin(math.radians(place.degrees))) * max(place.width, place.height)) / 2
    left, top, right, bottom = place.extent
    x0, y0 = max(0, math.floor(left - reach)), max(0, math.floor(top - reach))
    x1 = min(frame.shape[1], math.ceil(right + reach))
    y1 = min(frame.shape[0], math.ceil(bottom + reach))
    if x1 <= x0 or y1 <= y0:
        return
    level = _level(levels, place)
    matrix = _to_sprite(level, place, x0, y0)
    size = (x1 - x0, y1 - y0)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    edge = cv2.BORDER_REPLICATE
    bgr = cv2.LUT(cv2.warpAffine(level.bgr, matrix, size, flags=flags, borderMode=edge), table)
    target = frame[y0:y1, x0:x1]
    if not soft:
        cover = cv2.warpAffine(
            level.alpha, matrix, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        )
        cv2.copyTo(bgr, (cover > 127).astype(np.uint8), target)
        return
    alpha = cv2.warpAffine(level.alpha, matrix, size, flags=flags)
    _blend(target, np.asarray(bgr, np.uint8), np.asarray(alpha, np.uint8))


def _level(levels: Pyramid, place: Placement) -> Sprite:
    for level in reversed(levels):
        if level.alpha.shape[0] >= place.height and level.alpha.shape[1] >= place.width:
            return level
    return levels[0]


def _to_sprite(
    level: Sprite, place: Placement, x0: int, y0: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the matrix from pixels of the cut at (x0, y0) to pixels of the sprite."""
    height, width = level.alpha.shape
    c, s = math.cos(math.radians(place.degrees)), math.sin(math.radians(place.degrees))
    scale = np.diag([width / place.width, height / place.height])
    linear = scale @ np.array([[c, s], [-s, c]])
    # Pixel centres lie at halves.
    middle = np.array([place.x - x0 - 0.5, place.y - y0 - 0.5])
    offset = np.array([width / 2 - 0.5, height / 2 - 0.5]) - linear @ middle
    return np.column_stack([linear, offset])


def _blend(target: Image, over: Image, alpha: Mask) -> None:
    share = alpha.astype(np.int32)[..., None]
    step = (over.astype(np.int32) - target) * (share + (share >> 7))
    target[...] = target + (step >> 8)
