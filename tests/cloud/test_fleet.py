"""Fleet config from the command to the broker, as a device would take it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from agent.base.clock import SystemClock
from agent.contract.envelope import check, open_envelope
from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.messages import DesiredBody
from cloud.commands.status import show_fleet
from cloud.config import CloudConfig
from cloud.database import open_database
from cloud.fleet import as_json, parse_changes, set_desired, twins
from cloud.keys import init_keys, load_signer
from cloud.orders import Orders
from cloud.worker import Worker
from tests.cloud.conftest import config_for
from tests.conftest import Mosquitto, free_port
from tests.device_sim import DeviceSim, wait_until

CLOCK = SystemClock()


@pytest.fixture
def config(mosquitto: Mosquitto, tmp_path: Path) -> CloudConfig:
    init_keys(tmp_path / "keys")
    return config_for(
        tmp_path,
        broker={"url": mosquitto.url},
        keys={"dir": str(tmp_path / "keys")},
        label={"enabled": False},
        advice={"period_s": 0.2},
    )


def settings_in(payload: bytes, config: CloudConfig, last_seq: int = 0) -> dict[str, object]:
    key = load_signer(Path(config.keys.dir)).public_key
    signed = open_envelope(payload, "desired", [key])
    check(signed, "cam-1", last_seq, CLOCK.now())
    return DesiredBody.model_validate(signed.body).settings


def test_values_are_toml_scalars() -> None:
    pairs = ["threshold=0.4", "looks_per_day=100", "context=thumbnail", "log_level='DEBUG'"]
    assert parse_changes(pairs) == {
        "threshold": 0.4, "looks_per_day": 100, "context": "thumbnail", "log_level": "DEBUG",
    }  # fmt: skip


@pytest.mark.parametrize(
    "pair", ["threshold", "=1", "a=[1]", "a={}", "a=1;b", "a=", "a=2026-01-01", 'a="x\ny"']
)
def test_other_values_are_refused_with_their_key(pair: str) -> None:
    with pytest.raises(BadContentError):
        parse_changes([pair])


def test_same_key_twice_is_refused() -> None:
    with pytest.raises(BadContentError, match="twice"):
        parse_changes(["a=1", "a=2"])


def test_device_receives_signed_settings_even_when_it_comes_later(
    config: CloudConfig, mosquitto: Mosquitto
) -> None:
    first = set_desired(config, "cam-1", {"threshold": 0.4}, CLOCK, replace=False)
    second = set_desired(config, "cam-1", {"max_fps": 5.0}, CLOCK, replace=False)
    assert second.seq > first.seq
    with DeviceSim(mosquitto.port) as device:
        wait_until(lambda: len(device.orders["desired"]) == 1)  # retained: the newest alone
        (payload,) = device.orders["desired"]
        assert settings_in(payload, config) == {"threshold": 0.4, "max_fps": 5.0}
        with pytest.raises(BadContentError, match="replay"):
            settings_in(payload, config, second.seq)
        set_desired(config, "cam-1", {"threshold": 0.3}, CLOCK, replace=True)
        wait_until(lambda: len(device.orders["desired"]) == 2)
        assert settings_in(device.orders["desired"][1], config) == {"threshold": 0.3}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"threshold": 7}, "threshold"),
        ({"camera": "rtsp://x"}, "camera"),
        ({"context": "everything"}, "context"),
    ],
)
def test_insane_settings_are_neither_stored_nor_sent(
    config: CloudConfig, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(BadContentError, match=words):
        set_desired(config, "cam-1", changes, CLOCK, replace=False)
    assert Orders(open_database(config.database)).all() == []


def test_device_id_and_keys_are_checked_first(config: CloudConfig) -> None:
    with pytest.raises(BadContentError, match="device id"):
        set_desired(config, "../cam", {}, CLOCK, replace=False)
    without = config_for(Path(config.state_dir).parent)
    with pytest.raises(BadContentError, match="keys init"):
        set_desired(without, "cam-1", {}, CLOCK, replace=False)


def test_what_found_no_broker_is_sent_by_the_worker(
    config: CloudConfig, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = config.model_copy(
        update={
            "broker": config.broker.model_copy(update={"url": f"mqtt://127.0.0.1:{free_port()}"})
        }
    )
    monkeypatch.setattr("cloud.fleet.CONNECT_S", 0.3)
    with pytest.raises(UnavailableError, match="is the broker running") as caught:
        set_desired(away, "cam-1", {"threshold": 0.4}, CLOCK, replace=False)
    (order,) = Orders(open_database(config.database)).all()
    assert f"stored as sequence {order.seq}: a running worker sends it" in str(caught.value)
    with DeviceSim(mosquitto.port) as device, Worker(config):
        wait_until(lambda: len(device.orders["desired"]) == 1)
        assert settings_in(device.orders["desired"][0], config) == {"threshold": 0.4}


def test_broker_that_forgot_is_told_again(config: CloudConfig, mosquitto: Mosquitto) -> None:
    set_desired(config, "cam-1", {"threshold": 0.4}, CLOCK, replace=False)
    mosquitto.stop(kill=True)
    mosquitto.forget()
    mosquitto.start()
    with Worker(config), DeviceSim(mosquitto.port) as device:
        wait_until(lambda: len(device.orders["desired"]) >= 1)


def test_show_compares_wanted_and_reported(config: CloudConfig, mosquitto: Mosquitto) -> None:
    order = set_desired(config, "cam-1", {"threshold": 0.4}, CLOCK, replace=False)
    engine = open_database(config.database)
    (twin,) = twins(engine)
    assert (twin.device, twin.desired, twin.applied) == ("cam-1", {"threshold": 0.4}, False)
    with Worker(config), DeviceSim(mosquitto.port) as device:
        device.report(config_seq=order.seq)
        wait_until(lambda: twins(engine, "cam-1")[0].applied)
    assert twins(engine, "cam-2") == []


def test_show_tells_what_a_device_cut(
    config: CloudConfig, mosquitto: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"threshold": 0.0, "min_hits": 3}
    order = set_desired(config, "cam-1", changes, CLOCK, replace=False)
    engine = open_database(config.database)
    with Worker(config), DeviceSim(mosquitto.port) as device:
        device.report(config_seq=order.seq, config={"threshold": 0.05, "min_hits": 3})
        wait_until(lambda: twins(engine, "cam-1")[0].cut)
    (twin,) = twins(engine)
    assert not twin.applied
    assert twin.cut == {"threshold": (0.0, 0.05)}
    show_fleet([twin], Console(width=200))
    assert "cut by its limits: threshold 0.0 -> 0.05" in capsys.readouterr().out
    (shown,) = json.loads(as_json([twin]))
    assert shown["cut"] == {"threshold": {"wanted": 0.0, "runs": 0.05}}


def test_the_command_says_one_line_without_a_broker(config: CloudConfig) -> None:
    program = "import cloud.fleet; cloud.fleet.CONNECT_S = 0.5; from cloud.cli import main; main()"
    url = f"mqtt://127.0.0.1:{free_port()}"
    done = subprocess.run(
        [
            sys.executable, "-c", program, "fleet", "set", "cam-1", "threshold=0.4",
            "--state-dir", config.state_dir, "--keys", config.keys.dir, "--broker", url,
        ],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1, done.stderr
    assert "stored as sequence" in done.stderr


def test_racing_commands_forget_nothing(config: CloudConfig) -> None:
    file = Path(config.state_dir).parent / "cloud.toml"
    file.write_text(
        f'state_dir = "{config.state_dir}"\n[broker]\nurl = "{config.broker.url}"\n'
        f'[keys]\ndir = "{config.keys.dir}"\n'
    )
    command = [sys.executable, "-m", "cloud", "fleet", "set", "cam-1", "-c", str(file)]
    pairs = ("max_fps=5.0", "threshold=0.4", "min_hits=3")
    racing = [subprocess.Popen([*command, pair], stdout=subprocess.DEVNULL) for pair in pairs]
    assert [child.wait(60) for child in racing] == [0, 0, 0]
    (twin,) = twins(open_database(config.database))
    assert twin.desired == {"max_fps": 5.0, "threshold": 0.4, "min_hits": 3}
