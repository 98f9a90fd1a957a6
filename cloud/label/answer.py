"""From an untrusted answer to a label or a named failure. Pure."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.contract.messages import Outcome, first_problem
from cloud.label.prompt import NONE, UNREADABLE

MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_REASON: Final = 200
MAX_TOKENS: Final = 10**9
WAYS_OUT: Final[dict[str, Outcome]] = {NONE: "none", UNREADABLE: "unreadable"}

Failure = Literal["refused", "off_list", "malformed", "truncated"]
"""What an answer can be instead of a label: each has its own way on (`cloud.label.rules`)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One of the classes, or one of the two ways out."""

    outcome: Outcome
    """`label`, `none` or `unreadable`."""
    label: str | None
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """No usable answer."""

    failure: Failure
    detail: str


Trouble = Literal[
    "rate_limited", "quota", "unreachable", "auth", "misconfigured",
    "timeout", "server_error", "bad_request", "refused",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reply:
    """A body that came with status 200: anything at all."""

    body: bytes


@dataclass(frozen=True, slots=True)
class NoReply:
    """The call failed."""

    trouble: Trouble
    detail: str
    retry_after_s: float = 0.0
    billed: bool = False
    """True where the service may have done the work: a timeout."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Billed tokens; None where the service does not say."""

    tokens_in: int | None = None
    tokens_out: int | None = None


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore")
    label: str = Field(max_length=200)
    confidence: float = Field(ge=0, le=1, allow_inf_nan=False)
    reason: str = ""


_Tokens = Annotated[int, Field(ge=0, le=MAX_TOKENS)]


class _Billed(BaseModel):
    model_config = ConfigDict(extra="ignore")
    prompt_tokens: _Tokens | None = None
    completion_tokens: _Tokens | None = None


def read_completion(body: bytes, labels: frozenset[str]) -> tuple[Answer | Failed, Usage]:
    """Read the body of a chat completion.

    Args:
        body: What the service sent with status 200; anything at all.
        labels: The profile's classes.
    """
    if len(body) > MAX_ANSWER_BYTES:
        return Failed("malformed", f"{len(body)} bytes, at most {MAX_ANSWER_BYTES}"), Usage()
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return Failed("malformed", f"not JSON: {body[:60]!r}"), Usage()
    return _read_choice(_first_choice(document), labels), _usage(document)


def _read_choice(choice: dict[str, Any] | None, labels: frozenset[str]) -> Answer | Failed:
    message = choice.get("message") if choice else None
    if not choice or not isinstance(message, dict):
        return Failed("malformed", "no message in the completion")
    if message.get("refusal") or choice.get("finish_reason") == "content_filter":
        return Failed("refused", _short(message.get("refusal") or "content filter"))
    if choice.get("finish_reason") == "length":
        return Failed("truncated", "cut off at the token limit")
    return read_answer(message.get("content"), labels)


def read_answer(content: object, labels: frozenset[str]) -> Answer | Failed:
    """Read the answer itself: JSON text of the closed form."""
    if not isinstance(content, str):
        return Failed("malformed", "no text in the message")
    try:
        form = _Form.model_validate(json.loads(content))
    except ValidationError as error:
        return Failed("malformed", first_problem(error))
    except (ValueError, RecursionError):
        return Failed("malformed", f"not JSON: {content[:60]!r}")
    if form.label in labels:
        return Answer("label", form.label, form.confidence, _short(form.reason))
    if form.label in WAYS_OUT:
        return Answer(WAYS_OUT[form.label], None, form.confidence, _short(form.reason))
    return Failed("off_list", f"label {form.label[:60]!r} is no class")


def _first_choice(document: Any) -> dict[str, Any] | None:  # noqa: ANN401 - untrusted JSON
    choices = document.get("choices") if isinstance(document, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    return choices[0]


def _usage(document: Any) -> Usage:  # noqa: ANN401 - untrusted JSON
    try:
        billed = _Billed.model_validate(document.get("usage") or {})
    except (ValidationError, AttributeError):
        return Usage()
    return Usage(billed.prompt_tokens, billed.completion_tokens)


def _short(text: object) -> str:
    # Kept for people to read; never fed to another model, and free of control characters.
    return "".join(c if c.isprintable() else " " for c in str(text))[:MAX_REASON]
