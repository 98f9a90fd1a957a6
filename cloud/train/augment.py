"""Distort training images the way roads, lenses and imperfect boxes do. Pure.

Geometry first, straight from the source image into the model input with the device's bilinear
sampling and its own widening of boxes; then light, colour, blur, noise and compression.
"""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from agent.contract.profile import Augmentation, Symmetry
from agent.vision.types import Box, Image, whole

Rng = np.random.Generator
DARK: Final = 0.3
"""Mean brightness, 0..1, below which a training image counts as dark."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How boxes become model inputs."""

    side: int
    margin: float
    whole_share: float


def training_input(image: Image, box: Box, cut: Cut, limits: Augmentation, rng: Rng) -> Image:
    """Return one distorted model input, BGR uint8, shape (side, side, 3).

    Args:
        image: BGR uint8, any size.
        box: The object inside it.
        cut: Model input and margin.
        limits: How far geometry and brightness may go.
        rng: The only source of chance.
    """
    region = whole(image) if rng.random() < cut.whole_share else jittered(box, image, limits, rng)
    region = region.widened(cut.margin, image.shape[1], image.shape[0])
    small = _warped(image, region, cut.side, limits, rng)
    small = _coloured(small, limits.brightness, limits.colour, rng)
    return _degraded(small, rng)


def jittered(box: Box, image: Image, limits: Augmentation, rng: Rng) -> Box:
    """Return a box as an imperfect proposer would draw it, cut to the image."""
    height, width = image.shape[:2]
    grow = rng.uniform(-limits.scale / 2, limits.scale, 2) + rng.uniform(-0.03, 0.03, 2)
    move = rng.uniform(-limits.shift, limits.shift, 2)
    w, h = box.width * (1 + grow[0]), box.height * (1 + grow[1])
    x = (box.x0 + box.x1) / 2 + move[0] * box.width
    y = (box.y0 + box.y1) / 2 + move[1] * box.height
    x0, y0 = max(0, round(x - w / 2)), max(0, round(y - h / 2))
    x1, y1 = min(width, round(x + w / 2)), min(height, round(y + h / 2))
    if x1 - x0 < 2 or y1 - y0 < 2:
        return box
    return Box(x0, y0, x1, y1)


def flipped(small: Image, symmetry: Symmetry, mirror: bool, rng: Rng) -> tuple[Image, bool]:
    """Flip an input where its class allows it.

    Returns:
        The input, and True where it now belongs to the class's mirror.
    """
    if symmetry in ("vertical", "both") and rng.random() < 0.5:
        small = small[::-1]
    if symmetry in ("horizontal", "both") and rng.random() < 0.5:
        return small[:, ::-1], False
    if mirror and symmetry != "horizontal" and rng.random() < 0.5:
        return small[:, ::-1], True
    return small, False


def _warped(image: Image, region: Box, side: int, limits: Augmentation, rng: Rng) -> Image:
    # Maps output pixels to source pixels; without distortion this is cv2.resize of the region.
    angle = math.radians(rng.uniform(-1, 1) * limits.rotate_degrees)
    zoom = math.exp(rng.uniform(-0.5, 0.5) * limits.scale)
    shear_x, shear_y = rng.uniform(-0.5, 0.5, 2) * limits.shear
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = turn @ np.array([[1.0, shear_x], [shear_y, 1.0]]) * zoom
    linear = np.diag([region.width / side, region.height / side]) @ linear
    middle = np.array([region.x0 + region.x1, region.y0 + region.y1]) / 2 - 0.5
    offset = middle - linear @ np.full(2, (side - 1) / 2)
    border = cv2.BORDER_REPLICATE if rng.random() < 0.7 else cv2.BORDER_REFLECT_101
    return _image(
        cv2.warpAffine(
            image,
            np.column_stack([linear, offset]),
            (side, side),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=border,
        )
    )


def _coloured(small: Image, strength: float, colour: float, rng: Rng) -> Image:
    """Change saturation, then light and white balance by one table per channel."""
    if rng.random() < 0.6:
        share = 1 + colour * (rng.uniform(0.3, 1.9) - 1)
        grey = cv2.cvtColor(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        small = _image(cv2.addWeighted(small, share, grey, 1 - share, 0))
    if rng.random() < 0.1:
        shift = round(colour * int(rng.integers(-6, 7)))
        hsv = cv2.cvtColor(small, cv2.COLOR_BGR2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + shift) % 180
        small = _image(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR))
    level = np.arange(256, dtype=np.float32)
    if rng.random() < 0.2:
        low, high = np.percentile(small[::2, ::2], (2, 98))
        level = (level - low) * (255 / max(8.0, high - low))
    level = np.clip(level / 255, 0, 1, dtype=np.float32) ** math.exp(
        rng.uniform(-strength, 0.6 * strength)
    )
    middle = float(level[int(small[::4, ::4].mean())])
    contrast = math.exp(rng.uniform(-strength, 0.7 * strength))
    # What is dark already is not made darker: nothing could be learned from black.
    light = math.exp(rng.uniform(-strength if middle > DARK else 0.0, strength))
    level = ((level - middle) * contrast + middle) * light + rng.uniform(-0.1, 0.1) * strength
    gains = np.exp(colour * rng.uniform(-0.12, 0.12, 3))
    table = np.clip(level[:, None] * gains * 255, 0, 255).astype(np.uint8)
    small = _image(cv2.LUT(small, table[None]))
    if rng.random() < 0.2:
        small = _shaded(small, rng)
    return small


def _shaded(small: Image, rng: Rng) -> Image:
    """Let light or a shadow's edge fall across the input."""
    side = small.shape[0]
    along = np.linspace(-1, 1, side, dtype=np.float32)
    angle = rng.uniform(0, 2 * math.pi)
    slope = (
        along[None] * math.cos(angle) + along[:, None] * math.sin(angle) - rng.uniform(-0.5, 0.5)
    )
    soft = 1 / (1 + np.exp(-slope * rng.uniform(1, 12)))
    gain = 1 + soft * rng.uniform(-0.6, 0.5)
    return _image(np.clip(small * gain[..., None], 0, 255).astype(np.uint8))


def _degraded(small: Image, rng: Rng) -> Image:
    if rng.random() < 0.25:
        small = _coarse(small, rng)
    kind = rng.random()
    if kind < 0.2:
        small = _image(cv2.GaussianBlur(small, (0, 0), rng.uniform(0.4, 1.6)))
    elif kind < 0.35:
        small = _image(cv2.filter2D(small, -1, _streak(rng)))
    elif kind < 0.5:
        soft = cv2.GaussianBlur(small, (0, 0), 1.5)
        amount = rng.uniform(0.3, 2.0)
        small = _image(cv2.addWeighted(small, 1 + amount, soft, -amount, 0))
    if rng.random() < 0.15:
        small = _patched(small, rng)
    if rng.random() < 0.3:
        noise = rng.standard_normal(small.shape, np.float32) * rng.uniform(2, 14)
        small = np.clip(small + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 85))]
        coded = cv2.imencode(".jpg", small, quality)[1]
        small = _image(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return small


def _coarse(small: Image, rng: Rng) -> Image:
    """Lose detail as a far sign does: small signs are most of the errors."""
    side = small.shape[0]
    few = max(8, round(side * rng.uniform(0.28, 0.7)))
    tiny = cv2.resize(small, (few, few), interpolation=cv2.INTER_AREA)
    return _image(cv2.resize(tiny, (side, side), interpolation=cv2.INTER_LINEAR))


def _streak(rng: Rng) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return the kernel of a straight motion blur, sum 1."""
    length = int(rng.integers(3, 8))
    angle = rng.uniform(0, math.pi)
    kernel = np.zeros((9, 9), np.float32)
    reach = length / 2
    start = (round(4 - reach * math.cos(angle)), round(4 - reach * math.sin(angle)))
    end = (round(4 + reach * math.cos(angle)), round(4 + reach * math.sin(angle)))
    cv2.line(kernel, start, end, 1.0)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _patched(small: Image, rng: Rng) -> Image:
    """Hide a corner of it, as leaves, stickers and snow do."""
    side = small.shape[0]
    w, h = (int(n) for n in rng.integers(side // 8, side // 3, 2))
    x, y = int(rng.integers(0, side - w)), int(rng.integers(0, side - h))
    hidden = small.copy()
    hidden[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    return _image(hidden)


def _image(array: object) -> Image:
    """Return what OpenCV gave as the type it is; nothing is copied."""
    image: Image = np.asarray(array, np.uint8)
    return image
