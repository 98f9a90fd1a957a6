"""Digits and letters like those on German roads (the DIN 1451 manner). Pure.

Each is a list of centre lines in a cell one unit wide and one high.
"""

from collections.abc import Sequence
from typing import Final

from agent.camera.scene.pen import Colour, Pen, Point, arc

Lines = tuple[tuple[Point, ...], ...]

_O: Final = (
    *arc(0.5, 0.3, 0.5, 0.3, 180, 360),
    *arc(0.5, 0.7, 0.5, 0.3, 0, 180),
    (0.0, 0.3),
    (0.0, 0.29),
)
GLYPHS: Final[dict[str, Lines]] = {
    "0": (_O,),
    "1": (((0.1, 0.24), (0.62, 0.0), (0.62, 1.0)),),
    "2": (
        (*arc(0.5, 0.29, 0.5, 0.29, 190, 360), *arc(0.3, 0.29, 0.7, 0.4, 0, 38), (0.02, 1.0)),
        ((-0.06, 1.0), (1.04, 1.0)),
    ),
    "3": (
        (*arc(0.48, 0.26, 0.46, 0.26, 195, 450), (0.36, 0.52)),
        (*arc(0.48, 0.74, 0.52, 0.26, 270, 525),),
    ),
    "4": (((0.62, 0.0), (0.0, 0.72), (1.05, 0.72)), ((0.72, 0.42), (0.72, 1.05))),
    "5": (
        ((0.96, 0.0), (0.13, 0.0), (0.07, 0.48)),
        (*arc(0.46, 0.7, 0.54, 0.3, 215, 505),),
    ),
    "6": (
        (*arc(0.5, 0.69, 0.5, 0.31, 0, 360), (1.0, 0.69)),
        ((0.78, -0.03), (0.3, 0.3), (0.1, 0.5), (0.0, 0.69)),
    ),
    "7": (((0.0, 0.0), (1.0, 0.0), (0.92, 0.16), (0.42, 1.05)),),
    "8": (
        (*arc(0.5, 0.25, 0.42, 0.25, 0, 360), (0.92, 0.25)),
        (*arc(0.5, 0.74, 0.5, 0.26, 0, 360), (1.0, 0.74)),
    ),
    "9": (
        (*arc(0.5, 0.31, 0.5, 0.31, 0, 360), (1.0, 0.31)),
        ((0.22, 1.03), (0.7, 0.7), (0.9, 0.5), (1.0, 0.31)),
    ),
    "S": (
        (
            *arc(0.5, 0.25, 0.5, 0.25, -20, -270),
            *arc(0.5, 0.75, 0.5, 0.25, -90, 160),
        ),
    ),
    "T": (((-0.05, 0.0), (1.05, 0.0)), ((0.5, 0.0), (0.5, 1.07))),
    "O": (_O,),
    "P": (
        (
            (0.05, 1.07),
            (0.05, 0.0),
            (0.5, 0.0),
            *arc(0.62, 0.28, 0.38, 0.28, -90, 90),
            (0.05, 0.56),
        ),
    ),
    "H": (((0.0, -0.07), (0.0, 1.07)), ((1.0, -0.07), (1.0, 1.07)), ((0.0, 0.5), (1.0, 0.5))),
    ",": (((0.5, 0.92), (0.35, 1.2)),),
    "t": (((0.4, 0.1), (0.4, 0.85), (0.6, 1.0), (0.9, 1.0)), ((0.0, 0.38), (0.9, 0.38))),
}


def write(
    pen: Pen,
    text: str,
    centre: Point,
    cell: Point,
    stroke: float,
    colour: Colour,
    widths: Sequence[float] = (),
) -> None:
    """Write a short text.

    Args:
        pen: Where to.
        text: Characters of `GLYPHS`.
        centre: Middle of the text in sign units.
        cell: Outer width and height of one character.
        stroke: Line width; the gap between characters is 0.9 of it.
        colour: Of the lines.
        widths: Factor on each character's width; empty: all 1.
    """
    factors = widths or (1.0,) * len(text)
    gap = 0.9 * stroke
    x = centre[0] - (sum(factors) * cell[0] + gap * (len(text) - 1)) / 2
    height = cell[1] - stroke
    y = centre[1] - height / 2
    for letter, factor in zip(text, factors, strict=True):
        width = factor * cell[0] - stroke
        for line in GLYPHS[letter]:
            points = [(x + stroke / 2 + u * width, y + v * height) for u, v in line]
            pen.stroke(points, stroke, colour)
        x += factor * cell[0] + gap
