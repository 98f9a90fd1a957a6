"""Named threads that say whether they move, and whose failure is never silent. Shell."""

import logging
import threading
from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)


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

    def stop(self, timeout_s: float) -> bool:
        """Ask the loop to end and wait. False where it did not in time."""
        self._stop.set()
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


def stop_all(loops: Sequence[Loop], timeout_s: float) -> None:
    """Stop loops one after the other, in this order, and name those that hang."""
    for loop in loops:
        if not loop.stop(timeout_s):
            log.warning("loop_hangs name=%s", loop.name)
