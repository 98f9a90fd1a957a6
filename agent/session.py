"""The MQTT session: paho behind a few calls, nothing ever raised into its thread. Adapter.

paho's network thread dies silently when a callback raises, and it keeps unsent messages in RAM
without a bound. So callbacks only put into queues, and callers publish only while connected and
below `in_flight`.
"""

import logging
import queue
import threading
from dataclasses import dataclass
from typing import Any, Final

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.base.broker import connect_properties, log_in
from agent.contract.config import BrokerConfig, broker_address

log = logging.getLogger(__name__)

RECEIVE_MAXIMUM: Final = 64
RECONNECT_S: Final = (1, 60)
NO_SUBSCRIBERS: Final = 0x10
INBOX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Inbound:
    """One received message."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Acked:
    """The broker's answer to one QoS 1 publish; no promise that anyone stored it."""

    mid: int
    accepted: bool
    unheard: bool
    """Taken, but nobody subscribes to the topic (MQTT 5)."""
    reason: str


class Session:
    """One client of the broker, reconnecting for ever.

    Args:
        config: Address, protocol, TLS.
        client_id: Unique; the device id.
        will: Topic and payload of the retained last will.
        subscriptions: Topic filters, subscribed at QoS 1 on every connect.

    Raises:
        BadContentError: TLS files do not load.
    """

    def __init__(
        self,
        config: BrokerConfig,
        client_id: str,
        will: tuple[str, bytes],
        subscriptions: tuple[str, ...],
    ) -> None:
        """Prepare the client; `start` connects."""
        self._config = config
        self._v5 = config.protocol == "5"
        self._subscriptions = subscriptions
        self.inbox: queue.Queue[Inbound] = queue.Queue(INBOX)
        self.acks: queue.SimpleQueue[Acked] = queue.SimpleQueue()
        self.wake = threading.Event()
        self.connections = 0
        self.max_packet: int | None = None
        self.problem = "not connected yet"
        self._pending: set[int] = set()
        self._client = self._make(client_id, will)

    @property
    def connected(self) -> bool:
        """True between CONNACK and the end of the connection."""
        return self._client.is_connected() and not self.problem

    @property
    def room(self) -> int:
        """How many more QoS 1 messages may be on their way now."""
        return self._config.in_flight - len(self._pending)

    def start(self) -> None:
        """Connect in the background and keep trying."""
        host, port, _ = broker_address(self._config.url)
        options: dict[str, Any] = {}
        if self._v5:
            options = {"clean_start": False, "properties": connect_properties(RECEIVE_MAXIMUM)}
        self._client.connect_async(host, port, self._config.keepalive_s, **options)
        self._client.loop_start()

    def stop(self, goodbye: tuple[str, bytes] | None = None) -> None:
        """Say goodbye (a clean disconnect sends no last will) and end the thread."""
        if goodbye and self.connected:
            self._client.publish(*goodbye, qos=1, retain=True).wait_for_publish(2)
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int | None:
        """Hand one QoS 1 message to the network thread.

        Returns:
            Its message id, or None while not connected (nothing is queued then).
        """
        if not self.connected:
            return None
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        if info.rc != mqtt.MQTT_ERR_SUCCESS:
            return None
        self._pending.add(info.mid)
        return info.mid

    def settle(self, mid: int) -> None:
        """Count a message as answered."""
        self._pending.discard(mid)

    def _make(self, client_id: str, will: tuple[str, bytes]) -> mqtt.Client:
        config = self._config
        version = MQTTProtocolVersion.MQTTv5 if self._v5 else MQTTProtocolVersion.MQTTv311
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=version,
            # MQTT 5 says the same with clean_start at connect.
            clean_session=None if self._v5 else False,
        )
        client.suppress_exceptions = True
        client.max_inflight_messages_set(config.in_flight)
        client.max_queued_messages_set(config.in_flight * 4)
        client.reconnect_delay_set(*RECONNECT_S)
        client.will_set(*will, qos=1, retain=True)
        log_in(client, config)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_connect_fail = self._on_connect_fail
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    def _on_connect(
        self, client: mqtt.Client, _data: object, _flags: object, code: ReasonCode,
        properties: Properties | None,
    ) -> None:  # fmt: skip
        if code.is_failure:
            self.problem = f"refused: {code}"
            log.warning("broker_refused reason=%s", code)
            return
        self.max_packet = getattr(properties, "MaximumPacketSize", None)
        client.subscribe([(topic, 1) for topic in self._subscriptions])
        self._pending.clear()
        self.problem = ""
        self.connections += 1
        log.info("broker_connected n=%d", self.connections)
        self.wake.set()

    def _on_disconnect(
        self, _client: mqtt.Client, _data: object, _flags: object, code: ReasonCode, _props: object
    ) -> None:
        expected = self.problem or not code.is_failure
        log.log(logging.DEBUG if expected else logging.WARNING, "broker_lost reason=%s", code)
        # A refused connection is also closed, and the refusal says more.
        if not self.problem.startswith("refused"):
            self.problem = f"lost: {code}"
        self.wake.set()

    def _on_connect_fail(self, _client: mqtt.Client, _data: object) -> None:
        first = self.problem != "unreachable"
        log.log(logging.WARNING if first else logging.DEBUG, "broker_unreachable %s", self.url)
        self.problem = "unreachable"

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        try:
            self.inbox.put_nowait(Inbound(message.topic, bytes(message.payload)))
        except queue.Full:
            # Everything that comes down is either retained or sent again.
            log.warning("inbox_full topic=%s", message.topic)
        self.wake.set()

    def _on_publish(
        self, _client: mqtt.Client, _data: object, mid: int, code: ReasonCode, _props: object
    ) -> None:
        self.acks.put(Acked(mid, not code.is_failure, code.value == NO_SUBSCRIBERS, str(code)))
        self.wake.set()

    @property
    def url(self) -> str:
        """The broker's address."""
        return self._config.url
