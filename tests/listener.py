"""Somebody who listens at a broker."""

import json
import time
from collections import defaultdict
from types import TracebackType
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from typing_extensions import Self

from agent.contract.config import broker_address


class Listener:
    """Keeps the payloads of all topics while entered; may publish too."""

    def __init__(self, url: str, name: str = "listener", filters: str = "#") -> None:
        self.heard: dict[str, list[bytes]] = defaultdict(list)
        self.heard_at: dict[str, list[float]] = defaultdict(list)
        """Monotonic seconds of each."""
        self._address = broker_address(url)[:2]
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.on_connect = lambda client, *_: client.subscribe(filters, 1)
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        self._client.connect(*self._address)
        self._client.loop_start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        self.heard_at[message.topic].append(time.monotonic())
        self.heard[message.topic].append(bytes(message.payload))

    def json(self, topic: str) -> list[Any]:
        """All messages of a topic, parsed."""
        return [json.loads(payload) for payload in list(self.heard[topic])]

    def last(self, topic: str) -> Any:
        """The newest message of a topic, parsed; an empty dict where none came."""
        messages = self.json(topic)
        return messages[-1] if messages else {}

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)
