"""A capture whose camera plays a script on a clock of its own, and what came of it."""

import random
import threading
from collections.abc import Iterator

import numpy as np

from agent.base.clock import Clock
from agent.camera.base import Shot, Source
from agent.camera.capture import Capture
from agent.camera.mailbox import Mailbox
from agent.contract.config import CameraConfig
from agent.contract.messages import CameraReport
from agent.vision.types import Frame, Image
from tests.makers import FakeClock

PERIOD_S = 0.125

Item = Image | Exception | None
Script = Iterator[Item]


def play(*items: Item) -> Script:
    """Pictures, errors, and None for the end, one a read."""
    return iter(items)


def noise(seed: int) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)


def flat(value: int) -> Image:
    return np.full((24, 32, 3), value, np.uint8)


def reports_of(reports: list[CameraReport]) -> list[str]:
    return [report.state for report in reports]


class FakeSource:
    """Plays a script: pictures, errors, None for the end. Each read takes 1/8 s of its clock."""

    still = False

    def __init__(self, script: Script, clock: FakeClock, *, live: bool) -> None:
        self.live = live
        self.closed = False
        self._script = script
        self._clock = clock
        self._number = 0

    def open(self) -> None:
        pass

    def read(self) -> Shot | None:
        self._clock.pass_(PERIOD_S)
        item = next(self._script)
        if isinstance(item, Exception):
            raise item
        if item is None:
            return None
        self._number += 1
        return Shot(item, self._number - 1)

    def close(self) -> None:
        self.closed = True


class Rig:
    """A capture, somebody who takes its frames, and what was reported."""

    def __init__(
        self,
        *scripts: Script | Exception,
        live: bool = True,
        config: CameraConfig | None = None,
        seed: int = 1,
    ) -> None:
        self.clock = FakeClock()
        self.mailbox = Mailbox()
        self.reports: list[CameraReport] = []
        self.frames: list[Frame] = []
        self.sources: list[FakeSource] = []
        self.slept: list[float] = []
        """Seconds waited before each attempt to open."""
        self._live = live
        self._scripts = iter(scripts)
        self.capture = Capture(
            config or CameraConfig(name="front", uri="rtsp://h/x"),
            self.mailbox,
            self.clock,
            random.Random(seed),
            self.reports.append,
            opener=self._open,
            wait=self._wait,
        )
        self._taker = threading.Thread(target=self._take)

    def _open(self, config: CameraConfig, clock: Clock) -> Source:
        self.slept.append(0.0)
        script = next(self._scripts)
        if isinstance(script, Exception):
            raise script
        self.sources.append(FakeSource(script, self.clock, live=self._live))
        return self.sources[-1]

    def _wait(self, stop: threading.Event, seconds: float) -> bool:
        self.clock.pass_(seconds)
        self.slept[-1] += seconds
        return stop.is_set()

    def _take(self) -> None:
        while not self.capture.ended or not self.mailbox.idle:
            frame = self.mailbox.take(0.01)
            if frame is not None:
                self.frames.append(frame)
                self.mailbox.done(frame)

    def run(self) -> list[str]:
        """Run until the last script has ended; return the states reported."""
        self.capture.start()
        self._taker.start()
        self._taker.join(30)
        assert self.capture.ended
        assert self.capture.stop()
        assert all(source.closed for source in self.sources)
        return reports_of(self.reports)
