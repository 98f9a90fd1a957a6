"""Messages between device and cloud. Pure.

All are frozen, schema-versioned and ignore unknown fields, so old and new peers coexist.
Times are unix seconds (float, UTC). Scores are probabilities in 0..1.
"""

import json
from typing import Annotated, Any, Final, Literal, TypeVar

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.contract.errors import BadContentError
from agent.contract.ids import CameraName, DeviceId, ItemId
from agent.contract.redact import redacted

MAX_JSON_BYTES: Final = 64 * 1024
MAX_JSON_DEPTH: Final = 16
SCHEMA: Final = 1
NONE_OF_THESE: Final = "none-of-these"
"""Answer of a labeller, and last label of a model, for what is none of the profile's classes."""

Text = Annotated[str, Field(max_length=200)]
Label = Annotated[str, Field(min_length=1, max_length=120)]
Score = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Time = Annotated[float, Field(ge=0.0, le=2.0**33, allow_inf_nan=False)]
Sequence = Annotated[int, Field(ge=0, le=2**53)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Pixel = Annotated[int, Field(ge=0, le=65_535)]

Reason = Literal["uncertain", "audit", "wanted", "probe"]
"""Why a look was kept: below the margin, the audit share, or asked for by advice.

`probe`: no look at all, only the question whether the cloud answers; it gets its receipt and is
stored nowhere.
"""

Outcome = Literal["label", "none", "unreadable", "person", "rejected"]
"""How a second look ended.

`label`: one of the profile's classes; `none`: none of these; `unreadable`: nobody could tell;
`person`: machines could not settle it; `rejected`: it could not be asked at all.
"""

SightingState = Literal["provisional", "confirmed", "revised"]
CameraState = Literal[
    "starting", "ok", "absent", "stalled", "frozen", "black", "blinded", "covered", "torn",
    "undecodable", "ended",
]  # fmt: skip


class Message(BaseModel):
    """Base of all messages."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)
    schema_version: int = Field(default=SCHEMA, ge=1)


class ScoredLabel(BaseModel):
    """One class with its calibrated score."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    label: Label
    score: Score


class LookMeta(Message):
    """All of a look but its pictures."""

    look_id: ItemId
    device: DeviceId
    camera: CameraName
    sighting_id: ItemId
    captured_at: Time
    clock_synced: bool = True
    frame: Count
    frame_size: tuple[Pixel, Pixel]
    """Width and height in pixels."""
    box: tuple[Pixel, Pixel, Pixel, Pixel]
    """x0, y0, x1, y1 in pixels, exclusive ends."""
    profile: Text
    model: Text
    """First 16 hexadecimal digits of the model file's sha256."""
    agent: Text
    reason: Reason
    top: tuple[ScoredLabel, ...] = Field(max_length=16)
    """Best first, full top-k; empty when the model saw nothing it knows."""
    margin: Score
    energy: float = Field(allow_inf_nan=False)
    context: Literal["none", "thumbnail", "frame"] = "none"
    worth: Score = 0.5
    """What the device reckons the look to be worth; an audited one is worth 1, for a sample with
    holes proves nothing. The least are evicted first where there is no room for all."""
    sighting_label: Label | None = None
    """The device's answer to the sighting, so far, when it asked; None: not told."""
    audit_share: Score = 0.0
    """The chance with which this sighting was drawn for the audit; 0: it could not be."""
    audited: bool = False
    """It was drawn, and this is the one look at it that counts, whatever `reason` says."""


class CameraReport(BaseModel):
    """State of one camera."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    camera: CameraName
    state: CameraState
    since: Time
    detail: Text = ""


class Status(Message):
    """Retained on `status`; the last will says `online=False`."""

    device: DeviceId
    online: bool
    at: Time
    instance: Text = ""
    """Of the process, at random: another one under the same device id is a second device."""
    cameras: tuple[CameraReport, ...] = ()
    problems: tuple[Text, ...] = ()


class Event(Message):
    """A sighting for anyone who consumes recognition results."""

    device: DeviceId
    camera: CameraName
    sighting_id: ItemId
    state: SightingState
    label: Label | None
    """None: nothing of the profile (only in a revised sighting)."""
    was: Label | None = None
    """The label before a revision."""
    score: Score
    first_seen: Time
    last_seen: Time
    frames: Count
    box: tuple[Pixel, Pixel, Pixel, Pixel]
    model: Text


class Telemetry(Message):
    """Periodic figures of one device."""

    device: DeviceId
    at: Time
    uptime_s: float = Field(ge=0)
    frames: Count
    fps: float = Field(ge=0)
    invoke_ms: float = Field(ge=0)
    sightings: Count
    looks_kept: Count
    looks_dropped: dict[str, Count] = Field(default_factory=dict, max_length=32)
    spool_looks: Count
    spool_bytes: Count
    spool_evicted: Count
    temperature_c: float | None = None
    score_histogram: tuple[Count, ...] = Field(default=(), max_length=32)
    """Counts of top scores in ten equal bins over 0..1."""


class Refusal(BaseModel):
    """Why a signed message changed nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    channel: Text
    seq: Sequence | None
    reason: Text
    at: Time


class Reported(Message):
    """Retained on `reported`: what the device runs."""

    device: DeviceId
    at: Time
    agent: Text
    profile: Text
    model: Text
    config_seq: Sequence = 0
    advice_seq: Sequence = 0
    verdict_seq: Sequence = 0
    config: dict[str, Any] = Field(default_factory=dict)
    """The settings in force, by key."""
    capabilities: tuple[Text, ...] = ()
    refused: tuple[Refusal, ...] = Field(default=(), max_length=8)


class Receipt(Message):
    """The cloud's word that these looks are durably stored (or can never be)."""

    look_ids: tuple[ItemId, ...] = Field(default=(), max_length=512)
    quarantined: tuple[ItemId, ...] = Field(default=(), max_length=512)
    """Stored aside because their content is bad: resending cannot help."""


class Verdict(BaseModel):
    """The answer to one look; repeats what a restarted device needs to revise its sighting."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    look_id: ItemId
    sighting_id: ItemId
    camera: CameraName
    captured_at: Time
    device_label: Label | None
    outcome: Outcome
    label: Label | None = None
    confidence: Score = 0.0


class Verdicts(Message):
    """A batch of verdicts under one rising sequence number."""

    seq: Sequence
    after: Sequence = 0
    """The batch before it: a device that has not applied that far waits for the missing ones."""
    verdicts: tuple[Verdict, ...] = Field(min_length=1, max_length=64)


class Grant(BaseModel):
    """Money that second looks at one device's looks may cost."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    usd_per_day: float = Field(ge=0, le=1e6, allow_inf_nan=False)
    usd_per_look: float = Field(gt=0, le=1e6, allow_inf_nan=False)
    """What a look has cost lately, on average over all devices."""


class AdviceBody(Message):
    """Guidance from label statistics; applied within the device's own limits, until it expires."""

    wanted: tuple[Label, ...] = Field(default=(), max_length=64)
    """Classes to collect, worst first."""
    confused: tuple[tuple[Label, Label, Count], ...] = Field(default=(), max_length=64)
    """(device said, verdict says, how often)."""
    thresholds: dict[Label, Score] = Field(default_factory=dict, max_length=512)
    """Per-class margin below which a prediction is uncertain."""
    based_on: Count = 0
    """How many labelled looks the advice rests on."""
    grant: Grant | None = None
    """None: money is no reason not to ask."""


class DesiredBody(Message):
    """Fleet config: settings by key, each validated against `contract.config.Settings`."""

    settings: dict[str, Any] = Field(max_length=64)


M = TypeVar("M", bound=BaseModel)


def to_json(message: BaseModel) -> bytes:
    """Encode a message as compact UTF-8 JSON."""
    return pydantic_core.to_json(message, inf_nan_mode="null")


def from_json(kind: type[M], payload: bytes, max_bytes: int = MAX_JSON_BYTES) -> M:
    """Decode and validate a JSON message.

    Raises:
        BadContentError: too big, not JSON, nested too deep, not a `kind`, or nothing that could
            be written again (JSON can name half a character, which no UTF-8 holds).
    """
    if len(payload) > max_bytes:
        raise BadContentError(f"{kind.__name__}: {len(payload)} bytes, at most {max_bytes}")
    try:
        value = json.loads(payload)
        _check_depth(value)
        message = kind.model_validate(value)
        to_json(message)  # What is taken is stored and passed on: now is the time to refuse it.
    except (ValidationError, ValueError, RecursionError) as error:
        raise BadContentError(f"{kind.__name__}: {first_problem(error)}") from error
    return message


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        inner = (
            item.values() if isinstance(item, dict) else item
            for item in level
            if isinstance(item, dict | list)
        )  # fmt: skip
        level = [item for items in inner for item in items]
        if not level:
            return
    raise ValueError(f"nested deeper than {MAX_JSON_DEPTH}")


def first_problem(error: Exception) -> str:
    """Say the first problem of a validation error in one line: place, what is wrong, value.

    Of a problem of the whole, only what is wrong. Printable characters only: it is stored.
    """
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in _problem(error))


def _problem(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return " ".join(str(error).split())[:200] or type(error).__name__
    problem = error.errors(include_url=False)[0]
    wrong = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return wrong[:300]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {wrong} (got {redacted(str(problem['input']))[:60]!r})"[:300]
