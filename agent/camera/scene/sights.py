"""Things as they appear in one frame: where, how much of them, and signs on their poles. Pure."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from agent.camera.scene.camera import Placement, Pose, Pyramid, paste, pyramid
from agent.camera.scene.foreign import draw_foreign
from agent.camera.scene.pen import Pen
from agent.camera.scene.plan import Leaves, Thing
from agent.camera.scene.plates import BLACK, WHITE
from agent.camera.scene.scenery import draw_scenery
from agent.camera.scene.signs import draw_sign
from agent.camera.scene.weather import Weather, colour_table
from agent.vision.types import Image

SHINE: Final = {"post": 1.0, "billboard": 0.5, "parked": 0.35, "oncoming": 0.35}
"""Share of the headlights that comes back, by role."""
_GRID: Final = 8
"""What is covered is counted on so many points a side."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A thing as it appears in one frame."""

    thing: Thing
    metres: float
    place: Placement


@lru_cache(maxsize=192)
def _drawn(role: str, name: str) -> Pyramid:
    if role != "post":
        return pyramid(draw_scenery(role, int(name)))
    return pyramid(draw_foreign(name[1:]) if name.startswith("?") else draw_sign(name))


def picture(thing: Thing) -> Pyramid:
    """Return the drawing of a thing."""
    return _drawn(thing.role, thing.name)


@lru_cache(maxsize=1)
def _plate() -> Pyramid:
    pen = Pen(80)
    pen.box(2, 30, 98, 70, BLACK)
    pen.box(4, 32, 96, 68, WHITE)
    for x0, x1 in ((14, 34), (39, 60), (65, 86)):
        pen.box(x0, 44, x1, 57, BLACK)
    return pyramid(pen.finish())


def place_of(thing: Thing, metres: float, pose: Pose) -> Placement:
    """Return where a thing shows that is so many metres ahead."""
    rows, columns = picture(thing)[0].alpha.shape
    scale = pose.focal * thing.size / metres / max(rows, columns)
    width, height = columns * scale, rows * scale
    x, y = pose.project(thing.across, thing.up, metres)
    if not thing.up:
        y -= height / 2
    return Placement(x, y, width * np.cos(np.radians(thing.yaw)), height, thing.tilt)


def paint_post(frame: Image, sight: Sight, pose: Pose, weather: Weather, signs: bool) -> None:
    """Paint a sign's pole, the plate under it, and with `signs` the sign and its branch."""
    thing, place = sight.thing, sight.place
    dull = colour_table(weather, sight.metres, 0.4, 1.0)
    _paint_pole(frame, sight, pose, dull)
    if thing.plate:
        under = Placement(
            place.x, place.y + 0.5 * place.height + 0.28 * place.width,
            0.95 * place.width, 0.4 * place.width, thing.tilt,
        )  # fmt: skip
        paste(frame, _plate(), under, colour_table(weather, sight.metres, 1.0, 0.9), soft=True)
    if not signs:
        return
    table = colour_table(weather, sight.metres, SHINE["post"], thing.fade)
    paste(frame, picture(thing), place, table, soft=True)
    if thing.leaves:
        size = thing.leaves.size * place.height
        x = place.x + thing.leaves.right * place.width
        over = Placement(x, place.y + thing.leaves.down * place.height, size, size)
        paste(frame, _drawn("leaves", str(thing.leaves.number)), over, dull, soft=True)


def _paint_pole(frame: Image, sight: Sight, pose: Pose, table: Image) -> None:
    thing = sight.thing
    colour = table[0, 128]
    half = 0.5 * 0.08 * pose.focal / sight.metres
    x, foot = sight.place.x, pose.project(0, 0, sight.metres)[1]
    if thing.up > 4:  # it hangs from an arm over the road
        pole, _ = pose.project(3.0, 0, sight.metres)
        _fill(frame, x, sight.place.y - half, pole, sight.place.y + half, colour)
        x = pole
    _fill(frame, x - half, sight.place.y - half, x + half, foot, colour)


def _fill(frame: Image, x0: float, y0: float, x1: float, y1: float, colour: Image) -> None:
    left, right = max(0, round(x0)), max(0, round(x1), round(x0) + 1)
    frame[max(0, round(y0)) : max(0, round(y1)), left:right] = colour


def uncovered(place: Placement, nearer: list[Sight]) -> float:
    """Return the share of a thing that no nearer one stands before."""
    left, top, right, bottom = place.extent
    steps = (np.arange(_GRID) + 0.5) / _GRID
    x, y = left + steps * (right - left), (top + steps * (bottom - top))[:, None]
    free = np.ones((_GRID, _GRID), bool)
    for other in nearer:
        x0, y0, x1, y1 = other.place.extent
        if x0 < right and x1 > left and y0 < bottom and y1 > top:
            free &= ~((x > x0) & (x < x1) & (y > y0) & (y < y1))
    return float(free.mean())


@lru_cache(maxsize=64)
def leaf_share(leaves: Leaves | None) -> float:
    """Return the share of a round sign that its branch covers (leaves fill 0.8 of a circle)."""
    if leaves is None:
        return 0.0
    steps = np.linspace(-0.5, 0.5, 32)
    x, y = np.meshgrid(steps, steps)
    sign = np.hypot(x, y) < 0.5
    hidden = np.hypot(x - leaves.right, y - leaves.down) < 0.4 * leaves.size
    return 0.9 * float((sign & hidden).sum() / sign.sum())
