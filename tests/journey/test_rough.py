"""Rough treatment of a running device: none of it ends the process or fools it."""

import json
import os
import signal
from pathlib import Path

from agent.base.clock import SystemClock
from agent.contract.config import SpoolConfig
from agent.spool import Spool
from tests.conftest import Mosquitto
from tests.listener import Listener
from tests.makers import an_id, look
from tests.programs import Program, running, wait_for

DEVICE = """
device = "cam-1"
state_dir = "{root}/device"
[[camera]]
name = "road"
uri = "{uri}"
[broker]
url = "{broker}"
[spool]
min_free_bytes = 0
"""
FOREVER = "scene://5?frames=1000000&realtime=1"


def device(root: Path, broker: Mosquitto, uri: str, *options: str) -> Program:
    file = root / "device.toml"
    file.write_text(DEVICE.format(root=root, broker=broker.url, uri=uri))
    return Program("agent", "run", "--config", str(file), *options, log=root / "agent.log")


def test_a_source_that_never_opens_ends_the_wait(tmp_path: Path, mosquitto: Mosquitto) -> None:
    agent = device(tmp_path, mosquitto, "file:///nowhere.mp4", "--until-settled", "2")
    with running(agent):
        assert agent.finish(30) == 3


def test_without_a_cloud_it_is_not_settled(tmp_path: Path, mosquitto: Mosquitto) -> None:
    spool = Spool(tmp_path / "device" / "spool", SpoolConfig(min_free_bytes=0), SystemClock())
    spool.put([look(1)])
    spool.close()
    agent = device(tmp_path, mosquitto, "scene://5?frames=2", "--until-settled", "3")
    receipt = json.dumps({"look_ids": [an_id(1)]}).encode()
    with Listener(mosquitto.url) as cloud, running(agent):
        wait_for("the look", lambda: bool(cloud.heard["secondlook/cam-1/look"]), 20)
        cloud.publish("secondlook/cam-1/receipt", receipt)
        assert agent.finish(30) == 3, "receipted, but not answered"


def test_a_second_agent_is_refused_and_the_first_goes_on(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    first = device(tmp_path, mosquitto, FOREVER)
    status = "secondlook/cam-1/status"
    with Listener(mosquitto.url) as listener, running(first):
        wait_for("online", lambda: listener.last(status).get("online") is True, 30)
        second = device(tmp_path, mosquitto, FOREVER)
        with running(second):
            assert second.finish(30) == 3
        assert "another agent runs" in second.output
        first.stop(signal.SIGTERM)
        assert first.finish(20) == os.EX_OK


def test_forged_verdicts_and_damaged_looks(tmp_path: Path, mosquitto: Mosquitto) -> None:
    state = tmp_path / "device"
    spool = Spool(state / "spool", SpoolConfig(min_free_bytes=0), SystemClock())
    spool.put([look(n) for n in range(3)])
    spool.close()
    next((state / "spool" / "looks").glob(f"{an_id(0)}.*")).write_bytes(b"damaged")
    agent = device(tmp_path, mosquitto, FOREVER)
    answer = {
        "look_id": an_id(1), "sighting_id": an_id(9), "camera": "front", "captured_at": 1.0,
        "device_label": None, "outcome": "person",
    }  # fmt: skip
    topic = "secondlook/cam-1/verdict"
    with Listener(mosquitto.url) as listener, running(agent):
        wait_for("both looks", lambda: len(listener.heard["secondlook/cam-1/look"]) >= 2, 30)
        for forged in ({"seq": 2**53 - 1, "verdicts": [answer]}, {"seq": 5, "verdicts": []}):
            listener.publish(topic, json.dumps(forged).encode())
        listener.publish(topic, json.dumps({"seq": 7, "verdicts": [answer]}).encode())
        wait_for(
            "the honest one",
            lambda: listener.last("secondlook/cam-1/reported").get("verdict_seq") == 7,
            20,
        )
        agent.stop(signal.SIGTERM)
        assert agent.finish(20) == os.EX_OK
