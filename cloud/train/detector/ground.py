"""Drawn grounds and things that are no signs. Pure."""

import math
from typing import Final

import cv2
import numpy as np

from agent.vision.types import Image
from cloud.train.detector.cutouts import Cutout, Mask

Rng = np.random.Generator
SIGN_COLOURS: Final = (
    (30, 30, 190), (170, 80, 20), (30, 190, 230), (235, 235, 235), (60, 130, 40), (20, 20, 20),
)  # fmt: skip
"""BGR: what catches the eye is painted in the colours of signs too."""


def drawn_ground(side: int, rng: Rng) -> Image:
    """Return a sky, a land and what stands there: boxes, poles and wires, side x side."""
    edge = rng.uniform(0.3, 0.9) * side
    rows = np.arange(side)[:, None, None]
    tops, feet = (rng.uniform(60, 250, 3), rng.uniform(60, 250, 3))
    sky = tops + (feet - tops) * rows / side
    land = rng.uniform(30, 170, 3) * (1 - 0.3 * rows / side)
    ground = np.broadcast_to(np.where(rows < edge, sky, land), (side, side, 3))
    cells = int(2 ** rng.uniform(2, 6.5))
    rough = rng.standard_normal((cells, cells, 1), np.float32) * rng.uniform(0, 40)
    cloud = cv2.resize(rough, (side, side), interpolation=cv2.INTER_LINEAR)[..., None]
    image = np.clip(ground + cloud, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 14))):
        _draw_block(image, rng)
    for _ in range(int(rng.integers(0, 10))):
        start, end = rng.integers(-20, side + 20, (2, 2)).tolist()
        if rng.random() < 0.5:  # a pole stands upright
            end[0] = start[0] + int(rng.integers(-3, 4))
        thick = int(rng.integers(1, 7))
        cv2.line(image, start, end, rng.integers(0, 256, 3).tolist(), thick, cv2.LINE_AA)
    return image


def distractor(signs: tuple[Cutout, ...], rng: Rng) -> Cutout:
    """Return something that draws the eye but is no sign: a part of one, a plate, a light."""
    kind = rng.random()
    if kind < 0.3 and signs:
        return _part(signs[int(rng.integers(len(signs)))], rng)
    if kind < 0.5:
        return _light(rng)
    return _plate(rng)


def _draw_block(image: Image, rng: Rng) -> None:
    side = image.shape[0]
    x, y = rng.integers(-side // 4, side, 2).tolist()
    w, h = (int(side * 2 ** rng.uniform(-4, -0.7)) for _ in range(2))
    cv2.rectangle(image, (x, y), (x + w, y + h), rng.integers(0, 256, 3).tolist(), -1)
    if rng.random() < 0.5:  # windows
        colour = rng.integers(0, 256, 3).tolist()
        step = int(rng.integers(6, 24))
        for left in range(x + step // 2, x + w - step // 2, step):
            for top in range(y + step // 2, y + h - step // 2, step):
                cv2.rectangle(image, (left, top), (left + step // 2, top + step // 2), colour, -1)


def _part(sign: Cutout, rng: Rng) -> Cutout:
    """Return a corner of a sign: the eye must see the whole outline."""
    height, width = sign.mask.shape
    w, h = max(2, int(width * rng.uniform(0.3, 0.5))), max(2, int(height * rng.uniform(0.3, 0.5)))
    x, y = (int(rng.choice((0, n))) for n in (width - w, height - h))
    cut = np.s_[y : y + h, x : x + w]
    return Cutout(sign.image[cut].copy(), sign.mask[cut].copy())


def _light(rng: Rng) -> Cutout:
    side = 33
    mask: Mask = np.zeros((side, side), np.uint8)
    cv2.circle(mask, (side // 2, side // 2), side // 2 - 2, 255, -1, cv2.LINE_AA)
    glow = np.asarray(cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 5)), np.uint8)
    colour = ((40, 40, 255), (60, 200, 255), (160, 255, 80), (240, 250, 255))[rng.integers(4)]
    image = np.full((side, side, 3), colour, np.uint8)
    cv2.circle(image, (side // 2, side // 2), side // 5, (250, 250, 250), -1, cv2.LINE_AA)
    return Cutout(image, glow)


def _plate(rng: Rng) -> Cutout:
    """Return a plate, disc or triangle in the colours of signs, plain or with lines of text."""
    height, width = 48, int(48 * math.exp(rng.uniform(-1.0, 1.2)))
    first, second = (SIGN_COLOURS[i] for i in rng.choice(len(SIGN_COLOURS), 2, replace=False))
    image = np.full((height, width, 3), first, np.uint8)
    mask: Mask = np.full((height, width), 255, np.uint8)
    shape = rng.random()
    if shape < 0.2:
        mask[...] = 0
        cv2.ellipse(mask, ((width / 2, height / 2), (width, height), 0.0), 255, -1, cv2.LINE_AA)
        return Cutout(image, mask)
    if shape < 0.3:
        mask[...] = 0
        cv2.fillPoly(mask, [rng.integers(0, (width, height), (3, 2)).astype(np.int32)], 255)
        return Cutout(image, mask)
    if rng.random() < 0.8:
        size = int(rng.integers(4, 14))
        for top in range(6, height - 6, size + 4):
            x = 4
            while x < width - 6:
                w = int(rng.integers(2, size + 4))
                cv2.rectangle(image, (x, top), (min(width - 5, x + w), top + size), second, -1)
                x += w + 3
    return Cutout(image, mask)
