"""From a decided region to a look: few bytes, still readable. Pure."""

from typing import Final

import cv2
import numpy as np

from agent.contract.codec import MAX_LOOK_BYTES
from agent.contract.config import Context, Settings
from agent.contract.errors import BadContentError
from agent.vision.types import Box, Image

QUALITY_STEP: Final = 10
MIN_QUALITY: Final = 45
SHRINK: Final = 0.8
MIN_SIDE: Final = 16
THUMBNAIL_SIDE: Final = 192
THUMBNAIL_BYTES: Final = 6_000
FRAME_SIDE: Final = 1_280
HEADROOM_BYTES: Final = 8 * 1024
"""Left in a look for its metadata and its crop."""
SHARP_SIDE: Final = 48
"""Sharpness is measured at this size, near what a classifier sees: smaller regions are blurred
by being enlarged, as they are for the model."""
FLAT: Final = 25.0
"""Added to a region's variance of brightness, so that noise on a flat one is not sharp."""


def encode_crop(image: Image, box: Box, settings: Settings) -> bytes:
    """Code a region as JPEG within the byte limit.

    Args:
        image: The frame, BGR uint8.
        box: Where to cut, inside the frame, margin already added.
        settings: Side, quality and byte limits.
    """
    cut = image[box.y0 : box.y1, box.x0 : box.x1]
    return fit_jpeg(cut, settings.crop_max_side, settings.crop_quality, settings.crop_max_bytes)


def sharpness(image: Image, box: Box) -> float:
    """Return how sharp a region is, >= 0: variance of the Laplacian over that of brightness.

    The usual measure of focus (J. Pech-Pacheco et al., ICPR 2000), made independent of contrast,
    so that a picture in fog is compared by its edges and not by the fog.
    """
    cut = image[box.y0 : box.y1, box.x0 : box.x1]
    small = cv2.resize(cut, (SHARP_SIDE, SHARP_SIDE), interpolation=cv2.INTER_LINEAR)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    edges = cv2.Laplacian(grey, cv2.CV_16S)
    spread, contrast = (float(cv2.meanStdDev(of)[1][0, 0]) ** 2 for of in (edges, grey))
    return spread / (contrast + FLAT)


def encode_context(image: Image, context: Context, crop_bytes: int) -> bytes:
    """Code what goes up beside the region; empty for `none`.

    Args:
        image: The frame after privacy masks, BGR uint8.
        context: Already held within the device's limits.
        crop_bytes: Size of the region's JPEG.
    """
    if context == "none":
        return b""
    if context == "thumbnail":
        return fit_jpeg(image, THUMBNAIL_SIDE, 70, THUMBNAIL_BYTES)
    return fit_jpeg(image, FRAME_SIDE, 85, MAX_LOOK_BYTES - HEADROOM_BYTES - crop_bytes)


def fit_jpeg(image: Image, max_side: int, quality: int, max_bytes: int) -> bytes:
    """Code as JPEG, lowering quality, then size, until it fits.

    Raises:
        BadContentError: not even a 16-pixel picture fits in `max_bytes`.
    """
    small = shrink(image, max_side)
    while True:
        for q in range(quality, min(MIN_QUALITY, quality) - 1, -QUALITY_STEP):
            coded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, q,
                                                 cv2.IMWRITE_JPEG_OPTIMIZE, 1])[1]  # fmt: skip
            if coded.size <= max_bytes:
                return coded.tobytes()
        side = int(max(small.shape[:2]) * SHRINK)
        if side < MIN_SIDE:
            raise BadContentError(f"a picture does not fit in {max_bytes} bytes")
        small = shrink(small, side)


def shrink(image: Image, max_side: int) -> Image:
    """Return the image scaled down so that its longer side is at most `max_side` pixels."""
    height, width = image.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1.0:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # INTER_AREA averages, so small text and rims survive; a look is rare, its cost is no matter.
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
