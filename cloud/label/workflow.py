"""Batches of looks as durable workflows on DBOS. Adapter.

A sweeper gives waiting looks to a batch and starts the batch's workflow under the batch's id: a
second start of the same id does nothing. After a crash DBOS goes on with the workflows it knows;
a batch whose workflow was never started is found by its rows.
"""

import logging
import secrets
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Final

from dbos import DBOS, DBOSConfig, SetWorkflowID
from dbos import error as dbos_error
from sqlalchemy import event
from sqlalchemy.engine import Engine

from agent.base.clock import Clock
from agent.contract.errors import SecondlookError, UnavailableError
from agent.contract.ids import new_id
from cloud.config import LabelConfig
from cloud.label.queue import LabelQueue
from cloud.label.run import Labeller

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

VERSION: Final = "label-1"
"""Fixed: DBOS only goes on with workflows of its own version. Change it only together with a
patch for the running ones."""
IDLE_S: Final = 0.2
DRAIN_S: Final = 5
STEP_TRIES: Final = 6
WORKFLOW: Final = "label_batch"
ENDED: Final = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
TIDY: Final = 1_000
SUBSECONDS: Final = (3, 42)
"""The first SQLite that knows `unixepoch('subsec')`."""


def teach_sqlite() -> None:
    """Give an old SQLite the `unixepoch('subsec')` that DBOS takes for granted.

    On Python 3.12 and newer DBOS writes it into its tables' defaults, but SQLite knows it only
    from 3.42 on, and Debian 12 has 3.40.
    """
    if sqlite3.sqlite_version_info < SUBSECONDS and not event.contains(Engine, "connect", _teach):
        event.listen(Engine, "connect", _teach)


def _teach(connection: object, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.create_function("unixepoch", 1, lambda _how: round(time.time(), 3))


class Workflows:
    """DBOS with the one workflow of this worker. One per process at a time."""

    def __init__(self, name: str, database_url: str, queue: LabelQueue, labeller: Labeller) -> None:
        """Prepare; `start` opens the database and resumes what a crash interrupted."""
        self._name = name
        self._url = database_url
        self._queue = queue
        self._labeller = labeller
        self._lock = threading.Lock()
        self._running: set[str] = set()
        self._stopping = False
        self._workflow: Callable[[str], int] | None = None

    @property
    def running(self) -> int:
        """How many batches are being asked about."""
        with self._lock:
            return len(self._running)

    def start(self) -> None:
        """Open DBOS and go on with interrupted batches."""
        teach_sqlite()
        config: DBOSConfig = {
            "name": "secondlook",
            "system_database_url": self._url,
            "application_version": VERSION,
            "executor_id": self._name,
            "log_level": "WARNING",
            "run_migrations": True,
        }
        DBOS(config=config)

        # DBOS marks what it decorates, so these are functions, not methods.
        @DBOS.step(name="members")
        def members(batch: str) -> list[str]:
            return self._queue.members(batch)

        @DBOS.step(
            name="ask",
            retries_allowed=True,
            max_attempts=STEP_TRIES,
            should_retry=lambda error: isinstance(error, UnavailableError),
        )
        def ask(batch: str, look_id: str) -> str:
            # On the way out looks are left to the next start, which finds them by their batch.
            return "later" if self._stopping else self._labeller.ask(batch, look_id)

        def tried(batch: str, look_id: str) -> str:
            try:
                return ask(batch, look_id)
            except (SecondlookError, dbos_error.DBOSMaxStepRetriesExceeded) as error:
                # One look must not hold up the others; the sweeper gives it back.
                log.warning("look_failed id=%s %s", look_id, error)
                return "later"

        @DBOS.workflow(name=WORKFLOW)
        def label_batch(batch: str) -> int:
            with self._lock:
                self._running.add(batch)
            try:
                return sum(tried(batch, look_id) != "later" for look_id in members(batch))
            finally:
                with self._lock:
                    self._running.discard(batch)

        self._workflow = label_batch
        DBOS.launch()

    def begin(self, batch: str) -> None:
        """Start the workflow of a new batch."""
        if self._workflow is None:
            raise UnavailableError("workflows are not started")
        with self._lock:
            self._running.add(batch)
        started = False
        try:
            with SetWorkflowID(batch):
                DBOS.start_workflow(self._workflow, batch)
            started = True
        finally:
            if not started:
                with self._lock:
                    self._running.discard(batch)

    def tidy(self) -> None:
        """Delete what DBOS keeps about workflows that have ended: the rows say it all."""
        ended = DBOS.list_workflows(
            name=WORKFLOW, status=list(ENDED), limit=TIDY, load_input=False, load_output=False
        )
        if ended:
            DBOS.delete_workflows([workflow.workflow_id for workflow in ended])

    def resume(self, batch: str) -> None:
        """Look after a batch of an earlier run.

        DBOS goes on by itself with a workflow it knows as pending. One that never started is
        started; one that ended and left looks behind gives them back.
        """
        with self._lock:
            if batch in self._running:
                return
        status = DBOS.get_workflow_status(batch)
        if status is None:
            self.begin(batch)
        elif status.status != "PENDING":
            self._queue.release(batch)

    def stop(self) -> None:
        """Let running calls end for a short while, then close DBOS; the rest resumes later."""
        self._stopping = True
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=DRAIN_S)
        self._labeller.close()


class Sweeper:
    """Turns waiting rows into batches. `run` belongs to one thread."""

    def __init__(
        self,
        name: str,
        queue: LabelQueue,
        labeller: Labeller,
        workflows: Workflows,
        config: LabelConfig,
        clock: Clock,
    ) -> None:
        """Wire the parts; `name` is the worker's."""
        self._prefix = f"label-{name}-"
        self._queue = queue
        self._labeller = labeller
        self._workflows = workflows
        self._config = config
        self._clock = clock
        self._reclaim_at = 0.0
        self.progress = 0

    def run(self, stop: threading.Event) -> None:
        """Sweep until told to stop."""
        while not stop.is_set():
            self.progress += 1
            try:
                busy = self.step()
            except UnavailableError as error:
                log.warning("sweeper_waits %s", error)
                busy = False
            if not busy:
                stop.wait(IDLE_S)

    def step(self) -> bool:
        """Start what can be started; return True when there may be more at once.

        Raises:
            UnavailableError: the database does not answer.
        """
        now = self._clock.monotonic()
        if now >= self._reclaim_at:
            self._reclaim_at = now + self._config.lease_s / 10
            self._queue.reclaim(self._clock.now() - self._config.lease_s)
            for batch in self._queue.batches(self._prefix):
                self._workflows.resume(batch)
            self._workflows.tidy()
        if self._labeller.paused or self._workflows.running >= self._config.concurrency:
            return False
        now_s = self._clock.now()
        batch = self._prefix + new_id(now_s, secrets.token_bytes(10))
        if not self._queue.assign(batch, self._config.batch, now_s):
            return False
        self._workflows.begin(batch)
        return True
