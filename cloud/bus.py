"""The worker's MQTT session: paho behind a few calls, acknowledged by hand. Adapter.

Callbacks only put into a queue: an exception that leaves one ends paho's network thread while
the client still looks alive. An acknowledgement here promises nothing to anybody (the receipt
does); it only tells the broker to send the next message.
"""

import logging
import queue
import threading
from dataclasses import dataclass
from typing import Any, Final

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from agent.base.broker import SESSION_EXPIRY_S, connect_properties, log_in
from agent.contract.config import BrokerConfig, broker_address
from agent.contract.errors import UnavailableError

log = logging.getLogger(__name__)
paho_log = logging.getLogger(f"{__name__}.paho")
# Says every packet at DEBUG, and the exceptions it caught at ERROR.
paho_log.setLevel(logging.WARNING)

RECONNECT_S: Final = (1, 30)
QUEUED: Final = 10_000
GOODBYE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Arrived:
    """One received message, not yet acknowledged."""

    topic: str
    payload: bytes
    mid: int
    qos: int
    connection: int
    """Which connection it came on: a message of an earlier one comes again."""


class Bus:
    """One client of the broker, reconnecting for ever.

    Args:
        config: Address, protocol, TLS.
        client_id: Stable over restarts and unique: the broker keeps the session under it.
        subscriptions: Topic filters with their QoS, subscribed on every connect.
        receive_maximum: Messages not acknowledged at a time (MQTT 5; else the broker's limit).
        session_s: How long the broker keeps the session of an absent client; 0: not at all.

    Raises:
        BadContentError: TLS files do not load.
        UnavailableError: TLS or password files cannot be read.
    """

    def __init__(
        self,
        config: BrokerConfig,
        client_id: str,
        subscriptions: tuple[tuple[str, int], ...] = (),
        receive_maximum: int = 512,
        session_s: int = SESSION_EXPIRY_S,
    ) -> None:
        """Prepare the client; `start` connects."""
        self._config = config
        self._v5 = config.protocol == "5"
        self._subscriptions = subscriptions
        self._receive_maximum = receive_maximum
        self._session_s = session_s
        self._inbox_limit = receive_maximum + QUEUED
        self.inbox: queue.SimpleQueue[Arrived] = queue.SimpleQueue()
        self.connections = 0
        self.overflowed = 0
        self.problem = "not connected yet"
        self._up = threading.Event()
        self._client = self._make(client_id)

    @property
    def connected(self) -> bool:
        """True between CONNACK and the end of the connection."""
        return not self.problem and self._client.is_connected()

    def start(self) -> None:
        """Connect in the background and keep trying."""
        host, port, _ = broker_address(self._config.url)
        options: dict[str, Any] = {}
        if self._v5:
            options = {
                "clean_start": False,
                "properties": connect_properties(self._receive_maximum, self._session_s),
            }
        self._client.connect_async(host, port, self._config.keepalive_s, **options)
        self._client.loop_start()

    def wait(self, timeout_s: float) -> None:
        """Wait for the connection.

        Raises:
            UnavailableError: there was none in time.
        """
        if not self._up.wait(timeout_s):
            raise UnavailableError(
                f"{self._config.url}: {self.problem} after {timeout_s:.0f} s;"
                " is the broker running, and is [broker] url right?"
            )

    def stop(self) -> None:
        """Disconnect; the broker keeps the session, and what comes meanwhile."""
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Send one QoS 1 message if there is a connection and room for it.

        Returns:
            False when it was not taken: the caller sends it again later.
        """
        if not self.connected:
            return False
        return self._client.publish(topic, payload, 1, retain).rc == mqtt.MQTT_ERR_SUCCESS

    def publish_now(self, topic: str, payload: bytes, timeout_s: float) -> None:
        """Publish a retained QoS 1 message and wait for the broker's word.

        Raises:
            UnavailableError: none came in time.
        """
        info = self._client.publish(topic, payload, 1, retain=True)
        try:
            info.wait_for_publish(timeout_s)
        except (ValueError, RuntimeError) as error:
            raise UnavailableError(f"{self._config.url}: {error}") from error
        if not info.is_published():
            raise UnavailableError(
                f"{self._config.url}: no answer within {timeout_s:.0f} s ({self.problem or 'slow'})"
            )

    def ack(self, message: Arrived) -> None:
        """Let the broker forget a message; one of an earlier connection comes again instead."""
        if message.qos and message.connection == self.connections:
            self._client.ack(message.mid, message.qos)

    def _make(self, client_id: str) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if self._v5 else MQTTProtocolVersion.MQTTv311,
            # MQTT 5 says the same with clean_start at connect.
            clean_session=None if self._v5 else self._session_s == 0,
            manual_ack=True,
        )
        client.suppress_exceptions = True
        client.enable_logger(paho_log)
        client.max_inflight_messages_set(self._config.in_flight)
        client.max_queued_messages_set(QUEUED)
        client.reconnect_delay_set(*RECONNECT_S)
        log_in(client, self._config)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_connect_fail = self._on_connect_fail
        client.on_message = self._on_message
        return client

    def _on_connect(
        self, client: mqtt.Client, _data: object, _flags: object, code: ReasonCode, _props: object
    ) -> None:
        if code.is_failure:
            self.problem = f"refused: {code}"
            log.warning("broker_refused url=%s reason=%s", self._config.url, code)
            return
        self.connections += 1
        if self._subscriptions:
            client.subscribe(list(self._subscriptions))
        self.problem = ""
        self._up.set()
        log.info("broker_connected url=%s n=%d", self._config.url, self.connections)

    def _on_disconnect(
        self, _client: mqtt.Client, _data: object, _flags: object, code: ReasonCode, _props: object
    ) -> None:
        log.log(logging.DEBUG if self.problem else logging.INFO, "broker_lost reason=%s", code)
        self._up.clear()
        self.problem = self.problem or f"lost: {code}"

    def _on_connect_fail(self, _client: mqtt.Client, _data: object) -> None:
        again = self.problem == "unreachable"
        level = logging.DEBUG if again else logging.WARNING
        log.log(level, "broker_unreachable url=%s", self._config.url)
        self.problem = "unreachable"

    def _on_message(self, client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        if not topic or self.inbox.qsize() >= self._inbox_limit:
            # Without a receipt the device sends it again; an unacknowledged one would clog.
            self.overflowed += 1
            client.ack(message.mid, message.qos)
            return
        self.inbox.put(
            Arrived(topic, bytes(message.payload), message.mid, message.qos, self.connections)
        )
