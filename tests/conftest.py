"""Fixtures that every test may use."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No test passes or fails by the clock: a loaded machine is no bug.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the fault catalogue; `tests/faults/conftest.py` heeds them."""
    parser.addoption(
        "--faults",
        choices=("cheap", "short", "long"),
        default="cheap",
        help="fault catalogue: with all other tests the cheapest short forms; or alone, all of it",
    )
    parser.addoption("--faults-seed", type=int, default=20, help="seed of its random faults")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real images, models and clips beside the checkout."""
    if not DATA.is_dir():
        pytest.skip("shared/data is not beside this checkout")
    return DATA


class Mosquitto:
    """A real broker on a free port of loopback; `stop` and `start` keep port and sessions."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.port = free_port()
        self.extra = ""
        """More lines of its config."""
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._child
        return self._child.pid

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def configure(self) -> str:
        return (
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\n"
            f"persistence true\npersistence_location {self.folder}/\n"
            # Root would become the user mosquitto, who may not write here.
            f"user root\nmax_inflight_messages 0\nmax_queued_messages 0\n{self.extra}"
        )

    def start(self) -> None:
        config = self.folder / "mosquitto.conf"
        config.write_text(self.configure())
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._child = subprocess.Popen(
                [self.program, "-c", str(config)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 10
        while not listens(self.port):
            assert self._child.poll() is None, (self.folder / "mosquitto.log").read_text()
            assert time.monotonic() < deadline, "mosquitto does not listen"
            time.sleep(0.02)

    def stop(self, *, kill: bool = False) -> None:
        if self._child:
            (self._child.kill if kill else self._child.terminate)()
            self._child.wait(10)
            self._child = None

    def reload(self) -> None:
        """Read access rules anew."""
        os.kill(self.pid, signal.SIGHUP)

    def forget(self) -> None:
        """Lose sessions and retained messages, as a broker without persistence does."""
        for path in self.folder.glob("mosquitto.db*"):
            path.unlink()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running Mosquitto of this test's own."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("mosquitto is not installed")
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    broker = Mosquitto(program, folder)
    broker.start()
    yield broker
    broker.stop()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody accepts connections on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped, and which."""
    names = [report.nodeid for report in terminalreporter.getreports("skipped")]
    terminalreporter.write_line(f"skipped: {len(names)}")
    for name in names:
        terminalreporter.write_line(f"  {name}")
