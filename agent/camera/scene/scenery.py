"""Trees, houses, cars and billboards. Pure."""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np

from agent.camera.scene.pen import Colour, Pen, Sprite, arc

Rng = np.random.Generator
_SIDE: Final = 288
_PAINTS: Final[tuple[Colour, ...]] = (
    (30, 24, 170), (150, 70, 20), (20, 160, 225), (190, 190, 190), (60, 58, 56),
    (235, 235, 235), (40, 90, 40), (60, 60, 200),
)  # fmt: skip
_WALLS: Final[tuple[Colour, ...]] = (
    (190, 205, 215), (160, 190, 205), (200, 200, 200), (140, 165, 190), (110, 130, 165),
)  # fmt: skip
_ROOFS: Final[tuple[Colour, ...]] = ((50, 62, 105), (70, 72, 78), (55, 75, 120), (62, 58, 60))
VARIANTS: Final[dict[str, int]] = {
    "tree": 7, "house": 5, "parked": 8, "oncoming": 8, "billboard": 6, "leaves": 4,
}  # fmt: skip
"""How many drawings of each there are."""


def _shade(colour: Colour, factor: float) -> Colour:
    b, g, r = (max(0, min(255, round(v * factor))) for v in colour)
    return b, g, r


def _tree(pen: Pen, rng: Rng) -> None:
    pen.polygon(((46, 100), (48, 50), (52, 50), (54, 100)), (38, 52, 66))
    base: Colour = (
        int(rng.integers(25, 45)), int(rng.integers(75, 105)), int(rng.integers(45, 110)),
    )  # fmt: skip
    wide, high = rng.uniform(20, 30), rng.uniform(24, 33)
    for i in range(90):
        angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0, 1) ** 0.5
        x = 50 + wide * reach * np.cos(angle)
        y = 38 + high * reach * np.sin(angle)
        light = 0.55 + 0.3 * i / 90 + 0.35 * (1 - y / 70) + rng.uniform(-0.1, 0.1)
        pen.circle(x, y, rng.uniform(3, 7.5), _shade(base, light))


def _leaves(pen: Pen, rng: Rng) -> None:
    base: Colour = (30, int(rng.integers(80, 110)), int(rng.integers(50, 90)))
    for _ in range(40):
        angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0, 1) ** 0.5
        x, y = 50 + 38 * reach * np.cos(angle), 50 + 38 * reach * np.sin(angle)
        colour = _shade(base, rng.uniform(0.6, 1.15))
        pen.polygon(arc(x, y, rng.uniform(5, 10), rng.uniform(3, 6), 0, 360), colour)


def _house(pen: Pen, rng: Rng) -> None:
    wall = _WALLS[int(rng.integers(len(_WALLS)))]
    roof = _ROOFS[int(rng.integers(len(_ROOFS)))]
    pen.box(6, 42, 94, 100, wall)
    ridge = rng.uniform(12, 24)
    pen.polygon(((1, 43), (ridge, 18), (100 - ridge, 18), (99, 43)), roof)
    pen.box(68, 8, 75, 26, _shade(roof, 0.8))
    columns = int(rng.integers(3, 6))
    glass: Colour = (110, 90, 70)
    for column in range(columns):
        x = 13 + column * 78 / columns
        for y in (48, 74):
            pen.box(x - 1.2, y - 1.2, x + 9.2, y + 15.2, (225, 228, 230))
            pen.box(x, y, x + 8, y + 14, _shade(glass, rng.uniform(0.6, 1.4)))
    door = 13 + int(rng.integers(columns)) * 78 / columns
    pen.box(door - 1.5, 72, door + 10, 100, _shade(roof, 0.7))


def _car(pen: Pen, rng: Rng, rear: bool) -> None:
    paint = _PAINTS[int(rng.integers(len(_PAINTS)))]
    for x in (12, 76):
        pen.box(x, 76, x + 13, 98, (28, 28, 28))
    pen.polygon(((8, 52), (92, 52), (95, 66), (95, 86), (5, 86), (5, 66)), paint, 3)
    pen.polygon(((10, 52), (24, 24), (76, 24), (90, 52)), _shade(paint, 0.92), 3)
    pen.polygon(((17, 51), (27, 28), (73, 28), (83, 51)), (92, 80, 70), 1)
    pen.polygon(((30, 50), (36, 30), (52, 30), (46, 50)), (130, 120, 108))
    lamp: Colour = (30, 22, 190) if rear else (225, 240, 245)
    for x in (6, 80):
        pen.box(x, 58, x + 14, 67, lamp)
    pen.box(36, 70, 64, 77, (228, 230, 230))
    pen.box(4, 80, 96, 88, _shade(paint, 0.55))


def _billboard(pen: Pen, rng: Rng) -> None:
    for x in (20, 76):
        pen.box(x, 50, x + 4, 100, (90, 92, 95))
    back, front = (_PAINTS[int(i)] for i in rng.permutation(4)[:2])
    pen.box(2, 10, 98, 66, (225, 228, 230))
    pen.box(4, 12, 96, 64, back)
    if rng.random() < 0.5:
        pen.circle(rng.uniform(24, 34), 38, rng.uniform(13, 18), front)
    else:
        pen.box(10, 18, 40, 58, front)
    for row in range(3):
        end = rng.uniform(70, 92)
        pen.box(52, 22 + 12 * row, end, 28 + 12 * row, (238, 240, 240))


_PAINTERS: Final[dict[str, Callable[[Pen, Rng], None]]] = {
    "tree": _tree,
    "leaves": _leaves,
    "house": _house,
    "parked": lambda pen, rng: _car(pen, rng, True),  # noqa: FBT003 - rear
    "oncoming": lambda pen, rng: _car(pen, rng, False),  # noqa: FBT003 - front
    "billboard": _billboard,
}


@lru_cache(maxsize=64)
def draw_scenery(role: str, number: int) -> Sprite:
    """Draw a thing beside the road.

    Args:
        role: A key of `VARIANTS`.
        number: Which variant.
    """
    pen = Pen(_SIDE if role in ("tree", "house") else _SIDE // 2)
    _PAINTERS[role](pen, np.random.default_rng((len(role), number)))
    return pen.finish()
