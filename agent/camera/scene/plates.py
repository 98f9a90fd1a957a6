"""Bodies of traffic signs: rings, triangles, discs, and the lines that end a rule. Pure."""

from typing import Final

from agent.camera.scene.pen import Colour, Pen, arc

WHITE: Final[Colour] = (243, 244, 244)
BLACK: Final[Colour] = (26, 24, 24)
GREY: Final[Colour] = (120, 118, 118)
RED: Final[Colour] = (34, 26, 196)
BLUE: Final[Colour] = (168, 84, 16)
YELLOW: Final[Colour] = (20, 170, 248)
GREEN: Final[Colour] = (120, 150, 20)
_TRIANGLE: Final = ((50.0, 12.0), (92.0, 86.0), (8.0, 86.0))
_MIDDLE: Final = 61.3
"""Height of the triangle's centre."""


def ring(pen: Pen) -> None:
    """White disc with a red ring: prohibitions and limits."""
    pen.circle(50, 50, 49, WHITE)
    pen.circle(50, 50, 47.2, RED)
    pen.circle(50, 50, 35.8, WHITE)


def triangle(pen: Pen) -> None:
    """White triangle on its base with a red border: warnings."""
    pen.polygon(_TRIANGLE, WHITE, 5.0)
    pen.polygon(_TRIANGLE, RED, 3.6)
    pen.polygon(_scaled(0.69), WHITE, 1.6)


def yield_triangle(pen: Pen) -> None:
    """White triangle on its tip with a red border: yield."""
    pen.polygon(_flipped(1.0), WHITE, 5.0)
    pen.polygon(_flipped(1.0), RED, 3.6)
    pen.polygon(_flipped(0.66), WHITE, 1.2)


def diamond(pen: Pen) -> None:
    """Yellow square on its corner in a white border: priority road."""
    corners = ((50.0, 5.0), (95.0, 50.0), (50.0, 95.0), (5.0, 50.0))
    pen.polygon(corners, BLACK, 3.6)
    pen.polygon(corners, WHITE, 2.8)
    for reach, colour in ((27.5, BLACK), (26.0, YELLOW)):
        pen.polygon(
            ((50, 50 - reach), (50 + reach, 50), (50, 50 + reach), (50 - reach, 50)), colour, 1.5
        )


def octagon(pen: Pen) -> None:
    """Red octagon with a white edge."""
    for radius, colour in ((51.5, WHITE), (48.6, RED)):
        pen.polygon(arc(50, 50, radius, radius, 22.5, 382.5)[::6], colour)


def disc(pen: Pen) -> None:
    """Blue disc with a thin white edge: orders."""
    pen.circle(50, 50, 49, WHITE)
    pen.circle(50, 50, 47.4, BLUE)


def ended(pen: Pen) -> None:
    """White disc with a thin dark edge: the body of signs that end a rule."""
    pen.circle(50, 50, 49, WHITE)
    pen.circle(50, 50, 47.6, GREY)
    pen.circle(50, 50, 46.2, WHITE)


def end_lines(pen: Pen) -> None:
    """Five thin black lines from lower left to upper right."""
    for shift in (-11.0, -5.5, 0.0, 5.5, 11.0):
        reach = 32.6 if abs(shift) < 8 else 30.4
        half = shift / 2**0.5
        pen.stroke(
            ((50 - reach + half, 50 + reach + half), (50 + reach + half, 50 - reach + half)),
            2.6,
            BLACK,
        )


def _scaled(factor: float) -> list[tuple[float, float]]:
    return [(50 + (x - 50) * factor, _MIDDLE + (y - _MIDDLE) * factor) for x, y in _TRIANGLE]


def _flipped(factor: float) -> list[tuple[float, float]]:
    return [(x, 98 - y) for x, y in _scaled(factor)]
