"""One connection after the other: bugs in callbacks, namesakes, stopping."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from paho.mqtt import client as mqtt

from agent.base import link as module
from agent.base.client import Plan
from agent.base.link import Callbacks, Link
from agent.contract.config import BrokerConfig
from tests.conftest import Mosquitto, free_port
from tests.programs import wait_for


@contextmanager
def linked(
    url: str,
    message: Callable[[mqtt.Client, mqtt.MQTTMessage], None] = lambda *_: None,
    client_id: str = "cam-1",
    protocol: str = "5",
) -> Iterator[Link]:
    broker = BrokerConfig.model_validate({"url": url, "protocol": protocol, "keepalive_s": 5})
    plan = Plan(broker, client_id, (("to/cam-1", 1),))
    link = Link(plan, Callbacks(message), random.Random(1))
    link.start()
    try:
        yield link
    finally:
        link.stop()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_bug_in_a_callback_ends_the_connection_and_not_the_thread(
    mosquitto: Mosquitto, protocol: str
) -> None:
    heard: list[bytes] = []
    bugs = [ValueError("first"), KeyError("second")]

    def on_message(_client: mqtt.Client, message: mqtt.MQTTMessage) -> None:
        if bugs:
            raise bugs.pop()
        heard.append(bytes(message.payload))

    with linked(mosquitto.url, on_message, protocol=protocol) as link:
        wait_for("the connection", lambda: link.connected, 10)
        link.publish("to/cam-1", b"kept")
        wait_for("the message, at the third delivery", lambda: heard == [b"kept"], 30)
        assert (link.failures, link.connections) == (2, 3)


def test_it_comes_back_and_takes_nothing_while_away(mosquitto: Mosquitto) -> None:
    with linked(mosquitto.url) as link:
        wait_for("the connection", lambda: link.connected, 10)
        mosquitto.stop()
        wait_for("the loss", lambda: not link.connected, 10)
        assert link.publish("a", b"b") is None
        wait_for("a reason", lambda: "refused" in link.problem, 20)
        mosquitto.start()
        wait_for("the connection", lambda: link.connected, 60)
        assert link.problem == ""


def test_a_contested_id_is_not_hurried_back_to(mosquitto: Mosquitto) -> None:
    with linked(mosquitto.url) as first:
        wait_for("the connection", lambda: first.connected, 10)
        first.contest()
        with linked(mosquitto.url) as second:
            wait_for("the eviction", lambda: not first.connected and second.connected, 10)
            time.sleep(module.RECONNECT_S[0] + 1)
            assert (first.connections, second.connected) == (1, True)


def test_stopping_takes_no_time_whatever_it_is_doing(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = f"mqtt://127.0.0.1:{free_port()}"
    for url in (mosquitto.url, nowhere):
        with linked(url) as link:
            wait_for("its first attempt", lambda: "yet" not in link.problem, 10)
            started = time.monotonic()
        assert time.monotonic() - started < module.STOP_S
    assert not [t for t in threading.enumerate() if t.name == "mqtt"]
