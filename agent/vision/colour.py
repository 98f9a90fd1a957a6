"""Patches in the colours and shapes of traffic signs: cheap region proposals. Pure.

Per pixel, how much one colour stands out, freed from brightness, after A. Ruta, Y. Li, X. Liu,
"Real-time traffic sign recognition from video by class-specific discriminative features",
Pattern Recognition 43 (2010); then connected patches, judged by size, aspect and fill, after
S. Maldonado-Bascon et al., "Road-sign detection and recognition based on support vector
machines", IEEE Trans. Intelligent Transportation Systems 8 (2007).

Signs without colour (those that end a rule are white, grey and black) are not found this way.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from agent.vision.types import Box, Image, Region

SMALLEST: Final = 8
"""The picture is made smaller until the smallest wanted sign has so many pixels a side."""
WORK_WIDTH: Final = (320, 640)
"""Least and most width of the picture that is searched, pixels."""
DARK: Final = 40
"""Added to the brightness that colours are divided by: what is black has no colour."""
LEVELS: Final = {"red": (24, 60), "blue": (44, 84), "yellow": (70, 112)}
"""How far a colour must stand out, 0..255. A faint patch may be a far sign in fog, a strong one
is a sign before something of its own colour (blue before the sky)."""
COMMON: Final = 0.1
"""Where more of the picture is faintly red, that is the colour of the light."""
ASPECT: Final = 1.7
"""Width by height, or the reverse, at most."""
LARGEST: Final = 0.6
"""Signs fill at most this share of the frame's height."""
FILLS: Final = (0.5, 0.79, 0.97)
"""Share of their box that triangles and diamonds, discs and octagons, and squares fill."""
MIN_SOLID: Final = 0.38
"""A patch fills at least this share of its convex hull, once its holes are closed."""
MIN_SCORE: Final = 0.25
DIAMOND: Final = (0.4, 0.66)
"""A yellow patch that fills so much of its box is the inside of a priority road sign ..."""
DIAMOND_RIM: Final = 0.33
"""... whose white rim adds this share of the patch on each side."""
SAME_IOU: Final = 0.45
"""Boxes that overlap more are one region."""
SAME_INSIDE: Final = 0.85
"""So is a box of which more lies inside a better one ..."""
PART: Final = 0.22
"""... unless it is smaller than this share of it: a sign before a house."""

Plane = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Patch:
    x: float
    y: float
    width: float
    height: float
    score: float


def propose_colour(image: Image, min_size: int, max_regions: int) -> tuple[Region, ...]:
    """Find what may be a traffic sign by red, blue and yellow.

    Args:
        image: BGR uint8.
        min_size: Smallest side of a region in pixels.
        max_regions: The best are returned, others dropped.

    Returns:
        Regions tight around each patch, best first; their score, 0..1, says how much the patch
        has the outline of a sign.
    """
    height, width = image.shape[:2]
    shrink = min(1.0, max(SMALLEST / min_size, WORK_WIDTH[0] / width), WORK_WIDTH[1] / width)
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR) if shrink < 1 else image
    patches: list[_Patch] = []
    for colour, plane in _planes(np.asarray(small, np.uint8)):
        for level in LEVELS[colour]:
            patches += _patches(plane, level, colour, min_size * shrink)
    patches.sort(key=lambda patch: -patch.score)
    regions: list[Region] = []
    for patch in patches:
        box = _box(patch, width / size[0], height / size[1], width, height)
        if min(box.width, box.height) >= min_size and not _repeats(box, regions):
            regions.append(Region(box, patch.score))
            if len(regions) == max_regions:
                break
    return tuple(regions)


def _planes(small: Image) -> Iterator[tuple[str, Plane]]:
    """Yield how much each colour stands out, as a share of the pixel's brightness, 0..255."""
    blue, green, red = cv2.split(small)
    bright = cv2.convertScaleAbs(cv2.max(cv2.max(blue, green), red), beta=DARK)
    # Leaves are yellow in this sense too, but less red than green.
    orange = cv2.subtract(red, green)
    sand = cv2.subtract(green, blue)
    for colour, plane in (
        ("red", cv2.subtract(cv2.subtract(orange, sand), cv2.subtract(blue, red))),
        ("blue", cv2.min(cv2.subtract(blue, red), cv2.subtract(blue, green))),
        ("yellow", cv2.min(cv2.convertScaleAbs(orange, alpha=4), sand)),
    ):
        yield colour, np.asarray(cv2.divide(plane, bright, scale=255), np.uint8)


def _patches(plane: Plane, level: int, colour: str, min_side: float) -> Iterator[_Patch]:
    _, mask = cv2.threshold(plane, level, 255, cv2.THRESH_BINARY)
    if (
        colour == "red"
        and level == LEVELS[colour][0]
        and cv2.countNonZero(mask) > COMMON * mask.size
    ):
        return
    # Outer contours alone: what a ring holds inside belongs to it.
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = LARGEST * plane.shape[0]
    least = 0.5 * min_side
    for contour in contours:
        if len(contour) < 2 * least:
            continue
        x, y, width, height = cv2.boundingRect(contour)
        if min(width, height) < least or max(width, height) > largest:
            continue
        if max(width, height) > ASPECT * min(width, height):
            continue
        if colour == "blue" and y == 0:  # the sky
            continue
        patch = _judged(np.asarray(contour, np.int32), (x, y, width, height), colour)
        if patch.score >= MIN_SCORE:
            yield patch


def _judged(
    contour: npt.NDArray[np.int32], frame: tuple[int, int, int, int], colour: str
) -> _Patch:
    x, y, width, height = frame
    # Contours run through pixel centres: half a pixel is missing all around.
    rim = len(contour) / 2 + 1
    area = cv2.contourArea(contour) + rim
    hull = cv2.convexHull(contour)
    hull_area = cv2.contourArea(hull) + cv2.arcLength(hull, closed=True) / 2 + 1
    solid = min(1.0, area / hull_area)
    if solid < MIN_SOLID:
        return _Patch(x, y, width, height, 0.0)
    fill = min(1.0, hull_area / (width * height))
    fit = 1 - 3 * min(abs(fill - known) for known in FILLS)
    even = min(width, height) / max(width, height)
    score = float(max(0.0, solid * (0.4 + 0.6 * fit) * (0.4 + 0.6 * even)))
    if colour == "yellow" and DIAMOND[0] < fill < DIAMOND[1]:
        dx, dy = DIAMOND_RIM * width, DIAMOND_RIM * height
        return _Patch(x - dx, y - dy, width + 2 * dx, height + 2 * dy, score)
    return _Patch(x, y, width, height, score)


def _box(patch: _Patch, across: float, down: float, width: int, height: int) -> Box:
    return Box(
        max(0, round(patch.x * across)), max(0, round(patch.y * down)),
        min(width, round((patch.x + patch.width) * across)),
        min(height, round((patch.y + patch.height) * down)),
    )  # fmt: skip


def _repeats(box: Box, regions: list[Region]) -> bool:
    for region in regions:
        iou = region.box.overlap(box)
        inner = iou * (box.area + region.box.area) / (1 + iou)
        is_part = inner > SAME_INSIDE * box.area and box.area > PART * region.box.area
        if iou > SAME_IOU or is_part:
            return True
    return False
