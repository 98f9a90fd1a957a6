"""What systemd hears: ready when the model has answered, a pulse while all threads move."""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from agent import daemon as daemon_module
from agent import uplink as uplink_module
from agent.base import link as link_module
from agent.base.clock import Clock
from agent.camera.base import Shot
from agent.camera.scene.source import SceneSource
from agent.contract.config import parse_config
from agent.daemon import Daemon
from agent.vision.engine import Engine
from tests.conftest import Mosquitto, free_port
from tests.faults.case import Case
from tests.streams import until

PING, READY = b"WATCHDOG=1", b"READY=1"


class Manager:
    """A service manager that remembers what it heard, and when."""

    def __init__(self, path: Path) -> None:
        self.heard: list[tuple[float, bytes]] = []
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._channel.bind(str(path))
        self._channel.settimeout(0.1)
        self._off = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while not self._off.is_set():
            try:
                self.heard.append((time.monotonic(), self._channel.recv(4096)))
            except TimeoutError:
                continue

    def pings(self, since: float = 0.0) -> list[float]:
        return [at for at, words in list(self.heard) if words == PING and at > since]

    def said(self, words: bytes, since: float = 0.0) -> bool:
        return any(words in each for at, each in list(self.heard) if at > since)

    def close(self) -> None:
        self._off.set()
        self._thread.join()
        self._channel.close()


class Shifting:
    """The machine's clock, which a test can move on."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    heard = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    # Asked every half second here, not every 15 s: idle threads turn more often, too.
    for place in (link_module, uplink_module):
        monkeypatch.setattr(place, "TICK_S", 0.1)
    monkeypatch.setattr(daemon_module, "TAKE_S", 0.1)
    yield heard
    heard.close()


@contextmanager
def watched(
    folder: Path, clock: Clock, broker: str, uri: str = "scene://5?frames=1000000&realtime=1"
) -> Iterator[Daemon]:
    config = parse_config(
        {
            "device": "cam-1",
            "state_dir": str(folder),
            "camera": [{"name": "road", "uri": uri, "fps": 5}],
            "broker": {"url": broker},
            "spool": {"min_free_bytes": 0},
        },
        "test",
    )
    stop = threading.Event()
    with Daemon(config, clock) as daemon:
        watching = threading.Thread(target=daemon.watch, args=(stop,))
        watching.start()
        try:
            yield daemon
        finally:
            stop.set()
            watching.join()


class Hang:
    """Stands in for a step, and does not return until let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self._leave = threading.Event()

    def __call__(self, *_: object, **__: object) -> None:
        self.entered.set()
        self._leave.wait(60)

    def let_go(self) -> None:
        self._leave.set()


Hook = Callable[[Daemon, Hang, pytest.MonkeyPatch], None]


def in_capture(_: Daemon, hang: Hang, patch: pytest.MonkeyPatch) -> None:
    read = SceneSource.read

    def hanging(source: SceneSource) -> Shot | None:
        hang()
        return read(source)

    patch.setattr(SceneSource, "read", hanging)


HANGS: dict[str, Hook] = {
    "road": in_capture,
    "inference": lambda daemon, hang, patch: patch.setattr(daemon.pipeline, "step", hang),
    "journal": lambda daemon, hang, patch: patch.setattr(daemon.journal, "_gather", hang),
    "uplink": lambda daemon, hang, patch: patch.setattr(daemon.uplink, "step", hang),
    "mqtt": lambda daemon, hang, patch: patch.setattr(
        daemon._session.link._client, "loop_misc", hang
    ),
}


@pytest.mark.fault(43)
@pytest.mark.slow
def test_a_thread_that_hangs_stops_the_pulse(
    case: Case, tmp_path: Path, mosquitto: Mosquitto, manager: Manager
) -> None:
    last_ping_s: dict[str, float] = {}
    rounds = case.size(1, 10)
    clock = Shifting()
    with watched(tmp_path / "state", clock, mosquitto.url) as daemon:
        assert until(lambda: daemon._session.connected)
        for name, hook in list(HANGS.items()) * rounds:
            hang, began = Hang(), time.monotonic()
            with pytest.MonkeyPatch.context() as patch:
                # Also after the hang before: a thread that moves again is well.
                assert until(lambda b=began: len(manager.pings(b)) >= 2), name  # type: ignore[misc]
                hook(daemon, hang, patch)
                assert hang.entered.wait(30), name
                hung = time.monotonic()
                # A camera is given its time limits and 30 s more before it counts as hanging.
                clock.ahead += 60.0 if name == "road" else 0.0
                stuck = partial(manager.said, f"STATUS=stuck: {name}".encode(), hung)
                assert until(stuck), name
                time.sleep(1.5)
                after = manager.pings(hung)
                hang.let_go()
            last_ping_s[name] = round(max([0.0, *(at - hung for at in after)]), 2)
            # One was due already when it began to hang; the next ask finds it standing still.
            assert len(after) <= 1, name
    case.record(len(HANGS) * rounds, hang_to_last_ping_s=last_ping_s)


@pytest.mark.fault(43)
def test_what_is_absent_is_no_reason_to_stop_the_pulse(
    case: Case, tmp_path: Path, manager: Manager
) -> None:
    pings = case.size(4, 60)
    clock = Shifting()
    absent = f"mqtt://127.0.0.1:{free_port()}"
    with watched(tmp_path / "state", clock, absent, "file:///nowhere.mp4"):
        # Hours pass between two pings, as far as cameras are concerned.
        for n in range(pings):
            clock.ahead += case.rng.uniform(0, 100)
            assert until(lambda n=n: len(manager.pings()) > n), n  # type: ignore[misc]
    case.record(pings, pings=len(manager.pings()), stuck=manager.said(b"stuck"))
    assert not manager.said(b"stuck")


@pytest.mark.fault(43)
def test_ready_comes_after_the_first_inference(
    case: Case, tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    self_test, entered, leave = Engine.self_test, threading.Event(), threading.Event()

    def slow(engine: Engine) -> None:
        entered.set()
        leave.wait(30)
        self_test(engine)

    monkeypatch.setattr(Engine, "self_test", slow)
    answered = []

    def start() -> None:
        with watched(tmp_path / "state", Shifting(), f"mqtt://127.0.0.1:{free_port()}"):
            answered.append(until(lambda: manager.said(READY)))

    starting = threading.Thread(target=start)
    starting.start()
    assert entered.wait(30)
    time.sleep(random.Random(case.seed).uniform(0.2, 0.5))
    early = manager.said(READY)
    leave.set()
    starting.join(30)
    case.record(1, ready_before_the_model=early, ready_after=answered == [True])
    assert not early
    assert answered == [True]
    assert manager.said(b"STOPPING=1")
