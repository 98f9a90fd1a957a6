"""SIGTERM in bad moments: a clean stop within the unit's time, nothing accepted is lost."""

import itertools
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner

from agent.base.clock import SystemClock
from agent.contract.codec import decode_look
from agent.contract.config import SpoolConfig
from agent.spool import Spool
from cloud.demo.recount import read_ledger
from cloud.keys import init_keys, load_signer
from tests.conftest import Mosquitto
from tests.faults.case import Case
from tests.listener import Listener
from tests.makers import envelope
from tests.programs import Program, running, wait_for

DEVICE = """
device = "cam-1"
state_dir = "{root}/device"
{cameras}
[broker]
url = "{broker}"
[trust]
root_file = "{root}/keys/root.json"
repository = "{repository}"
[spool]
ledger = true
min_free_bytes = 0
[limits]
max_threshold = 1.0
looks_per_day = 1000000
bytes_per_day = 10000000000
[settings]
threshold = 1.0
looks_per_day = 1000000
bytes_per_day = 10000000000
looks_per_sighting = 20
duplicate_bits = 0
"""
CAMERA = '[[camera]]\nname = "c{n}"\nuri = "{uri}"\n'
SCENE = "scene://3?frames=1000000"
STATUS, DESIRED = "secondlook/cam-1/status", "secondlook/cam-1/desired"
FAR = 4_000_000_000.0


@dataclass
class Stage:
    """An agent under load, its broker, and who listens there."""

    agent: Program
    broker: Mosquitto
    listener: Listener
    signer: CryptoSigner
    spool: Path

    def accepted(self) -> int:
        return len(read_ledger(self.spool / "ledger.log")[0])

    def wait_accepted(self, more: int) -> None:
        target = self.accepted() + more
        wait_for(f"{more} looks", lambda: self.accepted() >= target, 60)


@contextmanager
def silent_port() -> Iterator[int]:
    """A port where connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        yield int(silent.getsockname()[1])


@contextmanager
def freely_running(_: Stage) -> Iterator[None]:
    yield


@contextmanager
def broker_frozen(stage: Stage) -> Iterator[None]:
    """The connection stands, and nothing moves on it: the spool is being drained into it."""
    child = stage.broker._child
    assert child
    child.send_signal(signal.SIGSTOP)
    try:
        stage.wait_accepted(3)
        yield
    finally:
        child.send_signal(signal.SIGCONT)


@contextmanager
def broker_gone(stage: Stage) -> Iterator[None]:
    stage.broker.stop()
    try:
        stage.wait_accepted(3)
        yield
    finally:
        stage.broker.start()


@contextmanager
def config_switched(stage: Stage) -> Iterator[None]:
    """Signed config comes as fast as it can be signed, and each changes the rate."""
    off, numbers = threading.Event(), itertools.count(int(time.time() * 1000))

    def publish() -> None:
        while not off.wait(0.005):
            n = next(numbers)
            body = {"settings": {"threshold": 1.0, "looks_per_day": 900_000 + n % 1000}}
            message = envelope(stage.signer, "desired", body, n, expires=FAR)
            stage.listener.publish(DESIRED, message, retain=True)

    publishing = threading.Thread(target=publish)
    publishing.start()
    try:
        applied = "desired_applied"
        wait_for("three switches", lambda: stage.agent.output.count(applied) >= 3, 60)
        yield
    finally:
        off.set()
        publishing.join()


Moment = Callable[[Stage], AbstractContextManager[None]]
MOMENTS: dict[str, Moment] = {
    "under load": freely_running,
    "draining into a frozen broker": broker_frozen,
    "broker gone": broker_gone,
    "config switching": config_switched,
}


def check_nothing_lost(spool: Path) -> tuple[int, int]:
    """Return how many looks were accepted, and how many of them are neither here nor evicted."""
    accepted, evicted = read_ledger(spool / "ledger.log")
    opened = Spool(spool, SpoolConfig(min_free_bytes=0), SystemClock())
    waiting = [decode_look(p.read_bytes()).meta.look_id for p in (spool / "looks").glob("*.look")]
    assert len(waiting) == opened.totals()[0]
    opened.close()
    return len(accepted), len(accepted.keys() - evicted - set(waiting))


@pytest.mark.fault(44)
@pytest.mark.slow
def test_sigterm_in_bad_moments(case: Case, tmp_path: Path, mosquitto: Mosquitto) -> None:
    made = init_keys(tmp_path / "keys")
    signer = load_signer(tmp_path / "keys")
    stops: dict[str, list[float]] = {}
    file = tmp_path / "device.toml"
    file.write_text(
        DEVICE.format(
            root=tmp_path, broker=mosquitto.url, cameras=CAMERA.format(n=0, uri=SCENE),
            repository=made.repository.as_uri(),
        )
    )  # fmt: skip
    spool = tmp_path / "device" / "spool"
    for _ in range(case.size(1, 25)):
        for name, moment in MOMENTS.items():
            log = tmp_path / f"agent-{name}-{len(stops.get(name, []))}.log"
            agent = Program("agent", "run", "--config", str(file), log=log)
            with Listener(mosquitto.url, f"listener-{log.stem}") as listener, running(agent):
                stage = Stage(agent, mosquitto, listener, signer, spool)
                wait_for("online", lambda s=listener: s.last(STATUS).get("online") is True, 60)  # type: ignore[misc]
                stage.wait_accepted(3)
                with moment(stage):
                    time.sleep(case.rng.uniform(0, 0.5))
                    began = time.monotonic()
                    agent.stop(signal.SIGTERM)
                    assert agent.finish(20) == os.EX_OK, f"{name}: {agent.output[-3000:]}"
                    stops.setdefault(name, []).append(time.monotonic() - began)
                if moment in (freely_running, config_switched):
                    assert json.loads(listener.heard[STATUS][-1])["online"] is False
            assert "Traceback" not in agent.output, agent.output[-3000:]
            assert "hangs" not in agent.output, agent.output[-3000:]
            assert not (tmp_path / "device" / "alive.json").exists()
    total, lost = check_nothing_lost(spool)
    took = sorted(itertools.chain(*stops.values()))
    case.record(
        len(took), accepted=total, lost=lost, stop_s_p95=round(took[-1 - len(took) // 20], 2),
        stop_s_max={name: round(max(s), 2) for name, s in stops.items()},
    )  # fmt: skip
    assert lost == 0


@pytest.mark.fault(44)
@pytest.mark.slow
def test_sigterm_while_everything_outside_hangs(case: Case, tmp_path: Path) -> None:
    """Twelve cameras, the broker and the repository take connections and never say a word."""
    init_keys(tmp_path / "keys")
    with silent_port() as port:
        hanging = "".join(
            CAMERA.format(n=n, uri=f"rtsp://127.0.0.1:{port}/{n}") for n in range(1, 13)
        )
        file = tmp_path / "device.toml"
        file.write_text(
            DEVICE.format(
                root=tmp_path, broker=f"mqtt://127.0.0.1:{port}",
                cameras=CAMERA.format(n=0, uri=SCENE) + hanging,
                repository=f"http://127.0.0.1:{port}",
            )
        )  # fmt: skip
        agent = Program("agent", "run", "--config", str(file), log=tmp_path / "agent.log")
        spool = tmp_path / "device" / "spool"
        with running(agent):
            wait_for("looks", lambda: len(read_ledger(spool / "ledger.log")[0]) >= 8, 60)
            began = time.monotonic()
            agent.stop(signal.SIGTERM)
            assert agent.finish(20) == os.EX_OK, agent.output[-3000:]
            took = time.monotonic() - began
    total, lost = check_nothing_lost(spool)
    hung = agent.output.count("loop_hangs")
    case.record(1, stop_s=round(took, 2), threads_left_hanging=hung, accepted=total, lost=lost)
    assert lost == 0
    assert "Traceback" not in agent.output
