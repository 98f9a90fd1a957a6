"""The scene's traffic signs, drawn by us, by label of the traffic-signs profile. Pure."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final

from agent.camera.scene import orders, plates, warnings
from agent.camera.scene.pen import Pen, Sprite
from agent.camera.scene.plates import BLACK, GREY, RED
from agent.contract.errors import BadContentError

Step = Callable[[Pen], None]
SIDE: Final = 160
"""Signs are drawn once at this many pixels a side and only ever made smaller."""

_WARNINGS: Final[dict[str, Step]] = {
    "Right-of-way at the next intersection": warnings.crossroads,
    "General caution": warnings.exclamation,
    "Dangerous curve to the left": partial(warnings.curve, side=-1),
    "Dangerous curve to the right": partial(warnings.curve, side=1),
    "Double curve": warnings.double_curve,
    "Bumpy road": warnings.bumps,
    "Slippery road": warnings.skidding,
    "Road narrows on the right": warnings.narrow_right,
    "Road work": warnings.digging,
    "Traffic signals": warnings.lamps,
    "Pedestrians": warnings.walking,
    "Children crossing": warnings.children,
    "Bicycles crossing": warnings.bicycle,
    "Beware of ice/snow": warnings.snowflake,
    "Wild animals crossing": warnings.deer,
}
_RINGS: Final[dict[str, Step]] = {
    **{
        f"Speed limit ({number}km/h)": partial(orders.limit, number=number)
        for number in ("20", "30", "50", "60", "70", "80", "100", "120")
    },
    "No passing": partial(orders.two_cars, left=RED, right=BLACK),
    "No passing for vehicles over 3.5 metric tons": partial(
        orders.lorry_and_car, left=RED, right=BLACK
    ),
    "Vehicles over 3.5 metric tons prohibited": orders.lorry,
    "No entry": orders.bar,
}
_DISCS: Final[dict[str, Step]] = {
    "Turn right ahead": partial(orders.turn, side=1),
    "Turn left ahead": partial(orders.turn, side=-1),
    "Ahead only": orders.ahead,
    "Go straight or right": partial(orders.fork, side=1),
    "Go straight or left": partial(orders.fork, side=-1),
    "Keep right": partial(orders.keep, side=1),
    "Keep left": partial(orders.keep, side=-1),
    "Roundabout mandatory": orders.roundabout,
}
_ENDS: Final[dict[str, tuple[Step, ...]]] = {
    "End of speed limit (80km/h)": (partial(orders.limit, number="80", colour=GREY),),
    "End of all speed and passing limits": (),
    "End of no passing": (partial(orders.two_cars, left=GREY, right=GREY),),
    "End of no passing by vehicles over 3.5 metric tons": (
        partial(orders.lorry_and_car, left=GREY, right=GREY),
    ),
}
_SIGNS: Final[dict[str, tuple[Step, ...]]] = {
    **{label: (plates.ring, symbol) for label, symbol in _RINGS.items()},
    **{label: (plates.triangle, symbol) for label, symbol in _WARNINGS.items()},
    **{label: (plates.disc, symbol) for label, symbol in _DISCS.items()},
    **{label: (plates.ended, *symbols, plates.end_lines) for label, symbols in _ENDS.items()},
    "No vehicles": (plates.ring,),
    "Priority road": (plates.diamond,),
    "Yield": (plates.yield_triangle,),
    "Stop": (plates.octagon, orders.stop),
}
LABELS: Final = tuple(_SIGNS)
"""Labels of all signs that can be drawn."""


@lru_cache(maxsize=128)
def draw_sign(label: str) -> Sprite:
    """Draw one sign, at most `SIDE` pixels a side, cut tight around it.

    Raises:
        BadContentError: no sign with this label is drawn.
    """
    if label not in _SIGNS:
        raise BadContentError(f"scene sign {label!r}: not drawn; use one of {', '.join(LABELS)}")
    pen = Pen(SIDE)
    for step in _SIGNS[label]:
        step(pen)
    return pen.finish()
