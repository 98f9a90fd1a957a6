"""The MQTT session: what comes in waits in queues, nothing is kept that was not sent. Adapter.

paho keeps unsent messages in RAM without a bound, so callers publish only while connected and
below `in_flight`.
"""

import logging
import queue
import random
import threading
from dataclasses import dataclass
from typing import Final

from paho.mqtt import client as mqtt
from paho.mqtt.reasoncodes import ReasonCode

from agent.base.client import Plan
from agent.base.link import Callbacks, Link, Linked
from agent.contract.config import BrokerConfig

log = logging.getLogger(__name__)

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

    connection: int
    mid: int
    accepted: bool
    unheard: bool
    """Taken, but nobody subscribes to the topic (MQTT 5)."""
    reason: str


class Session(Linked):
    """One client of the broker, reconnecting for ever.

    Args:
        config: Address, protocol, TLS.
        client_id: Unique; the device id.
        will: Topic and payload of the retained last will.
        subscriptions: Topic filters, subscribed at QoS 1 on every connect.
        rng: Spreads reconnects.

    Raises:
        BadContentError: TLS files do not load.
        UnavailableError: TLS or password files cannot be read.
    """

    def __init__(
        self,
        config: BrokerConfig,
        client_id: str,
        will: tuple[str, bytes],
        subscriptions: tuple[str, ...],
        rng: random.Random,
    ) -> None:
        """Prepare the link; `start` connects."""
        self.in_flight = config.in_flight
        self.inbox: queue.Queue[Inbound] = queue.Queue(INBOX)
        self.acks: queue.SimpleQueue[Acked] = queue.SimpleQueue()
        self.wake = threading.Event()
        self._pending: set[int] = set()
        self._pending_of = 0
        plan = Plan(
            config,
            client_id,
            tuple((topic, 1) for topic in subscriptions),
            queued=config.in_flight * 4,
            will=will,
        )
        callbacks = Callbacks(self._on_message, self._on_published, self.wake.set)
        self.link = Link(plan, callbacks, rng)

    @property
    def room(self) -> int:
        """How many more QoS 1 messages may be on their way now."""
        self._renew()
        return self.in_flight - len(self._pending)

    def start(self) -> None:
        """Connect in the background and keep trying."""
        self.link.start()

    def stop(self, goodbye: tuple[str, bytes] | None = None) -> None:
        """Say goodbye (a clean disconnect sends no last will) and end the thread."""
        info = self.link.publish(*goodbye, retain=True) if goodbye else None
        if info:
            info.wait_for_publish(2)
        self.link.stop()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int | None:
        """Hand one QoS 1 message to the network thread.

        Returns:
            Its message id, or None while not connected (nothing is queued then).
        """
        self._renew()
        info = self.link.publish(topic, payload, retain=retain)
        if info is None:
            return None
        self._pending.add(info.mid)
        return info.mid

    def settle(self, ack: Acked) -> bool:
        """Count a message as answered; False where it went out on an earlier connection."""
        self._renew()
        if ack.connection != self._pending_of:
            return False
        self._pending.discard(ack.mid)
        return True

    def _renew(self) -> None:
        """Forget what was on its way when the connection ended: message ids start anew."""
        if self._pending_of != self.link.connections:
            self._pending_of = self.link.connections
            self._pending.clear()

    def _on_message(self, _client: mqtt.Client, message: mqtt.MQTTMessage) -> None:
        try:
            self.inbox.put_nowait(Inbound(message.topic, bytes(message.payload)))
        except queue.Full:
            # Everything that comes down is either retained or sent again.
            log.warning("inbox_full topic=%s", message.topic)
        self.wake.set()

    def _on_published(self, mid: int, code: ReasonCode) -> None:
        unheard = code.value == NO_SUBSCRIBERS
        self.acks.put(Acked(self.link.connections, mid, not code.is_failure, unheard, str(code)))
        self.wake.set()
