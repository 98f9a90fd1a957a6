"""Cut, resize and quantise pixels straight into an input tensor. Pure."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from agent.contract.errors import BadContentError
from agent.vision.types import Box, Image

HASHED: Final = (144, 128)
"""Width and height from which larger images are hashed."""

Tensor = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Quantisation:
    """real = scale * (quantised - zero_point); scale 0 marks a float tensor."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True, eq=False)
class PixelTable:
    """What each pixel value 0..255 becomes in the input tensor."""

    values: Tensor
    """Shape (256,), dtype of the tensor."""
    offset: int | None
    """Set when quantised = pixel + offset: 0 (copy) or -128 (flip the top bit)."""


def integer_limits(dtype: np.dtype[np.generic]) -> tuple[int, int]:
    """Return lowest and highest value of uint8 or int8."""
    return (-128, 127) if dtype == np.int8 else (0, 255)


def pixel_table(
    dtype: np.dtype[np.generic],
    quantisation: Quantisation,
    pixel_range: tuple[float, float] | None,
) -> PixelTable:
    """Tabulate the way from pixel to tensor value.

    Args:
        dtype: uint8, int8 or float32.
        quantisation: Of the input tensor.
        pixel_range: Real values of pixels 0 and 255; None means the whole quantised domain.

    Raises:
        BadContentError: dtype not supported, or a float input without `pixel_range`.
    """
    pixels = np.arange(256, dtype=np.float64)
    if dtype == np.float32:
        if pixel_range is None:
            raise BadContentError(
                "float input: state pixel_range, e.g. [0.0, 1.0] or [-1.0, 1.0], in the manifest"
                " or under [model]"
            )
        low, high = pixel_range
        return PixelTable((low + pixels / 255 * (high - low)).astype(np.float32), None)
    if dtype not in (np.uint8, np.int8):
        raise BadContentError(f"input dtype {dtype}: need uint8, int8 or float32")
    lowest, highest = integer_limits(dtype)
    if pixel_range is None:
        quantised = pixels + lowest
    else:
        low, high = pixel_range
        real = low + pixels / 255 * (high - low)
        quantised = np.rint(real / quantisation.scale + quantisation.zero_point)
    values = np.clip(quantised, lowest, highest).astype(dtype)
    exact = np.array_equal(values.astype(np.int64), np.arange(256) + lowest)
    return PixelTable(values, int(lowest) if exact else None)


def fill_input(
    view: Tensor,
    image: Image,
    box: Box,
    table: PixelTable,
    rgb: bool,
    small: Image | None = None,
) -> Image:
    """Write a region of an image into the input tensor.

    Args:
        view: The tensor, shape (1, height, width, 3), written in place.
        image: BGR, uint8.
        box: The cut, inside the image.
        table: From `pixel_table`.
        rgb: True where the model wants RGB.
        small: Where the resized cut goes, shape (height, width, 3); None: a new array.

    Returns:
        The resized cut as BGR uint8, shape (height, width, 3).

    Raises:
        BadContentError: the box is empty or outside the image.
    """
    cut = image[box.y0 : box.y1, box.x0 : box.x1]
    if box.x0 < 0 or box.y0 < 0 or cut.size == 0:
        raise BadContentError(f"region {box.as_tuple()} is not inside the frame")
    target = view[0]
    height, width = target.shape[:2]
    # Bilinear on purpose: INTER_AREA costs 30 times as much on a full frame, and training uses
    # this very function.
    if small is None:
        small = np.empty((height, width, 3), np.uint8)
    cv2.resize(cut, (width, height), dst=small, interpolation=cv2.INTER_LINEAR)
    if table.offset is not None:
        raw = target.view(np.uint8)
        if rgb:
            cv2.cvtColor(small, cv2.COLOR_BGR2RGB, dst=raw)
        else:
            raw[...] = small
        if table.offset:
            np.bitwise_xor(raw, 0x80, out=raw)
        return small
    target[...] = table.values[small[..., ::-1] if rgb else small]
    return small


def region_hash(image: Image, box: Box) -> int:
    """Return the difference hash of a region inside an image."""
    return difference_hash(image[box.y0 : box.y1, box.x0 : box.x1])


def difference_hash(image: Image) -> int:
    """Return the 64-bit difference hash of an image (BGR uint8, any size).

    Neighbouring brightness comparisons on a 9 x 8 grey version (dHash, N. Krawetz 2013).
    """
    # Averaging over a whole frame would take a millisecond and more.
    if image.shape[0] > HASHED[1] and image.shape[1] > HASHED[0]:
        image = np.asarray(cv2.resize(image, HASHED, interpolation=cv2.INTER_LINEAR), np.uint8)
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes(), "big")


def hash_distance(a: int, b: int) -> int:
    """Return how many of 64 bits differ."""
    return (a ^ b).bit_count()
