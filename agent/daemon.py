"""The device's composition root: build the parts, run the threads, stop politely. Shell."""

import logging
import os
import random
import secrets
import threading
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final

from typing_extensions import Self

from agent.alive import PERIOD_S, Alive, pid_namespace, remove_alive, write_alive
from agent.base.clock import Clock
from agent.base.files import lock_folder
from agent.base.notify import notify, watchdog_period_s
from agent.camera.capture import Capture
from agent.camera.mailbox import Mailbox
from agent.contract.config import DeviceConfig
from agent.contract.errors import UnavailableError
from agent.contract.messages import CameraReport, Status, to_json
from agent.contract.topics import Channel, Topics
from agent.device import build_vision
from agent.journal import Journal
from agent.machine import CLOCK_FLOOR
from agent.notebook import Notebook
from agent.pipeline import Observer, Parts, Pipeline
from agent.report import Reporter
from agent.saver import Saver
from agent.session import Session
from agent.spool import Spool
from agent.threads import Loop, stop_in_turn, stop_together
from agent.trust import KeyKeeper
from agent.twin import Twin
from agent.uplink import Reports, Uplink
from agent.vision.shipped import load_profile

log = logging.getLogger(__name__)

HEARD: Final[tuple[Channel, ...]] = ("receipt", "verdict", "desired", "advice", "status")
TAKE_S: Final = 0.5
TICK_S: Final = 0.5
CAMERAS_STOP_S: Final = 2.0
STOP_S: Final = 10.0
"""With the cameras and the farewell to the broker, less than the 20 s of the unit."""


class Daemon:
    """Everything that runs on a device; a context manager around its threads.

    Raises:
        BadContentError, UnavailableError: config, model, profile or state folder are not usable.
            An absent camera, broker or trust repository is a reported state, not an error.
    """

    def __init__(
        self, config: DeviceConfig, clock: Clock, observer: Observer | None = None
    ) -> None:
        """Build the parts and prove the model on a golden input."""
        self._observer = observer
        self._instance = secrets.token_hex(4)
        self.config = config
        self._clock = clock
        state = Path(config.state_dir)
        with ExitStack() as held:
            held.enter_context(lock_folder(state, "agent"))
            self.notebook = Notebook(state)
            held.callback(self.notebook.close)
            self.spool = Spool(state / "spool", config.spool, clock)
            held.callback(self.spool.close)
            self._build(state)
            self._held = held.pop_all()

    def _build(self, state: Path) -> None:
        config, clock = self.config, self._clock
        profile = load_profile(config.profile)
        if profile.notice:
            log.warning("research_only notice=%s", profile.notice)
        self._keeper = KeyKeeper(config.trust, state / "tuf", clock, self._time_floor)
        self.twin = Twin(config, self.notebook, clock, self._keeper)
        engine, classifier, lanes = build_vision(config, profile)
        engine.self_test()
        self._cameras: dict[str, CameraReport] = {}
        self._mailbox = Mailbox()
        self._captures = [
            Capture(c, self._mailbox, clock, random.Random(), self._on_camera)  # noqa: S311
            for c in config.camera
        ]
        self._session = self._make_session()
        self.journal = Journal(self.spool, self.notebook, self._session.wake)
        parts = Parts(
            engine, classifier, profile, lanes, self.journal, self.twin, config, clock,
            self._observer,
        )  # fmt: skip
        self.pipeline = Pipeline(parts, self.notebook.fact("budget"), self.notebook.fact("asked"))
        self._saver = Saver(self.pipeline, self.notebook, clock)
        self._reporter = Reporter(
            config=config,
            model=engine.model.version,
            cameras=lambda: tuple(self._cameras.values()),
            problems=lambda: (self._keeper.problem, *self.uplink.problems),
            pipeline=self.pipeline,
            journal=self.journal,
            spool=self.spool,
            notebook=self.notebook,
            twin=self.twin,
            clock=clock,
            started=clock.monotonic(),
            instance=self._instance,
        )
        self.uplink = self._make_uplink()
        self._rounds = 0
        self._receipts = 0
        self._receipted_at: float | None = None
        self._loops = self._make_loops()
        # Waits for an hour at a time, so it is not among those that the watchdog asks.
        self._trust = Loop("trust", self._keeper.run, lambda: 0)

    def __enter__(self) -> Self:
        """Start all threads."""
        self._session.start()
        for loop in (*self._loops, self._trust):
            loop.start()
        for capture in self._captures:
            capture.start()
        notify("READY=1", f"STATUS=watching {len(self._captures)} camera(s)")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop in the order of the straight line, so that nothing accepted is left behind."""
        notify("STOPPING=1")
        with self._held:
            stop_together((*self._captures, self._trust), CAMERAS_STOP_S)
            self._mailbox.close()
            stop_in_turn(self._loops, STOP_S)
            self._saver.save()
            topics = Topics(self.config.broker.prefix)
            gone = (topics.of(self.config.device, "status"), to_json(self._gone()))
            self._session.stop(gone)
            remove_alive(Path(self.config.state_dir))

    @property
    def failed(self) -> bool:
        """True where a bug ended a thread."""
        loops = any(loop.failed for loop in (*self._loops, self._trust))
        return loops or any(capture.failed for capture in self._captures)

    @property
    def ended(self) -> bool:
        """True when every source has come to its end and all that was in the frames is on disk."""
        # In the order of the straight line: what left one place has arrived at the next.
        return self._frames_ended and not self.pipeline.holding and self.journal.idle

    @property
    def _frames_ended(self) -> bool:
        states = {r.state for r in self._cameras.values()}
        all_told = len(self._cameras) == len(self._captures)
        return all_told and states == {"ended"} and self._mailbox.idle

    @property
    def settled(self) -> bool:
        """True when, besides, every look of this run has its receipt and its verdict."""
        waiting, _ = self.spool.totals()
        return self.ended and not waiting and not self.spool.unanswered

    def watch(self, stop: threading.Event, *, until_settled: float | None = None) -> bool:
        """Feed the watchdog until told to stop.

        Args:
            stop: Ends the watch.
            until_settled: Give up after so many seconds without a frame, a receipt or a
                verdict; None: run for ever.

        Returns:
            False where a loop failed, or the wait was given up.
        """
        period = watchdog_period_s()
        fed = news_at = self._clock.monotonic()
        beat_at = fed - PERIOD_S
        news: tuple[object, ...] = ()
        while not stop.wait(TICK_S):
            now = self._clock.monotonic()
            if self.failed:
                return False
            if now - beat_at >= PERIOD_S:
                beat_at = now
                self._beat()
            if period and now - fed >= period:
                fed = now
                self._feed()
            self._saver.step()
            if until_settled is None:
                continue
            if self.settled:
                return True
            frames = self.pipeline.counters.frames
            latest = (self.ended, frames, self.uplink.receipted, self.uplink.verdicts)
            if latest != news:
                news, news_at = latest, now
            if now - news_at > until_settled:
                log.warning("gave_up_waiting looks=%d", self.spool.totals()[0])
                return False
        return True

    def _beat(self) -> None:
        """Leave a sign of life for the field CLI."""
        now, receipts = self._clock.now(), self.uplink.receipted
        if receipts != self._receipts:
            self._receipts, self._receipted_at = receipts, now
        try:
            alive = Alive(
                at=now,
                pid=os.getpid(),
                namespace=pid_namespace(),
                broker=self._session.problem[:200],
                looks=self.spool.accepted,
                receipts=receipts,
                receipted_at=self._receipted_at,
                verdicts=self.uplink.verdicts,
                attempts=self.spool.by_attempts(),
                status=self._reporter.status(),
                reported=self._reporter.reported(),
                telemetry=self._reporter.telemetry(),
            )
            write_alive(Path(self.config.state_dir), alive)
        except (OSError, UnavailableError) as error:
            log.debug("sign_of_life_failed reason=%s", error)

    def _feed(self) -> None:
        # A camera that is absent still moves: it tries again. One that does not hangs.
        stuck = [loop.name for loop in self._loops if not loop.moved()]
        stuck += [capture.name for capture in self._captures if not capture.moved()]
        if not self._session.link.moved():
            stuck.append("mqtt")
        if stuck:
            log.error("loops_stuck names=%s", ",".join(stuck))
            notify(f"STATUS=stuck: {', '.join(stuck)}")
        else:
            notify("WATCHDOG=1")

    def _infer(self, stop: threading.Event) -> None:
        while not stop.is_set():
            frame = self._mailbox.take(TAKE_S)
            if frame is not None:
                self.pipeline.step(frame)
                self._mailbox.done(frame)
            elif self._frames_ended:
                self.pipeline.flush()
            else:
                self.pipeline.release()
            self._rounds += 1
        self.pipeline.flush()

    def _make_loops(self) -> list[Loop]:
        """Make the threads, in the order in which they are stopped."""
        return [
            Loop("inference", self._infer, lambda: self._rounds),
            Loop("journal", self.journal.run, lambda: self.journal.progress),
            Loop("uplink", self.uplink.run, lambda: self.uplink.progress),
        ]

    def _make_session(self) -> Session:
        device, topics = self.config.device, Topics(self.config.broker.prefix)
        return Session(
            self.config.broker,
            device,
            (topics.of(device, "status"), to_json(self._gone())),
            tuple(topics.of(device, channel) for channel in HEARD),
            random.Random(),  # noqa: S311 - spreads reconnects
        )

    def _make_uplink(self) -> Uplink:
        reporter = self._reporter
        return Uplink(
            self._session,
            Topics(self.config.broker.prefix),
            self.spool,
            self.notebook,
            self.twin,
            Reports(
                self.config.device,
                self._instance,
                reporter.status,
                reporter.reported,
                reporter.telemetry,
            ),
            self._clock,
            random.Random(),  # noqa: S311 - spreads pauses
        )

    def _on_camera(self, report: CameraReport) -> None:
        self._cameras[report.camera] = report
        self._session.wake.set()

    def _gone(self) -> Status:
        device, instance = self.config.device, self._instance
        return Status(device=device, online=False, at=self._clock.now(), instance=instance)

    def _time_floor(self) -> float:
        return float(self.notebook.fact("time_floor", CLOCK_FLOOR))
