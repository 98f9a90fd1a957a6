"""What is no object: patches of road scenes away from everything that is marked. Pure.

Two kinds, about as the device meets them: coloured patches, which proposers take for signs, and
boxes anywhere, of every size.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.vision.colour import propose_colour
from agent.vision.types import Box, Image

SIDES: Final = (12, 96)
"""Shortest and longest side of a patch, pixels."""
COLOURED: Final = 8
"""At most so many coloured patches a scene ..."""
ANYWHERE: Final = 8
"""... and so many others."""
OUTLINE: Final = 0.65
"""A coloured patch with a better outline may be a sign that nobody marked."""
AROUND: Final = 0.5
"""A patch is kept with this much of its surroundings, as distortion moves the box."""


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A cut of a scene, and the box inside it that holds nothing."""

    image: Image
    box: Box


def background_patches(
    image: Image, marked: tuple[Box, ...], rng: np.random.Generator
) -> tuple[Patch, ...]:
    """Cut patches out of a scene that touch no marked box.

    Args:
        image: BGR uint8.
        marked: All objects in it, of whatever class.
        rng: The only source of chance.
    """
    coloured = [
        region.box
        for region in propose_colour(image, SIDES[0], 2 * COLOURED)
        if region.score < OUTLINE
    ][:COLOURED]
    boxes = [*coloured, *(_anywhere(image, rng) for _ in range(ANYWHERE))]
    return tuple(_cut(image, box) for box in boxes if not any(box.overlap(m) > 0 for m in marked))


def _anywhere(image: Image, rng: np.random.Generator) -> Box:
    height, width = image.shape[:2]
    longest = min(SIDES[1], height - 1, width - 1)
    side = np.exp(rng.uniform(np.log(SIDES[0]), np.log(max(SIDES[0] + 1, longest))))
    w, h = (max(4, min(longest, round(side * stretch))) for stretch in rng.uniform(0.85, 1.15, 2))
    x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
    return Box(x, y, x + w, y + h)


def _cut(image: Image, box: Box) -> Patch:
    outer = box.widened(AROUND, image.shape[1], image.shape[0])
    inner = Box(box.x0 - outer.x0, box.y0 - outer.y0, box.x1 - outer.x0, box.y1 - outer.y0)
    return Patch(image[outer.y0 : outer.y1, outer.x0 : outer.x1].copy(), inner)
