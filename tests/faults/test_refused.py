"""Row 6: what a broker may answer to a look, short of taking it."""

import json
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import Mosquitto
from tests.faults.case import Case
from tests.faults.device import Device, drained, working
from tests.faults.oracle import judge
from tests.faults.proxy import Proxy
from tests.faults.scripted_broker import ScriptedBroker
from tests.listener import Listener
from tests.programs import wait_for

CODES = (0x10, 0x80, 0x87, 0x97)
ALARM_S = 10.0
LOOKS = 5
LIMIT_S = 30.0


def complains(broker: ScriptedBroker, device: str) -> bool:
    """Whether a device has told of a problem."""
    return bool(alarm(broker, device)[1])


def alarm(broker: ScriptedBroker, device: str) -> tuple[float, str]:
    """Seconds from the first refused look to the first complaint, and the complaint."""
    looks = [h.at for h in broker.on("look") if f"/{device}/" in h.topic]
    for told in broker.on("status"):
        problems = json.loads(told.payload)["problems"]
        if problems and f"/{device}/" in told.topic:
            return round(told.at - looks[0], 2), "; ".join(problems)
    return 0.0, ""


@pytest.mark.fault(6, cheap=True)
def test_puback_refuses(case: Case, tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Each device has its own code, so that all of them are tried at once."""

    def answer(topic: str, payload: bytes) -> int:
        return int(topic.split("/")[1], 16) if topic.endswith("/look") else 0

    took, words = dict[str, float](), dict[str, str]()
    with ScriptedBroker(answer) as broker, ExitStack() as entered:
        proxy = entered.enter_context(Proxy(broker.port))
        devices = [
            entered.enter_context(Device(tmp_path, proxy.url, f"{code:02x}")) for code in CODES
        ]
        for device in devices:
            device.put(LOOKS)
        for device in devices:
            wait_for("an alarm", partial(complains, broker, device.name), LIMIT_S)
            took[device.name], words[device.name] = alarm(broker, device.name)
        assert [device.waiting for device in devices] == [LOOKS] * len(CODES)
        assert {n for d in devices for n in d.spool.by_attempts()} == {0}, "counted as sent"
        assert sum(device.uplink.receipted for device in devices) == 0
        with working(tmp_path, mosquitto.url):
            proxy.target = mosquitto.port
            proxy.cut()
            count = drained(*devices)
    case.record(len(CODES), alarm_s=took)
    judge(case, count)
    assert max(took.values()) < ALARM_S
    assert "authorized" in words["87"]


ACL = "topic readwrite #\n"
DENIED = "topic read #\ntopic write secondlook/+/status\ntopic write secondlook/cam-free/#\n"


@pytest.mark.fault(6)
def test_mosquitto_refuses(case: Case, tmp_path: Path, mosquitto: Mosquitto) -> None:
    """0x87 by its access rules, and 0x10 while no worker has ever come."""
    acl = tmp_path / "acl"
    acl.write_text(DENIED)
    mosquitto.stop()
    # Without a bound on its queue, Mosquitto 2.0.11 hangs up on whom it denies something.
    mosquitto.extra = f"acl_file {acl}\nmax_queued_messages 1000\n"
    mosquitto.start()
    took = dict[str, float]()
    with (
        Listener(mosquitto.url, filters="secondlook/+/status") as listener,
        Device(tmp_path, mosquitto.url, "cam-denied") as denied,
        Device(tmp_path, mosquitto.url, "cam-free") as free,
    ):
        started = time.monotonic()
        for device, words in ((denied, "authorized"), (free, "listens")):
            device.put(LOOKS)
            topic = f"secondlook/{device.name}/status"
            wait_for(f"{device.name}: alarm", partial(told, listener, topic, words), LIMIT_S)
            took[device.name] = round(time.monotonic() - started, 2)
        assert (denied.waiting, free.waiting) == (LOOKS, LOOKS)
        acl.write_text(ACL)
        mosquitto.reload()
        with working(tmp_path, mosquitto.url):
            count = drained(denied, free)
    case.record(2, alarm_s=took)
    judge(case, count)
    assert max(took.values()) < ALARM_S


def told(listener: Listener, topic: str, words: str) -> bool:
    """Whether the last status complains of something."""
    return words in str(listener.last(topic))
