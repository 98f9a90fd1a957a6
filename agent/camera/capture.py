"""One thread a camera: open, read, judge, mask, hand over; and open again when lost. Shell."""

import logging
import random
import threading
from collections.abc import Callable, Iterator
from typing import Final

from agent.base.backoff import delays
from agent.base.clock import Clock
from agent.camera.base import Shot, Source
from agent.camera.judge import FrameJudge
from agent.camera.mailbox import Mailbox
from agent.camera.open import open_source
from agent.camera.pace import Pacer
from agent.camera.state import StateKeeper
from agent.contract.config import CameraConfig
from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.messages import CameraReport
from agent.privacy import apply_masks
from agent.threads import Loop
from agent.vision.types import Frame

log = logging.getLogger(__name__)

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 60.0
HEALTHY_S: Final = 10.0
"""Good frames for so long end the backing off; a camera that fails at once stays in it."""
TICK_S: Final = 0.5
STOP_S: Final = 2.0
SLACK_S: Final = 30.0
"""Host names are looked up, and devices waited for, beyond the time limits that we can set."""

Opener = Callable[[CameraConfig, Clock], Source]
Waiter = Callable[[threading.Event, float], bool]


class Capture:
    """Brings one camera's frames to the mailbox, whatever happens to the camera."""

    def __init__(
        self,
        config: CameraConfig,
        mailbox: Mailbox,
        clock: Clock,
        rng: random.Random,
        report: Callable[[CameraReport], None],
        *,
        opener: Opener = open_source,
        frozen_after_s: float = 30.0,
        wait: Waiter = threading.Event.wait,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            config: The camera; its privacy masks are applied to each frame.
            mailbox: Where frames go.
            clock: Tells when frames were taken and how long nothing came.
            rng: Jitter of the waits between attempts.
            report: Called with each change of state, from the capture's thread.
            opener: Makes an open source of a config.
            frozen_after_s: How long a live picture may stay the same in every bit.
            wait: Waits on the event that ends the thread, for so many seconds at most.
        """
        self.name = config.name
        self.frames = 0
        """Frames handed over."""
        self.unreadable = 0
        """Pictures that could not be decoded."""
        self.progress = 0
        """Rises while the thread is alive, also while it waits for the camera."""
        self.ended = False
        self._config = config
        self._mailbox = mailbox
        self._clock = clock
        self._rng = rng
        self._opener = opener
        self._frozen_after_s = frozen_after_s
        self._wait = wait
        self._state = StateKeeper(config.name, clock, report)
        self._good_since: float | None = None
        self._good_for_s = 0.0
        self._patient_until = 0.0
        self._loop = Loop(f"camera-{config.name}", self._run, lambda: self.progress)

    @property
    def failed(self) -> bool:
        """True where a bug ended the thread."""
        return self._loop.failed

    def start(self) -> None:
        """Start the thread."""
        self._loop.start()

    def moved(self) -> bool:
        """Tell whether the thread has progressed since the last call, or has no need to.

        It need not where its source has ended, nor while a camera may still let it wait: an absent
        camera is no reason to start the device anew.
        """
        waiting = self._clock.monotonic() < self._patient_until and not self.failed
        return self._loop.moved() or self.ended or waiting

    def ask(self) -> None:
        """Ask the thread to end."""
        self._loop.ask()

    def stop(self, timeout_s: float = STOP_S) -> bool:
        """End the thread. False where a read still hangs: it ends with the process."""
        return self._loop.stop(timeout_s)

    def _run(self, stop: threading.Event) -> None:
        self._state.tell("starting")
        waits = self._waits()
        while not stop.is_set():
            self._good_since, self._good_for_s = None, 0.0
            if self._attempt(stop):
                self.ended = True
                self._state.tell("ended", f"{self.frames} frames, {self.unreadable} unreadable")
                return
            if self._good_for_s >= HEALTHY_S:
                waits = self._waits()
            self._sleep(next(waits), stop)

    def _waits(self) -> Iterator[float]:
        return delays(FIRST_WAIT_S, LONGEST_WAIT_S, self._rng)

    def _attempt(self, stop: threading.Event) -> bool:
        """Open the source and stay with it. True: it came to its end."""
        self._may_wait(self._config.open_timeout_s)
        try:
            source = self._opener(self._config, self._clock)
        except UnavailableError as error:
            self._state.tell("absent", str(error))
            return False
        except BadContentError as error:
            self._state.tell("undecodable", str(error))
            return False
        try:
            return self._follow(source, stop)
        except UnavailableError as error:
            self._state.tell("stalled", str(error))
            return False
        finally:
            source.close()

    def _may_wait(self, limit_s: float) -> None:
        self.progress += 1
        self._patient_until = self._clock.monotonic() + limit_s + SLACK_S

    def _follow(self, source: Source, stop: threading.Event) -> bool:
        judge = FrameJudge(live=source.live, frozen_after_s=self._frozen_after_s)
        pacer = Pacer(self._config.fps)
        bad_in_a_row = 0
        while not stop.is_set():
            self._may_wait(self._config.read_timeout_s)
            try:
                shot = source.read()
            except BadContentError as error:
                self.unreadable += 1
                bad_in_a_row += 1
                self._state.tell("undecodable", str(error))
                # A looped folder of nothing but broken pictures must not keep a core busy.
                self._sleep(min(0.001 * bad_in_a_row, TICK_S), stop)
                continue
            if shot is None:
                return True
            bad_in_a_row = 0
            self._consider(source, shot, judge, pacer, stop)
        return False

    def _consider(
        self, source: Source, shot: Shot, judge: FrameJudge, pacer: Pacer, stop: threading.Event
    ) -> None:
        now = self._clock.monotonic()
        verdict = judge.judge(shot.image, now)
        if verdict.usable or verdict.condition != "ok":
            self._state.tell(verdict.condition, _REASONS[verdict.condition])
        if not verdict.usable:
            self._good_since = None
            return
        if self._good_since is None:
            self._good_since = now
        self._good_for_s = max(self._good_for_s, now - self._good_since)
        if source.live:
            if not pacer.due(now):
                return
        else:
            self._sleep(pacer.delay(now), stop)
        self._hand_over(source, shot, stop)

    def _hand_over(self, source: Source, shot: Shot, stop: threading.Event) -> None:
        frame = Frame(
            camera=self.name,
            number=shot.number,
            captured_at=self._clock.now() if shot.captured_at is None else shot.captured_at,
            image=apply_masks(shot.image, self._config.masks),
            still=source.still,
            # A source that knows its own times knows the distances between them, too.
            steady_at=self._clock.monotonic() if shot.captured_at is None else None,
        )
        live = source.live
        while not stop.is_set():
            if self._mailbox.put(frame, live=live):
                self.frames += 1
                return
            self.progress += 1

    def _sleep(self, seconds: float, stop: threading.Event) -> None:
        while seconds > 0 and not self._wait(stop, min(seconds, TICK_S)):
            seconds -= TICK_S
            self.progress += 1


_REASONS: Final = {
    "ok": "",
    "black": "the picture is black: lens covered, or no light",
    "blinded": "the picture is white: something shines into the lens, or the exposure is stuck",
    "covered": "nothing can be made out: the lens is covered, fogged or out of focus",
    "torn": "the lower part of the picture is missing: the network loses data, or the camera is"
    " overloaded",
    "frozen": "the picture has not changed in a single bit: restart the camera",
}
