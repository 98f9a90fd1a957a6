"""The scripted broker speaks MQTT well enough for a real client."""

import threading
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.device_sim import wait_until
from tests.faults.proxy import Proxy
from tests.faults.scripted_broker import ScriptedBroker

V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311


class Client:
    """A paho client that notes what it is told."""

    def __init__(self, port: int, protocol: MQTTProtocolVersion) -> None:
        self.welcome: Any = None
        self.codes: list[int] = []
        self.ends: list[int] = []
        self.subscribed = threading.Event()
        self.mqtt = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id="cam-1",
            protocol=protocol,
            reconnect_on_failure=False,
        )
        self.mqtt.on_connect = self._on_connect
        self.mqtt.on_subscribe = lambda *_: self.subscribed.set()
        self.mqtt.on_publish = lambda *a: self.codes.append(a[3].value)
        self.mqtt.on_disconnect = lambda *a: self.ends.append(a[3].value)
        self.mqtt.connect("127.0.0.1", port, 60)
        self.mqtt.loop_start()
        assert self.subscribed.wait(10)

    def _on_connect(self, client: mqtt.Client, *args: Any) -> None:
        self.welcome = args[3]
        client.subscribe([("a/receipt", 1)])

    def close(self) -> None:
        self.mqtt.disconnect()
        self.mqtt.loop_stop()


@pytest.mark.parametrize("protocol", [V5, V311])
def test_takes_what_is_published(protocol: MQTTProtocolVersion) -> None:
    with ScriptedBroker() as broker:
        client = Client(broker.port, protocol)
        for size in (0, 10, 200, 70_000):
            client.mqtt.publish("a/look", b"x" * size, 1).wait_for_publish(10)
        client.close()
        assert [len(item.payload) for item in broker.on("look")] == [0, 10, 200, 70_000]
        assert broker.clients == ["cam-1"]


def test_a_tap_counts_the_looks_that_pass() -> None:
    with ScriptedBroker() as broker, Proxy(broker.port) as proxy:
        up, down = proxy.tap()
        client = Client(proxy.port, V5)
        for channel, size in (("look", 10), ("event", 20), ("look", 10_000), ("look", 200)):
            client.mqtt.publish(f"a/{channel}", b"x" * size, 1).wait_for_publish(10)
        client.close()
    assert (up.looks, down.looks) == (3, 0)
    assert 10_210 < up.bytes < 10_300


def test_answers_with_the_code_it_was_told() -> None:
    codes = iter((0x97, 0x10, 0x80))
    with ScriptedBroker(lambda *_: next(codes), announced=2_048) as broker:
        client = Client(broker.port, V5)
        assert client.welcome.MaximumPacketSize == 2_048
        for _ in range(3):
            client.mqtt.publish("a/look", b"x", 1)
        wait_until(lambda: client.codes == [0x97, 0x10, 0x80])
        client.close()


@pytest.mark.parametrize("protocol", [V5, V311])
def test_hangs_up_above_its_limit(protocol: MQTTProtocolVersion) -> None:
    with ScriptedBroker(limit=1_000) as broker:
        client = Client(broker.port, protocol)
        client.mqtt.publish("a/look", b"x" * 900, 1).wait_for_publish(10)
        client.mqtt.publish("a/look", b"x" * 1_001, 1)
        wait_until(lambda: bool(client.ends))
        client.close()
        assert broker.hung_up == 1
        assert [len(item.payload) for item in broker.heard] == [900]
        if protocol == V5:
            assert client.ends[0] == 0x95
