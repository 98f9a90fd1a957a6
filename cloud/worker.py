"""The worker, put together: ingest, labelling, verdicts and advice in one process. Shell."""

import gc
import logging
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import final

from agent.base.clock import Clock, SystemClock
from agent.base.notify import notify, watchdog_period_s
from agent.contract.errors import SecondlookError
from agent.contract.topics import Topics
from agent.vision.shipped import load_profile
from cloud.adviser import Adviser
from cloud.blobs import Blobs
from cloud.bus import Bus
from cloud.config import CloudConfig
from cloud.database import open_database
from cloud.ingest import CHANNELS, Ingest
from cloud.label.budget import Budget, Spent
from cloud.label.profiles import profile_of
from cloud.label.queue import LabelQueue
from cloud.label.run import Labeller
from cloud.label.workflow import Sweeper, Workflows
from cloud.lock import lock
from cloud.outbox import Outbox
from cloud.store import Store, Totals
from cloud.verdicts import VerdictPublisher

log = logging.getLogger(__name__)

STOP_S = 10.0
BEAT_S = 1.0
GC_EVERY = 20_000
"""Objects made before the collector looks for cycles: ingest makes many, and none in cycles."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What the worker has done: in the database for ever, and since this start."""

    totals: Totals
    spent: Spent
    counters: dict[str, int]
    problems: tuple[str, ...]


@final
class Worker:
    """All roles of one process. A context manager: entered it runs, left it has stopped.

    Raises:
        BadContentError: profile, keys or database content is wrong.
        UnavailableError: state folder, database or objects cannot be used, or another worker
            runs on the same state folder under the same name.
    """

    def __init__(self, config: CloudConfig, clock: Clock | None = None) -> None:
        """Open storage; nothing runs yet."""
        self.config = config
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        with ExitStack() as opened:
            taken = (
                f"a worker named {config.name!r} runs here already; stop it, or give this one"
                " another name"
            )
            opened.callback(lock(Path(config.state_dir), config.name, taken).close)
            self._profile = load_profile(config.profile)
            if self._profile.notice:
                log.warning("research_only notice=%s", self._profile.notice)
            self.engine = open_database(config.database)
            opened.callback(self.engine.dispose)
            self._build(clock or SystemClock())
            self._opened = opened.pop_all()

    def _build(self, clock: Clock) -> None:
        config, topics = self.config, Topics(self.config.broker.prefix)
        self.blobs = Blobs(config.objects)
        self.store = Store(self.engine)
        self.budget = Budget(self.engine, config.label.daily_cap_usd)
        self.bus = Bus(
            config.broker,
            f"secondlook-cloud-{config.name}",
            tuple((topics.of_all(channel), qos) for channel, qos in CHANNELS),
            config.ingest.receive_maximum,
        )
        self.publisher = VerdictPublisher(self.bus, topics, self.engine, config.verdicts, clock)
        self.ingest = Ingest(
            self.bus, topics, self.store, self.blobs, config.ingest, clock,
            config.name, self.publisher.on_reported,
        )  # fmt: skip
        queue = LabelQueue(self.engine)
        self.labeller = Labeller(
            queue, self.blobs, self.budget, config.label, partial(profile_of, self._profile), clock
        )
        self._workflows = Workflows(config.name, config.workflows_database, queue, self.labeller)
        self._sweeper = Sweeper(
            config.name, queue, self.labeller, self._workflows, config.label, clock
        )
        self.adviser = Adviser(self.bus, topics, self.engine, config, clock)
        self._outbox = Outbox(self.publisher, self.adviser, config, clock)

    def start(self) -> None:
        """Start all roles; the broker may come later."""
        self.blobs.tidy()
        self.ingest.clear_orphans()
        # What is loaded stays: looking through it again and again cost a tenth of ingest's time.
        gc.freeze()
        gc.set_threshold(GC_EVERY)
        self._spawn("ingest", self.ingest.run)
        self._spawn("outbox", self._outbox.run)
        if self.config.label.enabled:
            self._workflows.start()
            self._spawn("sweeper", self._sweeper.run)
        self.bus.start()
        log.info("worker_started name=%s", self.config.name)

    def stop(self) -> None:
        """Stop all roles; whatever is half done goes on at the next start."""
        self._stop.set()
        for thread in self._threads:
            thread.join(STOP_S)
        if self.config.label.enabled and self._threads:
            self._workflows.stop()
        self.bus.stop()
        self._opened.close()
        log.info("worker_stopped name=%s", self.config.name)

    def __enter__(self) -> "Worker":
        try:
            self.start()
        except SecondlookError:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.stop()

    def figures(self) -> Figures:
        """Count what was done.

        Raises:
            UnavailableError: the database does not answer.
        """
        parts = (
            self.ingest.counters, self.labeller.counters, self.publisher.counters,
            self.adviser.counters,
        )  # fmt: skip
        counters: Counter[str] = Counter()
        for part in parts:
            counters.update(part)
        return Figures(self.store.totals(), self.budget.spent(), dict(counters), self.problems())

    def problems(self) -> tuple[str, ...]:
        """Say what stands in the way right now."""
        found = (
            ("broker", self.bus.problem), ("ingest", self.ingest.problem),
            ("label", self.labeller.problem), ("advice", self.adviser.problem),
        )  # fmt: skip
        return tuple(f"{part}: {problem}" for part, problem in found if problem)

    def watch(self, stop: threading.Event) -> None:
        """Tell systemd how we are until told to stop; silent once a role makes no progress."""
        notify("READY=1")
        seen: dict[str, int] = {}
        beat = min(watchdog_period_s() or BEAT_S, 30.0)
        while not stop.wait(beat):
            now = self._progress()
            alive = all(thread.is_alive() for thread in self._threads)
            moved = alive and all(now[name] != seen.get(name) for name in now)
            seen = now
            status = "; ".join(self.problems()) or "all well"
            notify(f"STATUS={status[:200]}", *(("WATCHDOG=1",) if moved else ()))
        notify("STOPPING=1")

    def _progress(self) -> dict[str, int]:
        progress = {"ingest": self.ingest.progress, "outbox": self._outbox.progress}
        if self.config.label.enabled:
            progress["sweeper"] = self._sweeper.progress
        return progress

    def _spawn(self, name: str, run: Callable[[threading.Event], None]) -> None:
        thread = threading.Thread(target=self._guarded, args=(name, run), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guarded(self, name: str, run: Callable[[threading.Event], None]) -> None:
        while not self._stop.is_set():
            try:
                run(self._stop)
            except Exception:  # the top of a thread: a bug in one role must not end the others
                log.exception("role_failed name=%s", name)
                self._stop.wait(1.0)
