"""What a check found, and work that gets only so much time. Shell."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from agent.contract.errors import SecondlookError, UnavailableError
from agent.contract.redact import redacted

Grade = Literal["ok", "warn", "fail", "skip"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor.

    `ok`: works. `warn`: works, but there is something to know. `fail`: what is configured does
    not work. `skip`: could not be asked, because of another line.
    """

    name: str
    grade: Grade
    text: str
    remedy: str = ""
    """A concrete command or edit; empty where none is needed."""


def failed(name: str, error: SecondlookError, remedy: str = "") -> Finding:
    """Turn an error into a finding; our messages end with their remedy after a semicolon."""
    text, _, own = redacted(" ".join(str(error).split())).partition("; ")
    return Finding(name, "fail", text, remedy or own)


class Attempt(Generic[T]):
    """Work begun in a thread of its own, so that nothing that hangs holds up the doctor."""

    def __init__(self, what: str, work: Callable[[], T]) -> None:
        """Start `work`; `what` names it in messages."""
        self._what = what
        self._answers: queue.SimpleQueue[T | SecondlookError] = queue.SimpleQueue()
        self._work = work
        threading.Thread(target=self._run, name=what, daemon=True).start()

    def result(self, limit_s: float) -> T:
        """Wait for the result.

        Raises:
            SecondlookError: what the work raised.
            UnavailableError: nothing within the limit; the thread ends with the process.
        """
        try:
            answer = self._answers.get(timeout=limit_s)
        except queue.Empty:
            raise UnavailableError(f"{self._what}: no answer within {limit_s:.0f} s") from None
        if isinstance(answer, SecondlookError):
            raise answer
        return answer

    def _run(self) -> None:
        try:
            self._answers.put(self._work())
        except SecondlookError as error:
            self._answers.put(error)
