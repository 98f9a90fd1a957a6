"""What follows from an answer, or from none. Pure."""

from dataclasses import dataclass
from typing import Final

from agent.contract.messages import Outcome
from cloud.config import LabelConfig
from cloud.label.answer import Answer, Failed, NoReply, Trouble

MAX_INVALID: Final = 1
"""Answers of the wrong form that are asked again."""
PAUSES: Final[dict[Trouble, float]] = {
    "rate_limited": 5.0,
    "unreachable": 5.0,
    "auth": 60.0,
    "misconfigured": 60.0,
    "quota": 300.0,
}
"""Troubles that are no look's fault: seconds until anything is asked again."""


@dataclass(frozen=True, slots=True)
class Done:
    """The look's final outcome."""

    outcome: Outcome
    label: str | None
    confidence: float
    why: str


@dataclass(frozen=True, slots=True)
class Later:
    """The look waits and is asked again."""

    wait_s: float
    why: str
    counts: bool
    """True when the attempt is held against the look."""
    invalid: bool = False
    """True when the answer had the wrong form."""
    pause_s: float = 0.0
    """Nothing at all is asked for so long."""


def conclude(
    result: Answer | Failed | NoReply, attempts: int, invalid: int, config: LabelConfig
) -> Done | Later:
    """Decide what becomes of a look.

    Args:
        result: What the call brought.
        attempts: Calls made for this look, this one included.
        invalid: Earlier answers of the wrong form.
        config: Thresholds and bounds.
    """
    if isinstance(result, Answer):
        return _accept(result, config)
    if isinstance(result, Failed):
        return _ask_again(result, invalid)
    return _wait(result, attempts, config)


def person(why: str) -> Done:
    """Hand a look to a person."""
    return Done("person", None, 0.0, why)


def _accept(answer: Answer, config: LabelConfig) -> Done:
    if answer.outcome != "unreadable" and answer.confidence < config.min_confidence:
        why = f"unsure: {answer.label or answer.outcome} at {answer.confidence:.2f}"
        return person(f"{why}; {answer.reason}")
    return Done(answer.outcome, answer.label, answer.confidence, answer.reason)


def _ask_again(failed: Failed, invalid: int) -> Done | Later:
    why = f"{failed.failure}: {failed.detail}"
    if failed.failure == "refused" or invalid >= MAX_INVALID:
        return person(why)
    return Later(0.0, why, counts=True, invalid=True)


def _wait(reply: NoReply, attempts: int, config: LabelConfig) -> Done | Later:
    why = f"{reply.trouble}: {reply.detail}"
    if reply.trouble in PAUSES:
        pause = reply.retry_after_s or min(PAUSES[reply.trouble], config.retry_cap_s)
        return Later(pause, why, counts=False, pause_s=pause)
    if reply.trouble == "refused" or attempts >= config.max_attempts:
        return person(why)
    wait = min(config.retry_cap_s, config.retry_s * 2.0 ** (attempts - 1))
    return Later(wait, why, counts=True)
