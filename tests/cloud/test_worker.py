"""The whole worker over a real broker, a real database and a server that speaks OpenAI's form."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from agent.contract.envelope import check, open_envelope
from agent.contract.errors import UnavailableError
from agent.contract.messages import AdviceBody
from cloud.config import CloudConfig
from cloud.database import open_database
from cloud.keys import init_keys, load_signer
from cloud.label.queue import LabelQueue
from cloud.schema import looks
from cloud.worker import Worker
from tests.cloud.conftest import config_for
from tests.conftest import Mosquitto, free_port
from tests.device_sim import DeviceSim, wait_until
from tests.llm_server import LlmServer
from tests.makers import NOW, an_id, look


def worker_config(
    root: Path, mosquitto: Mosquitto, llm: LlmServer, **sections: object
) -> CloudConfig:
    label = {"base_url": llm.url, "api_key_env": "", "retry_s": 0.1, "timeout_s": 5}
    return config_for(root, **{"broker": {"url": mosquitto.url}, "label": label, **sections})


def outcomes(config: CloudConfig) -> Counter[str]:
    with open_database(config.database).connect() as connection:
        return Counter(connection.execute(sa.select(looks.c.outcome)).scalars())


def advised(device: DeviceSim, keys: Path) -> AdviceBody:
    """What the device was told last; nothing so far is advice of nothing."""
    told = device.orders["advice"]
    if not told:
        return AdviceBody()
    signed = open_envelope(told[-1], "advice", [load_signer(keys).public_key])
    return AdviceBody.model_validate(signed.body)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_looks_become_verdicts_and_advice(
    mosquitto: Mosquitto, tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    init_keys(tmp_path / "keys")
    url = "" if database == "sqlite" else request.getfixturevalue("postgres")
    odd = {an_id(n) for n in range(0, 60, 3)}
    with LlmServer(truth=lambda look_id: "Yield" if look_id in odd else "Stop") as llm:
        config = worker_config(
            tmp_path, mosquitto, llm, database_url=url,
            keys={"dir": str(tmp_path / "keys")},
            advice={"period_s": 0.3, "min_looks": 60, "expires_s": 3600},
        )  # fmt: skip
        with DeviceSim(mosquitto.port) as device, Worker(config) as worker:
            device.send(*(look(n) for n in range(60)))
            wait_until(lambda: len(device.verdicts) == 60, 60)
            wait_until(lambda: worker.figures().totals.verdicts_applied == 60)
            device.report()
            wait_until(lambda: advised(device, tmp_path / "keys").based_on == 60)
            figures = worker.figures()
    assert figures.totals.outcomes == {"label": 60}
    assert figures.spent.calls == 60
    assert figures.problems == ()
    assert Counter(v.label for v in device.verdicts.values()) == {"Stop": 40, "Yield": 20}
    assert all(v.device_label == "Stop" for v in device.verdicts.values())
    assert sorted(llm.looks) == sorted(an_id(n) for n in range(60))
    key = load_signer(tmp_path / "keys").public_key
    signed = open_envelope(device.orders["advice"][-1], "advice", [key])
    check(signed, "cam-1", 0, signed.issued)
    assert signed.expires == signed.issued + 3600
    advice = AdviceBody.model_validate(signed.body)
    assert advice.confused == (("Stop", "Yield", 20),)
    assert advice.thresholds["Stop"] > 0.3
    assert advice.grant
    assert advice.grant.usd_per_look == pytest.approx(1_000 * 0.15e-6 + 20 * 0.6e-6)


def test_outage_of_the_service_delays_and_costs_nothing(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    script = ["overloaded", "rate_limit", "error", "off_list", "malformed", "refusal"]
    with LlmServer(script=script) as llm:
        label = {
            "base_url": llm.url, "api_key_env": "", "retry_s": 0.1, "retry_cap_s": 0.3,
            "concurrency": 1,
        }  # fmt: skip
        config = worker_config(tmp_path, mosquitto, llm, label=label)
        with DeviceSim(mosquitto.port) as device, Worker(config):
            device.send(*(look(n) for n in range(10)))
            wait_until(lambda: len(device.verdicts) == 10, 60)
    found = outcomes(config)
    assert found["label"] + found["person"] == 10
    # The refused look, and perhaps one whose answer had the wrong form twice.
    assert 1 <= found["person"] <= 2
    assert 14 <= len(llm.looks) <= 15


def test_stopped_worker_goes_on_where_it_was(mosquitto: Mosquitto, tmp_path: Path) -> None:
    with LlmServer(script=["timeout"] * 4) as llm:
        config = worker_config(tmp_path, mosquitto, llm)
        with DeviceSim(mosquitto.port) as device:
            with Worker(config):
                device.send(*(look(n) for n in range(40)))
                wait_until(lambda: len(llm.looks) == 4)
                wait_until(lambda: device.waiting == 0)
            llm.release.set()
            assert None in outcomes(config)
            with Worker(config):
                wait_until(lambda: len(device.verdicts) == 40, 60)
    assert outcomes(config) == {"label": 40}


def test_batch_that_was_assigned_and_never_started_is_found(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    with LlmServer() as llm, DeviceSim(mosquitto.port) as device:
        quiet = worker_config(tmp_path, mosquitto, llm, label={"enabled": False})
        with Worker(quiet):
            device.send(*(look(n) for n in range(5)))
            wait_until(lambda: device.waiting == 0)
        queue = LabelQueue(open_database(quiet.database))
        assert queue.assign("label-main-died-here", 10, NOW * 2) == 5
        with Worker(worker_config(tmp_path, mosquitto, llm)):
            wait_until(lambda: len(device.verdicts) == 5, 30)


def test_finished_workflows_are_cleared_away(mosquitto: Mosquitto, tmp_path: Path) -> None:
    with LlmServer() as llm, DeviceSim(mosquitto.port) as device:
        label = {"base_url": llm.url, "api_key_env": "", "lease_s": 5, "batch": 1}
        config = worker_config(tmp_path, mosquitto, llm, label=label)
        with Worker(config):
            device.send(*(look(n) for n in range(12)))
            wait_until(lambda: len(device.verdicts) == 12, 30)

            def cleared() -> bool:
                with sqlite3.connect(tmp_path / "cloud" / "workflows.sqlite") as db:
                    (count,) = db.execute("SELECT COUNT(*) FROM workflow_status").fetchone()
                db.close()
                return bool(count == 0)

            wait_until(cleared)


def test_second_worker_of_the_same_name_is_refused(mosquitto: Mosquitto, tmp_path: Path) -> None:
    config = config_for(tmp_path, broker={"url": mosquitto.url}, label={"enabled": False})
    with Worker(config):
        with pytest.raises(UnavailableError, match="'main' runs here already"):
            Worker(config)
        other = Worker(config.model_copy(update={"name": "second"}))
        other.stop()
    Worker(config).stop()


def test_worker_without_broker_starts_and_says_so(tmp_path: Path) -> None:
    config = config_for(
        tmp_path, broker={"url": f"mqtt://127.0.0.1:{free_port()}"}, label={"enabled": False}
    )
    with Worker(config) as worker:
        wait_until(lambda: worker.problems() and "unreachable" in worker.problems()[0])


def test_service_manager_hears_ready_then_watchdog_then_stopping(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(tmp_path / "notify"))
    heard.settimeout(30)
    config = tmp_path / "cloud.toml"
    config.write_text(
        f'state_dir = "{tmp_path}/cloud"\n[broker]\nurl = "{mosquitto.url}"\n'
        "[label]\nenabled = false\n"
    )
    words = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
    worker = subprocess.Popen(
        [sys.executable, "-m", "cloud", "run", "-c", str(config)], env=words,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    said = []
    try:
        said.append(heard.recv(4096).decode())
        said.extend(heard.recv(4096).decode() for _ in range(2))
        worker.send_signal(signal.SIGTERM)
        while "STOPPING=1" not in said[-1]:
            said.append(heard.recv(4096).decode())
        assert worker.wait(30) == 0
    finally:
        worker.kill()
        worker.wait()
        heard.close()
    assert said[0] == "READY=1"
    assert "WATCHDOG=1" in said[1]
    assert "STATUS=" in said[1]


def test_watchdog_falls_silent_when_a_role_hangs(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(tmp_path / "notify"))
    heard.settimeout(30)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "1400000")
    config = config_for(tmp_path, broker={"url": mosquitto.url}, label={"enabled": False})
    stop = threading.Event()
    with Worker(config) as worker:
        hang = threading.Event()
        watcher = threading.Thread(target=worker.watch, args=(stop,))
        watcher.start()
        while "WATCHDOG=1" not in heard.recv(4096).decode():
            pass
        worker.publisher.step = lambda: int(hang.wait(60))  # type: ignore[method-assign]
        while "WATCHDOG=1" in heard.recv(4096).decode():
            pass
        assert "WATCHDOG=1" not in heard.recv(4096).decode()
        hang.set()
        stop.set()
        watcher.join()
    heard.close()


def test_research_use_is_said_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nobody = {"url": f"mqtt://127.0.0.1:{free_port()}"}
    with Worker(config_for(tmp_path, broker=nobody, profile="medical")):
        pass
    assert "research_only notice=profile medical is for research only" in caplog.text
