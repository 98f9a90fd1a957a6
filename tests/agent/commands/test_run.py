"""`secondlook run` as a process of its own."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from agent.alive import read_alive
from cloud.config import parse_cloud_config
from cloud.worker import Worker
from tests.agent.commands.conftest import WriteConfig
from tests.conftest import Mosquitto
from tests.llm_server import LlmServer
from tests.makers import picture

SUMMARY = re.compile(
    r"(\d+) frames, (\d+) sightings, (\d+) looks accepted, (\d+) receipted, (\d+) verdicts,"
    r" (\d+) left in the spool\n"
)
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) \w+")


@contextmanager
def running(config: Path, *more: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "agent", "run", "--config", str(config), *more]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def await_life(child: "subprocess.Popen[str]", state: Path) -> None:
    deadline = time.monotonic() + 30
    while read_alive(state) is None:
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline, "no sign of life"
        time.sleep(0.05)


def test_first_signal_is_polite_and_a_log_line_has_its_form(
    write_config: WriteConfig, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    config = write_config(uri="scene://3?frames=100000", broker=mosquitto.url)
    with running(config) as child:
        await_life(child, tmp_path / "state")
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=30)
    assert child.returncode == 0
    told = SUMMARY.fullmatch(out)
    assert told, out
    assert int(told[1]) > 0
    assert read_alive(tmp_path / "state") is None
    lines = [line for line in err.splitlines() if not line.startswith("INFO: Created TensorFlow")]
    assert all(LOG_LINE.match(line) for line in lines), err
    assert any("broker_connected" in line for line in lines)
    assert any("stopping signal=SIGTERM" in line for line in lines)


def test_gives_up_waiting_for_a_cloud_that_is_not_there(
    write_config: WriteConfig, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for n in range(3):
        cv2.imwrite(str(pictures / f"{n}.png"), picture(n))
    more = "[settings]\nthreshold = 0.95\nduplicate_bits = 0\n"
    config = write_config(more, uri=f"dir://{pictures}")
    config.write_text(
        config.read_text().replace('name = "road"', 'name = "road"\npropose = {kind="whole-frame"}')
    )
    with running(config, "--until-settled", "1", "--log-level", "ERROR") as child:
        out, err = child.communicate(timeout=60)
    assert child.returncode == 3, err
    told = SUMMARY.fullmatch(out)
    assert told, out
    frames, _, accepted, receipted, verdicts, left = map(int, told.groups())
    assert (frames, receipted, verdicts) == (3, 0, 0)
    assert accepted == left > 0
    assert "WARNING" not in err


STUBBORN = """
import threading, time
from agent.commands.run import stop_politely
stop = threading.Event()
stop_politely(stop)
print("ready", flush=True)
stop.wait()
print("asked", flush=True)
time.sleep(60)
"""


def test_second_signal_forces() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "asked\n"
        assert child.poll() is None
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == -signal.SIGTERM


def test_ends_by_itself_when_all_is_answered(
    write_config: WriteConfig, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    config = write_config(
        "[settings]\nthreshold = 0.95\n", uri="scene://3?frames=40", broker=mosquitto.url
    )
    with LlmServer() as llm:
        document = {
            "state_dir": str(tmp_path / "cloud"),
            "broker": {"url": mosquitto.url},
            "label": {"base_url": llm.url, "api_key_env": "", "daily_cap_usd": 10.0},
        }
        worker = Worker(parse_cloud_config(document, "test"))
        with worker, running(config, "--until-settled", "30") as child:
            out, err = child.communicate(timeout=90)
    assert child.returncode == 0, err
    told = SUMMARY.fullmatch(out)
    assert told, out
    frames, _, accepted, receipted, verdicts, left = map(int, told.groups())
    assert (frames, left) == (40, 0)
    assert accepted == receipted == verdicts > 0
