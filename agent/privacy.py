"""Privacy masks: blacked out before anything else sees the picture. Pure."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from agent.contract.config import Point
from agent.vision.types import Image

_BITS: Final = 8
"""Fractional bits of OpenCV's fixed-point corners."""
_EDGE: Final = 3
"""Pixels of the line around a mask: a pixel that is only touched is black as well."""


def apply_masks(image: Image, masks: Sequence[Sequence[Point]]) -> Image:
    """Black out polygons.

    Args:
        image: Height x width x 3, changed in place where its memory allows.
        masks: Polygons of at least 3 corners in shares of the frame, x then y, each 0..1. Each is
            filled by itself, so overlapping masks add up.

    Returns:
        The image without the masked pixels: the same array, or a copy of one that is read-only
        or not contiguous.
    """
    if not masks:
        return image
    if not image.flags.writeable or not image.flags.c_contiguous:
        image = np.array(image, np.uint8, order="C")
    for mask in masks:
        corners = _corners(mask, image.shape[1], image.shape[0])
        # One call a polygon: fillPoly counts crossings over all it is given, so two masks in one
        # call would uncover their overlap.
        cv2.fillPoly(image, [corners], (0, 0, 0), cv2.LINE_8, _BITS)
        cv2.polylines(image, [corners], True, (0, 0, 0), _EDGE, cv2.LINE_8, _BITS)  # noqa: FBT003 - OpenCV's order
    return image


def _corners(mask: Sequence[Point], width: int, height: int) -> npt.NDArray[np.int32]:
    # Pixel i covers i..i+1 and OpenCV counts from pixel centres.
    size = np.array([width, height], np.float64)
    pixels = np.array(mask, np.float64) * size - 0.5
    return np.asarray(np.rint(pixels * (1 << _BITS)), np.int32)
