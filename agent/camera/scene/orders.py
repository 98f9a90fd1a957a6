"""Symbols of round signs: prohibitions, orders and their ends. Pure."""

from agent.camera.scene.glyphs import write
from agent.camera.scene.pen import Colour, Pen, Point, arc, turned
from agent.camera.scene.plates import BLACK, RED, WHITE


def limit(pen: Pen, number: str, colour: Colour = BLACK) -> None:
    """Write the number of a speed limit."""
    if len(number) == 2:
        write(pen, number, (50, 50), (22.5, 44), 6.3, colour)
    else:
        write(pen, number, (49, 50), (17.3, 40.5), 5.5, colour, (0.72, *(1.0,) * (len(number) - 1)))


def stop(pen: Pen) -> None:
    """Write STOP."""
    write(pen, "STOP", (50, 50), (17.2, 33), 5.6, WHITE)


def bar(pen: Pen) -> None:
    """White bar of no entry."""
    pen.circle(50, 50, 46.8, RED)
    pen.box(11.5, 41, 88.5, 59, WHITE)


def car(pen: Pen, x: float, y: float, colour: Colour) -> None:
    """Car from behind, 24 units wide, around (x, y)."""
    pen.polygon(((x - 12, y - 1), (x + 12, y - 1), (x + 12, y + 6), (x - 12, y + 6)), colour, 0.5)
    pen.polygon(((x - 9.5, y - 1), (x - 7, y - 8), (x + 7, y - 8), (x + 9.5, y - 1)), colour, 0.5)
    pen.polygon(((x - 7.2, y - 1.8), (x - 5.8, y - 6), (x + 5.8, y - 6), (x + 7.2, y - 1.8)), WHITE)
    for side in (-1, 1):
        pen.box(x + side * 9 - 2.4, y + 5, x + side * 9 + 2.4, y + 9.5, colour)
        pen.circle(x + side * 8.3, y + 2.4, 1.4, WHITE)


def lorry_behind(pen: Pen, x: float, y: float, colour: Colour) -> None:
    """Lorry from behind, 22 units wide, its floor at y + 7."""
    pen.box(x - 11, y - 21, x + 11, y + 2, colour)
    pen.box(x - 9, y + 2, x + 9, y + 4.5, colour)
    for side in (-1, 1):
        pen.box(x + side * 7 - 3.2, y + 3, x + side * 7 + 3.2, y + 9.5, colour)
    pen.box(x - 2.4, y + 4, x + 2.4, y + 7, colour)


def two_cars(pen: Pen, left: Colour, right: Colour) -> None:
    """Two cars side by side."""
    car(pen, 34, 49.5, left)
    car(pen, 66, 49.5, right)


def lorry_and_car(pen: Pen, left: Colour, right: Colour) -> None:
    """Lorry beside a car."""
    lorry_behind(pen, 35, 53, left)
    car(pen, 65, 53, right)


def lorry(pen: Pen) -> None:
    """Lorry from the side, facing left."""
    pen.box(41.5, 37, 77, 58.5, BLACK)
    pen.polygon(((23.5, 60), (23.5, 52), (28.5, 44), (39.5, 44), (39.5, 60)), BLACK, 0.5)
    pen.polygon(((27, 51.5), (30.2, 46), (33.5, 46), (33.5, 51.5)), WHITE)
    pen.box(23.5, 58, 77, 61.5, BLACK)
    for x in (32.0, 64.5):
        pen.circle(x, 62.5, 5.8, WHITE)
        pen.circle(x, 62.5, 4.8, BLACK)
        pen.circle(x, 62.5, 1.5, WHITE)


def ahead(pen: Pen) -> None:
    """Arrow straight up."""
    _arrow(pen, ((50, 84), (50, 34)), 11.5, (50, 13), -90)


def turn(pen: Pen, side: int) -> None:
    """Arrow from below that turns; `side` -1: left, 1: right."""
    path = ((36.0, 80.0), (36.0, 55.0), *arc(52, 55, 16, 16, 180, 270), (60.0, 39.0))
    _arrow(pen, _sided(path, side), 11.5, _sided(((81, 39),), side)[0], 0 if side > 0 else 180)


def fork(pen: Pen, side: int) -> None:
    """Arrow from below with a head up and one to the side; `side` -1: left, 1: right."""
    up = _sided(((41.0, 86.0), (41.0, 32.0)), side)
    _arrow(pen, up, 9.5, _sided(((41, 13),), side)[0], -90, 0.95)
    branch = (*arc(59, 74, 18, 18, 180, 270), (66.0, 56.0))
    tip = _sided(((84.5, 56),), side)[0]
    _arrow(pen, _sided(branch, side), 9.5, tip, 0 if side > 0 else 180, 0.95)


def keep(pen: Pen, side: int) -> None:
    """Arrow downwards to a side; `side` -1: left, 1: right."""
    path = _sided(((24.0, 26.0), (62.0, 64.0)), side)
    _arrow(pen, path, 12.0, _sided(((77.5, 77.5),), side)[0], 45 if side > 0 else 135, 1.05)


def roundabout(pen: Pen) -> None:
    """Three arrows that chase each other anticlockwise."""
    for degrees in (0.0, 120.0, 240.0):
        path = turned(arc(50, 50, 28, 28, 80, -2), (50, 50), degrees)
        pen.stroke(path, 9.0, WHITE)
        tip = turned(((75.0, 31.5),), (50, 50), degrees)[0]
        pen.head(tip, -106 + degrees, 17.5, 21, WHITE)


def _arrow(
    pen: Pen,
    path: tuple[Point, ...],
    width: float,
    tip: Point,
    degrees: float,
    size: float = 1.0,
) -> None:
    pen.stroke(path, width, WHITE)
    pen.head(tip, degrees, 22 * size, 31 * size, WHITE)


def _sided(points: tuple[Point, ...], side: int) -> tuple[Point, ...]:
    return points if side > 0 else tuple((100 - x, y) for x, y in points)
