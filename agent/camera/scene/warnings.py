"""Black symbols of warning signs, drawn for the white inside of the triangle. Pure."""

from agent.camera.scene.pen import Colour, Pen, Point, arc, turned
from agent.camera.scene.plates import BLACK, GREEN, RED, YELLOW


def crossroads(pen: Pen) -> None:
    """Thick arrow upwards over a thin bar: right of way."""
    pen.polygon(
        (
            (50, 35),
            (59.5, 46),
            (55.8, 46),
            (55.8, 77),
            (50, 73),
            (44.2, 77),
            (44.2, 46),
            (40.5, 46),
        ),
        BLACK,
    )
    pen.box(35, 55.5, 65, 61, BLACK)


def exclamation(pen: Pen) -> None:
    """Exclamation mark."""
    pen.polygon(((45.4, 39), (54.6, 39), (51.8, 65.5), (48.2, 65.5)), BLACK, 0.6)
    pen.circle(50, 73, 4.3, BLACK)


def curve(pen: Pen, side: int) -> None:
    """Arrow that bends; `side` -1: to the left, 1: to the right."""
    path = ((60.0, 77.0), (60.0, 68.0), *arc(48, 67, 12, 11, 0, -80), (46.0, 56.0))
    pen.stroke(_mirrored(path, side), 7.6, BLACK)
    pen.head((50 - side * -1 * 14.5, 55.6), 180 if side < 0 else 0, 11, 15.5, BLACK)


def double_curve(pen: Pen) -> None:
    """Arrow that bends left, then right again."""
    pen.stroke(((57, 78.5), (57, 62), (44.5, 66), (44.5, 52)), 7.4, BLACK)
    pen.head((44.5, 40.5), -90, 13, 15, BLACK)


def bumps(pen: Pen) -> None:
    """Two bumps on a line."""
    pen.box(30, 73.5, 70, 77.5, BLACK)
    for x in (40.0, 60.0):
        pen.polygon(arc(x, 74, 9.5, 8.5, 180, 360), BLACK)


def skidding(pen: Pen) -> None:
    """Tilted car from behind over two wavy tracks."""
    tilt, centre = 14.0, (50.0, 52.0)
    for part in (
        ((40, 49.5), (60, 49.5), (61, 52), (61, 58.5), (39, 58.5), (39, 52)),
        ((40.5, 58), (44.5, 58), (44.5, 62.5), (40.5, 62.5)),
        ((55.5, 58), (59.5, 58), (59.5, 62.5), (55.5, 62.5)),
    ):
        pen.polygon(turned(part, centre, tilt), BLACK)
    roof = ((42.0, 49.5), (44.5, 42.5), (55.5, 42.5), (58.0, 49.5))
    pen.stroke(turned(roof, centre, tilt), 1.6, BLACK)
    for x in (39.0, 54.0):
        wave = (*arc(x + 5, 66, 6, 3.2, -90, 60), *arc(x + 3, 74.0, 6, 3.6, -90, -260))
        pen.stroke(wave, 2.7, BLACK)


def narrow_right(pen: Pen) -> None:
    """Two lines of which the right one bends inwards."""
    pen.stroke(((42.5, 77.5), (42.5, 43)), 5.2, BLACK)
    pen.stroke(((61, 77.5), (61, 66), (53.5, 57.5), (53.5, 43)), 5.2, BLACK)


def digging(pen: Pen) -> None:
    """Worker with a shovel beside a heap."""
    pen.circle(48.2, 40.8, 4.0, BLACK)
    pen.polygon(((45, 46), (52, 47.5), (50, 52), (47, 62), (39.5, 60.5), (41.5, 52)), BLACK, 0.6)
    pen.stroke(((42.5, 60), (38, 68.5), (34.5, 78)), 5.2, BLACK)
    pen.stroke(((45.5, 60), (47, 68), (45.5, 78)), 5.0, BLACK)
    pen.stroke(((49.5, 48.5), (53, 55), (49, 60)), 3.4, BLACK)
    pen.stroke(((43, 54), (59, 72)), 2.3, BLACK)
    pen.polygon(((49.5, 78.5), (58, 70), (63, 66.5), (73.5, 78.5)), BLACK)


def lamps(pen: Pen) -> None:
    """Three lamps of a traffic light."""
    lit: tuple[tuple[float, Colour], ...] = ((41.0, RED), (55.5, YELLOW), (70.0, GREEN))
    for y, colour in lit:
        pen.circle(50, y, 5.4, colour)


def walking(pen: Pen) -> None:
    """One person who walks."""
    pen.circle(50.5, 36.5, 3.7, BLACK)
    pen.polygon(((46.5, 42), (54, 42), (54.5, 58), (47, 58)), BLACK, 0.8)
    pen.stroke(((48.5, 57), (46.5, 67), (40.5, 78)), 4.6, BLACK)
    pen.stroke(((52.5, 57), (55.5, 67), (59.5, 78)), 4.6, BLACK)
    pen.stroke(((47, 43), (42, 51), (40.5, 58)), 3.0, BLACK)
    pen.stroke(((53.5, 43), (57.5, 51), (62, 55)), 3.0, BLACK)


def children(pen: Pen) -> None:
    """Two children who run hand in hand."""
    _runner(pen, (57, 45), 1.0)
    _runner(pen, (38, 55), 0.72)
    pen.stroke(((41, 60), (46, 63), (51, 58)), 2.6, BLACK)


def _runner(pen: Pen, neck: Point, size: float) -> None:
    x, y = neck

    def at(*points: Point) -> tuple[Point, ...]:
        return tuple((x + u * size, y + v * size) for u, v in points)

    pen.circle(x + 1.5 * size, y - 4.5 * size, 3.9 * size, BLACK)
    pen.polygon(at((-3, 0.5), (3.5, 0.5), (2.5, 15), (-4.5, 15)), BLACK, 0.7)
    pen.stroke(at((0.5, 14), (6.5, 21), (5.5, 31.5)), 4.6 * size, BLACK)
    pen.stroke(at((-2, 14), (-6, 22), (-13.5, 28)), 4.4 * size, BLACK)
    pen.stroke(at((3, 2), (8, 8), (13.5, 8)), 3.2 * size, BLACK)
    pen.stroke(at((-3, 2), (-7, 9), (-6, 13.5)), 3.2 * size, BLACK)


def bicycle(pen: Pen) -> None:
    """Bicycle from the side."""
    for x in (37.5, 62.5):
        pen.stroke(arc(x, 69.5, 8.3, 8.3, 0, 367), 2.3, BLACK)
    pen.stroke(((37.5, 69.5), (44, 57.5), (58, 57.5), (49, 69.5), (37.5, 69.5)), 2.4, BLACK)
    pen.stroke(((49.5, 70), (43, 53.5)), 2.4, BLACK)
    pen.stroke(((62.5, 69.5), (57, 53), (61.5, 51)), 2.4, BLACK)
    pen.stroke(((39.5, 53.2), (46.5, 53.2)), 2.8, BLACK)


def snowflake(pen: Pen) -> None:
    """Snowflake of six arms."""
    centre = (50.0, 60.0)
    for degrees in range(0, 360, 60):
        pen.stroke(turned(((50, 60), (50, 43)), centre, degrees), 3.0, BLACK)
        pen.stroke(turned(((44.8, 45.5), (50, 51), (55.2, 45.5)), centre, degrees), 2.6, BLACK)


def deer(pen: Pen) -> None:
    """Leaping deer, facing left."""
    pen.polygon(
        (
            (35.5, 47.5), (40, 44.5), (43, 45), (44, 51), (46, 55.5), (53, 58), (60, 61.5),
            (63, 65.5), (60, 69.5), (52, 67), (45, 64.5), (42, 60), (40.5, 51), (36, 50),
        ),
        BLACK,
        0.5,
    )  # fmt: skip
    for leg in (
        ((44, 62), (38, 61), (33.5, 66)),
        ((45, 63), (41, 66), (36, 70.5)),
        ((60, 67), (63.5, 73), (69.5, 77.5)),
        ((61, 65), (66, 70), (71, 73)),
    ):
        pen.stroke(leg, 2.9, BLACK)
    pen.stroke(((40.5, 45.5), (41, 40), (39, 36.5)), 1.6, BLACK)
    pen.stroke(((42, 45.5), (44.5, 40.5), (44, 37)), 1.6, BLACK)
    pen.polygon(((62, 62), (65.5, 60.5), (63.5, 65)), BLACK)


def _mirrored(points: tuple[Point, ...], side: int) -> tuple[Point, ...]:
    return points if side < 0 else tuple((100 - x, y) for x, y in points)
