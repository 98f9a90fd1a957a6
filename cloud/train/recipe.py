"""How a model is trained: every knob, with its bounds. Pure."""

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.contract.errors import BadContentError
from agent.contract.messages import first_problem


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
    epochs: int = Field(default=24, ge=1, le=1000)
    batch: int = Field(default=128, ge=2, le=4096)
    learning_rate: float = Field(default=2e-3, gt=0.0, le=1.0)
    """At its peak: linear warm-up over the first epoch, then a cosine down to 0."""
    weight_decay: float = Field(default=0.02, ge=0.0, le=1.0)
    label_smoothing: float = Field(default=0.05, ge=0.0, le=0.5)
    balance: float = Field(default=0.5, ge=0.0, le=1.0)
    """0: every image as often; 1: every class as often."""
    whole_share: float = Field(default=0.25, ge=0.0, le=1.0)
    """Share of training cuts that take the whole image instead of a box near the object."""
    calibration: int = Field(default=512, ge=16, le=10_000)
    """Augmented images that set the ranges of the quantised layers."""
    seed: int = Field(default=1, ge=0, le=2**31 - 1)


def make_recipe(changes: dict[str, object]) -> Recipe:
    """Return the default recipe with some changes; None values are no change.

    Raises:
        BadContentError: an unknown knob or a value out of range.
    """
    try:
        return Recipe.model_validate({k: v for k, v in changes.items() if v is not None})
    except ValidationError as error:
        raise BadContentError(f"recipe: {first_problem(error)}") from error
