"""Signs that belong to no class of the traffic-signs profile: the scene's puzzles. Pure."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final

from agent.camera.scene import orders, plates
from agent.camera.scene.glyphs import write
from agent.camera.scene.pen import Pen, Sprite, arc
from agent.camera.scene.plates import BLACK, BLUE, RED, WHITE, YELLOW
from agent.camera.scene.signs import SIDE
from agent.camera.scene.warnings import bicycle, walking

Painter = Callable[[Pen], None]


def _number(pen: Pen, number: str) -> None:
    plates.ring(pen)
    orders.limit(pen, number)


def _no_stopping(pen: Pen, lines: int) -> None:
    pen.circle(50, 50, 49, WHITE)
    pen.circle(50, 50, 47.5, RED)
    pen.circle(50, 50, 38, BLUE)
    for side in (-1, 1)[:lines]:
        pen.stroke(((50 - side * 31, 23), (50 + side * 31, 77)), 8.5, RED)


def _parking(pen: Pen) -> None:
    pen.polygon(((6, 6), (94, 6), (94, 94), (6, 94)), WHITE, 4)
    pen.polygon(((6, 6), (94, 6), (94, 94), (6, 94)), BLUE, 2)
    write(pen, "P", (50, 50), (38, 62), 11, WHITE)


def _crossing(pen: Pen) -> None:
    pen.polygon(((6, 6), (94, 6), (94, 94), (6, 94)), BLUE, 4)
    pen.polygon(((50, 12), (92, 86), (8, 86)), WHITE)
    walking(pen)


def _cycle_path(pen: Pen) -> None:
    plates.disc(pen)
    for x in (30.0, 70.0):
        pen.stroke(arc(x, 58, 15, 15, 0, 367), 4, WHITE)
    pen.stroke(((30, 58), (42, 38), (64, 38), (50, 58), (30, 58)), 4, WHITE)
    pen.stroke(((70, 58), (61, 30), (69, 27)), 4, WHITE)


def _no_bicycles(pen: Pen) -> None:
    plates.ring(pen)
    bicycle(pen)


def _yellow_warning(pen: Pen) -> None:
    corners = ((50.0, 5.0), (95.0, 50.0), (50.0, 95.0), (5.0, 50.0))
    for radius, colour in ((3.6, YELLOW), (1.6, BLACK), (0.2, YELLOW)):
        pen.polygon(corners, colour, radius)
    pen.stroke(((50, 78), (50, 42)), 9, BLACK)
    pen.head((50, 22), -90, 22, 26, BLACK)


def _weight(pen: Pen) -> None:
    plates.ring(pen)
    write(pen, "5,5t", (51, 50), (15, 30), 4.6, BLACK, (1, 0.5, 1, 0.8))


def _signpost(pen: Pen) -> None:
    pen.polygon(((5, 34), (82, 34), (95, 50), (82, 66), (5, 66)), BLACK, 2)
    pen.polygon(((5, 34), (82, 34), (95, 50), (82, 66), (5, 66)), YELLOW, 1)
    for x0, x1 in ((12, 30), (33, 48), (52, 71)):
        pen.box(x0, 44, x1, 56, BLACK)


_FOREIGN: Final[dict[str, Painter]] = {
    "limit-40": partial(_number, number="40"),
    "limit-130": partial(_number, number="130"),
    "no-stopping": partial(_no_stopping, lines=2),
    "no-parking": partial(_no_stopping, lines=1),
    "parking": _parking,
    "crossing": _crossing,
    "cycle-path": _cycle_path,
    "no-bicycles": _no_bicycles,
    "yellow-warning": _yellow_warning,
    "weight": _weight,
    "signpost": _signpost,
}
FOREIGN: Final = tuple(_FOREIGN)


@lru_cache(maxsize=32)
def draw_foreign(name: str) -> Sprite:
    """Draw one of `FOREIGN`, at most `SIDE` pixels a side, cut tight around it."""
    pen = Pen(SIDE)
    _FOREIGN[name](pen)
    return pen.finish()
