"""Sign crops cut out along the outline of their class. Pure."""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from agent.vision.types import Box, Image

Mask = npt.NDArray[np.uint8]
Corners = tuple[tuple[float, float], ...]

_EIGHTH: Final = 1 / (2 + math.sqrt(2))
TRIANGLE: Final[Corners] = ((0.5, 0.0), (1.0, 0.96), (0.94, 1.0), (0.06, 1.0), (0.0, 0.96))
YIELD: Final[Corners] = tuple((x, 1 - y) for x, y in TRIANGLE)
DIAMOND: Final[Corners] = ((0.5, 0.0), (1.0, 0.5), (0.5, 1.0), (0.0, 0.5))
OCTAGON: Final[Corners] = (
    (_EIGHTH, 0.0), (1 - _EIGHTH, 0.0), (1.0, _EIGHTH), (1.0, 1 - _EIGHTH),
    (1 - _EIGHTH, 1.0), (_EIGHTH, 1.0), (0.0, 1 - _EIGHTH), (0.0, _EIGHTH),
)  # fmt: skip
OUTLINES: Final[dict[str, Corners]] = {
    "Stop": OCTAGON,
    "Yield": YIELD,
    "Priority road": DIAMOND,
    **dict.fromkeys(
        (
            "Right-of-way at the next intersection", "General caution",
            "Dangerous curve to the left", "Dangerous curve to the right", "Double curve",
            "Bumpy road", "Slippery road", "Road narrows on the right", "Road work",
            "Traffic signals", "Pedestrians", "Children crossing", "Bicycles crossing",
            "Beware of ice/snow", "Wild animals crossing",
        ),
        TRIANGLE,
    ),
}  # fmt: skip
"""By class of the traffic-signs profile; all others are round."""
INSET: Final = 0.02
"""Boxes are drawn a little wide: the outline lies this share of them further in."""
BRIGHT: Final = 110.0
"""Crops whose brightest tenth is darker are lit up: from black nothing can be learned."""


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """One sign without what is behind it."""

    image: Image
    """BGR, tight around the sign."""
    mask: Mask
    """0..255, the same height and width."""


def cut_out(image: Image, box: Box, label: str) -> Cutout:
    """Cut a sign out of a picture (BGR uint8) along the outline of its class."""
    cut = image[box.y0 : box.y1, box.x0 : box.x1]
    height, width = cut.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    size = np.array([width, height]) - 1
    corners = OUTLINES.get(label)
    if corners is None:
        axes = (width / 2 * (1 - 2 * INSET), height / 2 * (1 - 2 * INSET))
        frame = ((size[0] / 2, size[1] / 2), (2 * axes[0], 2 * axes[1]), 0.0)
        cv2.ellipse(mask, frame, 255, -1, cv2.LINE_AA)
    else:
        points = np.array(corners) * (1 - 2 * INSET) + INSET
        cv2.fillPoly(mask, [np.rint(points * size * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    bright = max(1.0, float(np.percentile(cut, 90)))
    return Cutout(np.asarray(cv2.convertScaleAbs(cut, alpha=max(1.0, BRIGHT / bright))), mask)
