"""How a model is trained: every knob, with its bounds. Pure."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.contract.errors import BadContentError
from agent.contract.messages import first_problem

R = TypeVar("R", bound=BaseModel)


class Recipe(BaseModel):
    """One training run; it travels inside the model file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    side: int = Field(default=48, ge=16, le=256)
    """Width and height of the model input in pixels."""
    margin: float = Field(default=0.10, ge=0.0, le=1.0)
    """How far a region is widened on each side before the cut, on the device too."""
    width: float = Field(default=1.0, ge=0.125, le=4.0)
    """Multiplies the channels of every layer."""
    dropout: float = Field(default=0.2, ge=0.0, le=0.9)
    epochs: int = Field(default=30, ge=1, le=1000)
    batch: int = Field(default=128, ge=2, le=4096)
    learning_rate: float = Field(default=2e-3, gt=0.0, le=1.0)
    """At its peak: linear warm-up over the first epoch, then a cosine down to 0."""
    weight_decay: float = Field(default=0.02, ge=0.0, le=1.0)
    label_smoothing: float = Field(default=0.01, ge=0.0, le=0.5)
    """Little: smoothing makes wrong answers surer, and asking lives on doubt."""
    average: float = Field(default=0.02, ge=0.0, le=0.5)
    """The weights kept are an exponential average over about this share of all steps; 0: none."""
    balance: float = Field(default=0.5, ge=0.0, le=1.0)
    """0: every image as often; 1: every class as often."""
    whole_share: float = Field(default=0.25, ge=0.0, le=1.0)
    """Share of training cuts that take the whole image instead of a box near the object."""
    teacher_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """How much of each target is a teacher's answer to the same distorted image; 0: no teacher."""
    teacher_temperature: float = Field(default=2.0, ge=0.5, le=20.0)
    """Teachers' logits are divided by it before softmax (Hinton et al. 2015)."""
    replay_share: float = Field(default=0.5, ge=0.0, lt=1.0)
    """When a trained model learns more: share of each epoch drawn from what it knew before."""
    calibration: int = Field(default=512, ge=16, le=10_000)
    """Augmented images that set the ranges of the quantised layers."""
    seed: int = Field(default=1, ge=0, le=2**31 - 1)


def make_recipe(
    kind: type[R], changes: Mapping[str, object], base: Mapping[str, object] | None = None
) -> R:
    """Return a recipe with some changes; None values are no change.

    Args:
        kind: Of which trainer.
        changes: By field.
        base: What is changed; None or empty: the defaults.

    Raises:
        BadContentError: an unknown knob or a value out of range.
    """
    given = {key: value for key, value in changes.items() if value is not None}
    values = {**(base or {}), **given}
    for key in values:
        if key not in kind.model_fields:
            raise BadContentError(f"recipe: no knob {key!r}; known: {', '.join(kind.model_fields)}")
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise BadContentError(f"recipe: {first_problem(error)}") from error


def parse_changes(pairs: Iterable[str]) -> dict[str, object]:
    """Return changes to a recipe written as KEY=VALUE; both are checked by `make_recipe`.

    Raises:
        BadContentError: no equals sign.
    """
    changes: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise BadContentError(f"recipe: {pair!r} is not KEY=VALUE")
        changes[key] = value
    return changes
