"""The worker's MQTT session, acknowledged by hand. Adapter.

An acknowledgement here promises nothing to anybody (the receipt does); it only tells the broker
to send the next message.
"""

import logging
import queue
import random
import threading
from dataclasses import dataclass
from typing import Final

from paho.mqtt import client as mqtt

from agent.base.link import SESSION_EXPIRY_S, Callbacks, Link, Plan
from agent.contract.config import BrokerConfig
from agent.contract.errors import UnavailableError

log = logging.getLogger(__name__)

QUEUED: Final = 10_000


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
        """Prepare the link; `start` connects."""
        self._url = config.url
        self._inbox_limit = receive_maximum + QUEUED
        self.inbox: queue.SimpleQueue[Arrived] = queue.SimpleQueue()
        self.overflowed = 0
        self._up = threading.Event()
        plan = Plan(
            config, client_id, subscriptions, receive_maximum, QUEUED, session_s, manual_ack=True
        )
        callbacks = Callbacks(self._on_message, changed=self._on_change)
        self.link = Link(plan, callbacks, random.Random())  # noqa: S311 - spreads reconnects

    @property
    def connected(self) -> bool:
        """True between CONNACK and the end of the connection."""
        return self.link.connected

    @property
    def problem(self) -> str:
        """What keeps us from the broker; empty while connected."""
        return self.link.problem

    @property
    def connections(self) -> int:
        """Number of the connection, counted from 1."""
        return self.link.connections

    def start(self) -> None:
        """Connect in the background and keep trying."""
        self.link.start()

    def wait(self, timeout_s: float) -> None:
        """Wait for the connection.

        Raises:
            UnavailableError: there was none in time.
        """
        if not self._up.wait(timeout_s):
            raise UnavailableError(
                f"{self._url}: {self.problem} after {timeout_s:.0f} s;"
                " is the broker running, and is [broker] url right?"
            )

    def stop(self) -> None:
        """Disconnect; the broker keeps the session, and what comes meanwhile."""
        self.link.stop()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Send one QoS 1 message if there is a connection and room for it.

        Returns:
            False when it was not taken: the caller sends it again later.
        """
        return self.link.publish(topic, payload, retain=retain) is not None

    def publish_now(self, topic: str, payload: bytes, timeout_s: float) -> None:
        """Publish a retained QoS 1 message and wait for the broker's word.

        Raises:
            UnavailableError: none came in time.
        """
        info = self.link.publish(topic, payload, retain=True)
        try:
            if info:
                info.wait_for_publish(timeout_s)
        except (ValueError, RuntimeError) as error:
            raise UnavailableError(f"{self._url}: {error}") from error
        if not info or not info.is_published():
            raise UnavailableError(
                f"{self._url}: no answer within {timeout_s:.0f} s ({self.problem or 'slow'})"
            )

    def ack(self, message: Arrived) -> None:
        """Let the broker forget a message; one of an earlier connection comes again instead."""
        if message.qos and message.connection == self.link.connections:
            self.link.ack(message.mid, message.qos)

    def _on_change(self) -> None:
        if self.link.connected:
            self._up.set()
        else:
            self._up.clear()

    def _on_message(self, client: mqtt.Client, message: mqtt.MQTTMessage) -> None:
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
            Arrived(topic, bytes(message.payload), message.mid, message.qos, self.link.connections)
        )
