"""A profile: one recognition task as one TOML file. Pure."""

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    ValidationError,
    model_validator,
)

from agent.contract.errors import BadContentError
from agent.contract.messages import NONE_OF_THESE, Label, first_problem

ProposalKind = Literal[
    "whole-frame", "zones", "detector", "motion", "colour", "detector+colour"
]  # fmt: skip
"""`detector+colour`: a detector, and coloured patches where it finds nothing."""
DETECTING: tuple[ProposalKind, ...] = ("detector", "detector+colour")
"""Kinds that need a detection model."""
Symmetry = Literal["none", "horizontal", "vertical", "both"]


class ProfileClass(BaseModel):
    """One class of the task."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    label: Label
    description: str = Field(max_length=400)
    """What a person would need to know to tell it; part of the prompt."""
    symmetry: Symmetry = "none"
    """Flips that leave the class what it is."""
    mirror: str = ""
    """Label of the class that a left-right flip turns it into."""
    aliases: tuple[str, ...] = ()
    """Other names for it: of stock models, of folders, of numbered labels ("0")."""


class ProposeConfig(BaseModel):
    """How regions of a frame are proposed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ProposalKind = "whole-frame"
    zones: tuple[tuple[float, float, float, float], ...] = Field(default=(), max_length=64)
    """x0, y0, x1, y1 as shares of the frame, 0..1."""
    min_score: float = Field(default=0.3, ge=0.0, le=1.0)
    """Detector: lowest score that proposes a region."""
    min_size: int = Field(default=16, ge=2, le=4096)
    """Detector, motion and colour: smallest side of a region in pixels."""
    max_regions: int = Field(default=8, ge=1, le=64)

    @model_validator(mode="after")
    def _zones_are_boxes(self) -> "ProposeConfig":
        for x0, y0, x1, y1 in self.zones:
            if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
                raise ValueError(f"zone {(x0, y0, x1, y1)}: need 0 <= x0 < x1 <= 1, same for y")
        if (self.kind == "zones") != bool(self.zones):
            raise ValueError("zones go with kind = 'zones', and it needs at least one")
        return self


class Augmentation(BaseModel):
    """How far training may distort this task's images."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rotate_degrees: float = Field(default=10.0, ge=0, le=180)
    scale: float = Field(default=0.15, ge=0, le=0.9)
    shift: float = Field(default=0.08, ge=0, le=0.5)
    shear: float = Field(default=0.1, ge=0, le=0.5)
    brightness: float = Field(default=0.4, ge=0, le=0.9)
    colour: float = Field(default=1.0, ge=0, le=1)
    """How far hue, saturation and white balance may stray; 0: colours stay what they are."""


class Budget(BaseModel):
    """Default ceilings of what one device sends up."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    looks_per_day: int = Field(default=500, ge=0, le=1_000_000)
    bytes_per_day: int = Field(default=4_000_000, ge=0, le=10_000_000_000)


class Profile(BaseModel):
    """The whole task."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    title: str
    research_only: bool = False
    instructions: str = Field(max_length=4000)
    """What the second look is told about the task, before the classes."""
    classes: tuple[ProfileClass, ...] = Field(min_length=2, max_length=512, alias="class")
    propose: ProposeConfig = ProposeConfig()
    augmentation: Augmentation = Augmentation()
    budget: Budget = Budget()
    model: str = ""
    """Shipped model file, by name in `agent/models`; empty: none is shipped."""
    recipe: dict[str, StrictInt | StrictFloat] = Field(default_factory=dict)
    """Changes to the training recipe, by knob; the trainer knows the knobs and their bounds."""
    detector: str = ""
    """Shipped detection model that proposes regions for it, by name; empty: none is shipped."""

    @model_validator(mode="after")
    def _labels_are_one_set(self) -> "Profile":
        labels = [c.label for c in self.classes]
        if len(set(labels)) != len(labels):
            raise ValueError("class labels must differ")
        if NONE_OF_THESE in labels:
            raise ValueError(f"label {NONE_OF_THESE!r} is reserved for what is no class")
        for item in self.classes:
            if item.mirror and item.mirror not in labels:
                raise ValueError(f"class {item.label!r}: mirror {item.mirror!r} is no class")
        names = [*labels, *(alias for item in self.classes for alias in item.aliases)]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{twice!r} names more than one class, or one class twice")
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels in class order."""
        return tuple(c.label for c in self.classes)

    def canonical(self, label: str) -> str | None:
        """Return the profile's label for a label or alias; None where it has none.

        Where no class has exactly that name, `_` stands for a space, as in names of folders.
        """
        for item in self.classes:
            if label == item.label or label in item.aliases:
                return item.label
        return self.canonical(label.replace("_", " ")) if "_" in label else None

    @property
    def notice(self) -> str:
        """What must be said wherever the profile is used; empty: nothing."""
        if not self.research_only:
            return ""
        return f"profile {self.name} is for research only: no decision may rest on its answers"


def parse_profile(document: dict[str, object], source: str) -> Profile:
    """Validate a profile.

    Args:
        document: Parsed TOML.
        source: File name, for the message.

    Raises:
        BadContentError: names file, key, problem and value.
    """
    try:
        return Profile.model_validate(document)
    except ValidationError as error:
        raise BadContentError(f"{source}: {first_problem(error)}") from error
