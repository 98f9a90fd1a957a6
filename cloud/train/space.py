"""What may be varied when a better recipe is looked for, and how far. Pure.

Narrower than what `Recipe` admits: an optimiser or a language model proposes within these bounds,
a person may set anything. What would change the device's work (side, margin, width) or the data
(seed, calibration) is not for them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from agent.contract.errors import BadContentError
from cloud.train.recipe import Recipe, make_recipe


@dataclass(frozen=True, slots=True)
class Knob:
    """One field of the recipe that may be varied."""

    name: str
    low: float
    high: float
    """Both ends belong to the range."""
    log: bool = False
    """True: equal ratios matter, not equal differences."""
    whole: bool = False
    """True: whole numbers only."""


SPACE: Final = (
    Knob("epochs", 8, 120, log=True, whole=True),
    Knob("batch", 32, 512, log=True, whole=True),
    Knob("learning_rate", 1e-4, 1e-2, log=True),
    Knob("weight_decay", 1e-4, 0.2, log=True),
    Knob("label_smoothing", 0.0, 0.2),
    Knob("dropout", 0.0, 0.5),
    Knob("balance", 0.0, 1.0),
    Knob("average", 0.0, 0.2),
    Knob("whole_share", 0.0, 0.6),
    Knob("teacher_share", 0.0, 0.9),
    Knob("replay_share", 0.0, 0.9),
)


def proposed(changes: Mapping[str, object], base: Recipe) -> Recipe:
    """Return a recipe with proposed changes, all of them within `SPACE`.

    Raises:
        BadContentError: names the knob, what was proposed, and what is admitted.
    """
    knobs = {knob.name: knob for knob in SPACE}
    for name, value in changes.items():
        knob = knobs.get(name)
        if knob is None:
            raise BadContentError(
                f"recipe proposal: {name!r} may not be varied; only {', '.join(knobs)}"
            )
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not _admits(knob, float(str(value))):
            kind = "a whole number" if knob.whole else "a number"
            raise BadContentError(
                f"recipe proposal: {name} = {value!r}, need {kind} from {knob.low:g} to"
                f" {knob.high:g}"
            )
    return make_recipe(Recipe, changes, base.model_dump())


def drawn(rng: np.random.Generator) -> dict[str, float | int]:
    """Return a value for every knob, drawn evenly on its own scale: the arm to beat."""
    return {knob.name: _drawn(knob, rng) for knob in SPACE}


def json_schema() -> dict[str, Any]:
    """Return `SPACE` as the JSON schema of a structured answer: any of the knobs, no others."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            knob.name: {
                "type": "integer" if knob.whole else "number",
                "minimum": knob.low,
                "maximum": knob.high,
            }
            for knob in SPACE
        },
    }


def _admits(knob: Knob, value: float) -> bool:
    return knob.low <= value <= knob.high and not (knob.whole and value != int(value))


def _drawn(knob: Knob, rng: np.random.Generator) -> float | int:
    if knob.log:
        value = math.exp(rng.uniform(math.log(knob.low), math.log(knob.high)))
    else:
        value = rng.uniform(knob.low, knob.high)
    return round(value) if knob.whole else value
