"""The worker's MQTT session, acknowledged by hand. Adapter.

An acknowledgement here promises nothing to anybody (the receipt does); it only tells the broker
to send the next message.
"""

import logging
import queue
import random
import threading
from collections.abc import Iterable
from typing import Final, NamedTuple

from agent.base.client import SESSION_EXPIRY_S, Plan
from agent.base.link import Callbacks, Link, Linked
from agent.contract.config import BrokerConfig
from agent.contract.errors import UnavailableError

log = logging.getLogger(__name__)

QUEUED: Final = 10_000
INBOX_BYTES: Final = 64 * 1024 * 1024
"""More than `receive_maximum` looks are: what comes at QoS 0 knows no other bound."""


class Arrived(NamedTuple):
    """One received message, not yet acknowledged."""

    topic: str
    payload: bytes
    mid: int
    qos: int
    connection: int
    """Which connection it came on: a message of an earlier one comes again."""


class Bus(Linked):
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
        self._inbox: queue.SimpleQueue[Arrived] = queue.SimpleQueue()
        # Each is written by one thread alone.
        self._bytes_in = 0
        self._bytes_out = 0
        self.arrived = 0
        """Messages handed over so far."""
        self.overflowed = 0
        """Messages that found no room."""
        self._up = threading.Event()
        plan = Plan(
            config, client_id, subscriptions, receive_maximum, QUEUED, session_s, manual_ack=True
        )
        callbacks = Callbacks(take=self._on_message, changed=self._on_change)
        self.link = Link(plan, callbacks, random.Random())  # noqa: S311 - spreads reconnects

    @property
    def held_bytes(self) -> int:
        """How large the messages are that arrived and were not taken."""
        return self._bytes_in - self._bytes_out

    def start(self) -> None:
        """Connect in the background and keep trying."""
        self.link.start()

    def wait(self, timeout_s: float) -> None:
        """Wait until the broker has let us in and knows what we want to hear.

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

    def take(self, limit: int, wait_s: float) -> list[Arrived]:
        """Return what has arrived, oldest first; wait for the first one. For one thread alone.

        Args:
            limit: Messages at most.
            wait_s: Longest wait; then the list is empty.
        """
        try:
            found = [self._inbox.get(timeout=wait_s)]
        except queue.Empty:
            return []
        found += [self._inbox.get_nowait() for _ in range(min(limit - 1, self._inbox.qsize()))]
        self._bytes_out += sum(len(message.payload) for message in found)
        return found

    def ack(self, messages: Iterable[Arrived]) -> None:
        """Let the broker forget messages; those of an earlier connection come again instead."""
        now = self.link.connections
        self.link.ack(m.mid for m in messages if m.qos and m.connection == now)

    def _on_change(self) -> None:
        if self.link.connected and self.link.subscribed:
            self._up.set()
        else:
            self._up.clear()

    def _on_message(self, topic: bytes, payload: bytes, mid: int, qos: int) -> None:
        full = (
            self._inbox.qsize() >= self._inbox_limit or self.held_bytes + len(payload) > INBOX_BYTES
        )
        try:
            name = topic.decode()
        except UnicodeDecodeError:
            name = ""
        connection = self.link.connections
        if full or not name:
            # Without a receipt the device sends it again; an unacknowledged one would clog.
            self.overflowed += 1
            self.ack([Arrived("", b"", mid, qos, connection)])
            return
        self.arrived += 1
        self._bytes_in += len(payload)
        self._inbox.put(Arrived(name, payload, mid, qos, connection))
