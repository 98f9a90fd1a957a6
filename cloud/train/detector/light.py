"""Light, lens and coding of a whole training scene. Pure."""

import math

import cv2
import numpy as np

from agent.vision.types import Image

Rng = np.random.Generator


def as_lit(image: Image, rng: Rng) -> Image:
    """Change saturation, brightness, contrast and white balance of a picture (BGR uint8)."""
    if rng.random() < 0.6:
        share = rng.uniform(0.3, 1.6)
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        image = np.asarray(cv2.addWeighted(image, share, grey, 1 - share, 0), np.uint8)
    level = np.linspace(0, 1, 256) ** math.exp(rng.uniform(-0.5, 0.5))
    middle = float(level[int(image[::8, ::8].mean())])
    light = math.exp(rng.uniform(-0.6 if middle > 0.3 else 0.0, 0.4))
    level = ((level - middle) * math.exp(rng.uniform(-0.5, 0.3)) + middle) * light
    gains = np.exp(rng.uniform(-0.12, 0.12, 3))
    table = np.clip(level[:, None] * gains * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[None]), np.uint8)


def as_taken(image: Image, rng: Rng) -> Image:
    """Blur or sharpen a picture, add noise and JPEG's blocks."""
    kind = rng.random()
    if kind < 0.2:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.3)), np.uint8)
    elif kind < 0.3:
        length = int(rng.integers(2, 6))
        image = np.asarray(cv2.blur(image, (length, 1)), np.uint8)
    elif kind < 0.5:
        # Bilinear sampling of a large frame is as sharp and as jagged as this.
        soft = cv2.GaussianBlur(image, (0, 0), 1.0)
        amount = rng.uniform(0.3, 1.5)
        image = np.asarray(cv2.addWeighted(image, 1 + amount, soft, -amount, 0), np.uint8)
    if rng.random() < 0.3:
        noise = rng.standard_normal(image.shape, np.float32) * rng.uniform(1, 12)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))]
        coded = cv2.imencode(".jpg", image, quality)[1]
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return image
