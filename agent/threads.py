"""Named threads that say whether they move, and whose failure is never silent. Shell."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

log = logging.getLogger(__name__)

LEAST_S: Final = 1.0


class Loop:
    """One long-running loop in its own thread."""

    def __init__(
        self, name: str, target: Callable[[threading.Event], None], progress: Callable[[], int]
    ) -> None:
        """Prepare a thread; `progress` is any number that rises while the loop is alive."""
        self.name = name
        self.failed = False
        self._target = target
        self._progress = progress
        self._seen = -1
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def moved(self) -> bool:
        """Tell whether the loop has progressed since the last call."""
        before, self._seen = self._seen, self._progress()
        return self._thread.is_alive() and self._seen != before

    def ask(self) -> None:
        """Ask the loop to end."""
        self._stop.set()

    def stop(self, timeout_s: float) -> bool:
        """Ask the loop to end and wait. False where it did not in time."""
        self.ask()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._target(self._stop)
        except Exception:
            # The top of a thread: without this a bug would end the loop and nobody would know.
            log.exception("loop_failed name=%s", self.name)
            self.failed = True


class Stoppable(Protocol):
    """A loop, or what has one."""

    name: str

    def ask(self) -> None:
        """Ask it to end."""
        ...

    def stop(self, timeout_s: float) -> bool:
        """Ask it to end and wait. False where it did not in time."""
        ...


def stop_together(parts: Sequence[Stoppable], timeout_s: float) -> None:
    """Stop what does not depend on one another: however many hang, it takes this long at most."""
    for part in parts:
        part.ask()
    stop_in_turn(parts, timeout_s, 0.0)


def stop_in_turn(parts: Sequence[Stoppable], timeout_s: float, least_s: float = LEAST_S) -> None:
    """Stop one after the other, in this order, and name those that hang.

    Args:
        parts: What to stop; each is asked when the one before it has ended.
        timeout_s: For all of them.
        least_s: What each gets, even where those before it took all the time.
    """
    until = time.monotonic() + timeout_s
    for part in parts:
        if not part.stop(max(least_s, until - time.monotonic())):
            log.warning("loop_hangs name=%s", part.name)
