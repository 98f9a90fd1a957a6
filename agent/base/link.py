"""One connection to the broker after the other, in a thread of our own. Adapter.

Not paho's own thread: that one dies without a word when a callback raises, reconnects in step
with the rest of the fleet, and sends again whatever it still holds, also the message that made
the broker hang up. Here each connection has a fresh paho client: what was on its way is sent
again by those who keep it (spool, outbox, broker session), and TLS files are read anew, so that
certificates can be replaced under a running process.
"""

import logging
import random
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from paho.mqtt import client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.base.backoff import delays
from agent.base.client import CONNECT_S, Plan, connect, new_client
from agent.base.reader import ReadingClient, Take
from agent.contract.errors import SecondlookError

log = logging.getLogger(__name__)

RECONNECT_S: Final = (4.0, 60.0)
RECONNECT_FLOOR: Final = 0.1
"""Nearly full jitter: a fleet that lost its broker at once comes back over seconds."""
TAKEN_OVER_S: Final = (30.0, 600.0)
"""Between attempts while somebody else uses our client id: two that hurry evict each other."""
CONTESTED_S: Final = 3_600.0
STEADY_S: Final = 2.0
"""A connection that held for so long starts the waiting times anew."""
SLACK_S: Final = 30.0
"""Host names are looked up beyond the time limits that we can set."""
TICK_S: Final = 1.0
STOP_S: Final = 5.0
TAKEN_OVER: Final = 0x8E
TOO_LARGE: Final = 0x95


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What the owner wants to know; all are called in the link's thread."""

    message: Callable[[mqtt.Client, mqtt.MQTTMessage], None] = lambda _client, _message: None
    published: Callable[[int, ReasonCode], None] = lambda _mid, _code: None
    changed: Callable[[], None] = lambda: None
    """The connection came or went."""
    take: Take | None = None
    """Gets messages by a shorter way in place of `message`; needs `manual_ack`."""


class Ear(logging.Handler):
    """Hears why a connection ended: paho tells TLS alerts to its logger alone."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what was said last."""
        self.heard = record.getMessage()


class Link:
    """Connects, serves, and connects again, for ever.

    Raises:
        BadContentError: TLS files do not load.
        UnavailableError: TLS or password files cannot be read.
    """

    def __init__(self, plan: Plan, callbacks: Callbacks, rng: random.Random) -> None:
        """Check the plan; `start` connects."""
        self._plan = plan
        self._callbacks = callbacks
        self._rng = rng
        self._ear = Ear()
        # Nobody else's, and not at DEBUG: it would say every packet.
        self._paho_log = logging.Logger("paho", logging.WARNING)  # noqa: LOG001
        self._paho_log.addHandler(self._ear)
        self._client = self._make()
        self.progress = 0
        """Rises while the thread serves a connection."""
        self._seen = -1
        self._patient_until = 0.0
        self._ended = 0
        """Reason code of the latest connection that was up and has ended."""
        self._up_at: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._wakers: tuple[socket.socket, socket.socket] | None = None
        """What is written into the second wakes the thread, which waits at the first."""
        self.connections = 0
        self.subscribed = False
        """The broker has answered the subscriptions of the latest connection."""
        self.max_packet: int | None = None
        """The broker's limit on one packet, where it told one (MQTT 5)."""
        self.failures = 0
        """Connections that a bug of ours ended."""
        self._taken_over_at = -CONTESTED_S
        self.problem = "not connected yet"

    @property
    def connected(self) -> bool:
        """True between CONNACK and the end of the connection."""
        return not self.problem and self._client.is_connected()

    @property
    def too_large(self) -> bool:
        """True where the broker ended the last connection because a packet was too large."""
        return self._ended == TOO_LARGE

    @property
    def contested(self) -> bool:
        """True where another client has lately connected under our id."""
        return time.monotonic() - self._taken_over_at < CONTESTED_S

    def contest(self) -> None:
        """Note that another client uses our id: two that hurry back evict each other for ever.

        Not every broker tells (with MQTT 3.1.1 none can), so the owner may find out otherwise.
        """
        self._taken_over_at = time.monotonic()

    def moved(self) -> bool:
        """Tell whether the thread has progressed since the last call, or has no need to.

        It need not while it waits between two attempts, nor while one may still take its time.
        """
        before, self._seen = self._seen, self.progress
        waiting = time.monotonic() < self._patient_until
        return self._thread.is_alive() and (self._seen != before or waiting)

    def start(self) -> None:
        """Connect in the background and keep trying."""
        self._wakers = socket.socketpair()
        for end in self._wakers:
            end.settimeout(0.0)
        self._thread.start()

    def stop(self) -> None:
        """Disconnect politely (no last will is sent) and end the thread."""
        self._stop.set()
        if self.connected:
            self._client.disconnect()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(STOP_S)
        if self._wakers and not self._thread.is_alive():
            for end in self._wakers:
                end.close()

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False
    ) -> mqtt.MQTTMessageInfo | None:
        """Hand one QoS 1 message to the link's thread; None where it was not taken."""
        if not self.connected:
            return None
        info = self._client.publish(topic, payload, 1, retain)
        return info if info.rc == mqtt.MQTT_ERR_SUCCESS else None

    def ack(self, mids: Iterable[int]) -> None:
        """Acknowledge QoS 1 messages of this connection (only with `manual_ack`)."""
        if self.connected:
            self._client.ack_all(mids)

    def _run(self) -> None:
        waits, evicted = self._waits(), delays(*TAKEN_OVER_S, self._rng)
        while not self._stop.is_set():
            held_s = self._one_connection()
            if held_s > STEADY_S:
                waits = self._waits()
            if held_s > TAKEN_OVER_S[1]:
                evicted = delays(*TAKEN_OVER_S, self._rng)
            wait_s = next(evicted if self.contested else waits)
            self._may_wait(wait_s)
            self._stop.wait(wait_s)

    def _may_wait(self, limit_s: float) -> None:
        self._patient_until = time.monotonic() + limit_s + SLACK_S

    def _waits(self) -> Iterator[float]:
        return delays(*RECONNECT_S, self._rng, RECONNECT_FLOOR)

    def _one_connection(self) -> float:
        """Connect and serve until the connection ends; return how many seconds it held."""
        self._up_at, self._ear.heard = None, ""
        self._may_wait(CONNECT_S)
        self._guarded(self._connect_and_serve)
        self._hang_up()
        self._guarded(self._callbacks.changed)
        return time.monotonic() - self._up_at if self._up_at is not None else 0.0

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do a step of the thread; nothing that it raises ends the thread."""
        try:
            work()
        except (OSError, SecondlookError) as error:
            self._tell(f"unreachable: {error or type(error).__name__}")
        except Exception:  # the top of a thread: a bug in a callback must not end it
            log.exception("link_failed client=%s", self._plan.client_id)
            self.failures += 1
            self._tell("lost: a bug, see the log")

    def _connect_and_serve(self) -> None:
        self._client = self._make()
        connect(self._client, self._plan)
        self._serve()

    def _serve(self) -> None:
        assert self._wakers  # noqa: S101 - `start` has made them
        client, woken, poll, checked_at = self._client, self._wakers[0], select.poll(), 0.0
        poll.register(woken, select.POLLIN)
        self._patient_until = 0.0
        while (sock := client.socket()) is not None:
            poll.register(sock, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
            # What TLS has decrypted already does not wake a poll.
            waiting = isinstance(sock, ssl.SSLSocket) and sock.pending()
            ready = {fd for fd, _ in poll.poll(0 if waiting else TICK_S * 1_000)}
            self.progress += 1
            if woken.fileno() in ready:
                woken.recv(4_096)
            if waiting or sock.fileno() in ready:
                client.loop_read()
            if client.want_write():
                client.loop_write()
            if (now := time.monotonic()) - checked_at >= TICK_S:
                checked_at = now
                client.loop_misc()
            if self._stop.is_set() and not self.connected:
                return

    def _hang_up(self) -> None:
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def _wake(self) -> None:
        if self._wakers:
            with suppress(BlockingIOError):  # full: it is awake
                self._wakers[1].send(b"x")

    def _make(self) -> ReadingClient:
        client = new_client(self._plan)
        client.enable_logger(self._paho_log)
        client.take = self._callbacks.take
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = lambda *_: self._on_subscribed()
        client.on_message = self._on_message
        client.on_publish = lambda _c, _d, mid, code, _p: self._callbacks.published(mid, code)
        # With it, paho leaves all writing to our thread and only asks for it.
        client.on_socket_register_write = lambda *_: self._wake()
        return client

    def _on_message(self, client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        if self._callbacks.take:
            topic = message._topic  # noqa: SLF001 - the property raises where it is no UTF-8
            self._callbacks.take(topic, bytes(message.payload), message.mid, message.qos)
        else:
            self._callbacks.message(client, message)

    def _on_connect(
        self, client: mqtt.Client, _data: object, _flags: object, code: ReasonCode,
        properties: Properties | None,
    ) -> None:  # fmt: skip
        if code.is_failure:
            self._tell(f"refused: {code}")
            return
        self.max_packet = getattr(properties, "MaximumPacketSize", None)
        if self._plan.subscriptions:
            client.subscribe(list(self._plan.subscriptions))
        self.subscribed = not self._plan.subscriptions
        self._up_at = time.monotonic()
        self.connections += 1
        self.problem = ""
        log.info("broker_connected client=%s n=%d", self._plan.client_id, self.connections)
        self._callbacks.changed()

    def _on_subscribed(self) -> None:
        self.subscribed = True
        self._callbacks.changed()

    def _on_disconnect(
        self, _client: mqtt.Client, _data: object, _flags: object, code: ReasonCode, _props: object
    ) -> None:
        if self._up_at is not None:
            self._ended = code.value
        if code.value == TAKEN_OVER:
            self.contest()
            self._tell(f"lost: another client uses the id {self._plan.client_id}")
        # A refused connection is also closed, and the refusal says more.
        elif not self.problem.startswith("refused") or self._up_at is not None:
            self._tell(f"lost: {self._ear.heard or code}")

    def _tell(self, problem: str) -> None:
        """Log a problem when it is new and not our own doing; note it always."""
        expected = problem == self.problem or self._stop.is_set()
        level = logging.DEBUG if expected else logging.WARNING
        log.log(level, "broker_%s url=%s", problem.replace(": ", " "), self._plan.broker.url)
        self.problem = problem


class Linked:
    """What every owner of a link tells of it."""

    link: Link

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
