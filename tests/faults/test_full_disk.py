"""Rows 15 and 19: a real agent whose disk is full, or cannot be written any more."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.spool_files import read_spool
from cloud.demo.recount import read_ledger
from tests.conftest import Mosquitto
from tests.faults.case import Case
from tests.listener import Listener
from tests.programs import Program, running, wait_for

DEVICE = """
device = "cam-1"
profile = "traffic-signs"
state_dir = "{state}"
[[camera]]
name = "road"
uri = "scene://3?frames=1000000"
fps = 20
[broker]
url = "{broker}"
[spool]
ledger = true
min_free_bytes = 0
[limits]
looks_per_day = 1000000
bytes_per_day = 10000000000
max_threshold = 1.0
[settings]
threshold = 1.0
looks_per_day = 1000000
bytes_per_day = 10000000000
looks_per_sighting = 20
duplicate_bits = 0
telemetry_period_s = 1.0
"""
TELEMETRY = "secondlook/cam-1/telemetry"
STATUS = "secondlook/cam-1/status"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


class Watched:
    """An agent on a small disk, seen through the broker."""

    def __init__(self, disk: Path, broker: Mosquitto, folder: Path) -> None:
        self.state = disk / "state"
        config = folder / "device.toml"
        config.write_text(DEVICE.format(state=self.state, broker=broker.url))
        self.program = Program("agent", "run", "--config", str(config), log=folder / "agent.log")
        self.listener = Listener(broker.url)

    def frames(self) -> int:
        return int(self.listener.last(TELEMETRY).get("frames", 0))

    def goes_on(self) -> None:
        """Wait until more frames have been classified than up to now."""
        before = self.frames()
        wait_for("more frames", lambda: self.frames() > before + 10, 30)

    def accepted(self) -> int:
        return len(read_ledger(self.state / "spool" / "ledger.log")[0])

    def problems(self) -> str:
        return "; ".join(self.listener.last(STATUS).get("problems", ()))

    def restarts(self) -> int:
        return 0 if self.program.child and self.program.child.poll() is None else 1


def recovers(watched: Watched, case: Case, **figures: Any) -> None:
    before = watched.accepted()
    wait_for("looks are accepted again", lambda: watched.accepted() > before + 5, 40)
    wait_for("no problem left", lambda: "disk" not in watched.problems(), 40)
    case.record(1, restarts=watched.restarts(), kept=watched.accepted(), **figures)
    assert watched.restarts() == 0
    watched.program.stop(signal.SIGTERM)
    assert watched.program.finish(20) == os.EX_OK, watched.program.output[-2_000:]


@pytest.mark.fault(15, cheap=True)
def test_full_disk(case: Case, small_disk: Path, mosquitto: Mosquitto, tmp_path: Path) -> None:
    watched = Watched(small_disk, mosquitto, tmp_path)
    with watched.listener, running(watched.program):
        wait_for("looks", lambda: watched.state.exists() and watched.accepted() > 5, 60)
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4_096))
        wait_for("the problem is told", lambda: "No space left" in watched.problems(), 30)
        watched.goes_on()
        filler.unlink()
        recovers(watched, case)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder read-only under a running process.

    Files that it has open for writing keep a whole disk from that; a mount of the folder over
    itself does not ask. They stay writable, so SQLite may go on while the spool may not.
    """
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.fault(19, cheap=True)
def test_read_only_disk(case: Case, small_disk: Path, mosquitto: Mosquitto, tmp_path: Path) -> None:
    watched = Watched(small_disk, mosquitto, tmp_path)
    with watched.listener, running(watched.program):
        wait_for("looks", lambda: watched.state.exists() and watched.accepted() > 5, 60)
        with read_only(watched.state):
            wait_for("the problem is told", lambda: "ead-only" in watched.problems(), 30)
            watched.goes_on()
            ids = list(read_ledger(watched.state / "spool" / "ledger.log")[0])[:3]
            receipt = json.dumps({"look_ids": ids}).encode()
            watched.listener.publish("secondlook/cam-1/receipt", receipt)
            watched.goes_on()
        recovers(watched, case)
        left = {item.name.look_id for item in read_spool(watched.state / "spool")}
        assert not left & set(ids), "receipted while nothing could be deleted: deleted since"
