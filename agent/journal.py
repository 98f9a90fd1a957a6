"""The one thread that writes looks and sightings, in groups. Shell.

A slow SD card must not stall inference: the pipeline only puts into a bounded queue.
"""

import logging
import queue
import random
import threading
from typing import Final

from agent.base.backoff import delays
from agent.contract.codec import Look
from agent.contract.errors import UnavailableError
from agent.notebook import Note, Notebook
from agent.spool import Spool

log = logging.getLogger(__name__)

QUEUE: Final = 512
GROUP: Final = 64
WAIT_S: Final = 0.2
RETRY_S: Final = (0.5, 30.0)


class Journal:
    """Looks and sightings on their way to disk."""

    def __init__(self, spool: Spool, notebook: Notebook, wake: threading.Event) -> None:
        """`wake` is set whenever there is something new to send."""
        self._spool = spool
        self._notebook = notebook
        self._wake = wake
        self._queue: queue.Queue[Look | Note] = queue.Queue(QUEUE)
        self.problem = ""
        self.progress = 0

    @property
    def idle(self) -> bool:
        """True when everything given so far is on disk."""
        return self._queue.unfinished_tasks == 0

    def add(self, item: Look | Note) -> bool:
        """Take a look or a sighting; False where the disk is too far behind."""
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            return False
        return True

    def run(self, stop: threading.Event) -> None:
        """Write until told to stop, then write what is left."""
        while not stop.is_set() or not self._queue.empty():
            if group := self._gather():
                self._write(group, stop)
                for _ in group:
                    self._queue.task_done()
                self._wake.set()
            self.progress += 1

    def _gather(self) -> list[Look | Note]:
        group: list[Look | Note] = []
        try:
            group.append(self._queue.get(timeout=WAIT_S))
            while len(group) < GROUP:
                group.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return group

    def _write(self, group: list[Look | Note], stop: threading.Event) -> None:
        notes = [item for item in group if isinstance(item, Note)]
        looks = [item for item in group if isinstance(item, Look)]
        waits = delays(*RETRY_S, random.Random())  # noqa: S311 - jitter
        while True:
            try:
                self._notebook.note(notes)
                self._spool.put(looks)
            except UnavailableError as error:
                if not self.problem:
                    log.warning("storage_failed reason=%s", error)
                self.problem = str(error)[:200]
                self.progress += 1
                if stop.wait(next(waits)):
                    log.warning("storage_gave_up looks=%d", len(looks))
                    return
            else:
                if self.problem:
                    log.info("storage_recovered")
                self.problem = ""
                return
