"""An MQTT broker that says what a test tells it to: enough of 5 and 3.1.1 for one publisher."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import final

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14
TOO_LARGE = 0x95
MAXIMUM_PACKET_SIZE = 0x27
V5 = 5


@dataclass(frozen=True, slots=True)
class Heard:
    """One publish that arrived."""

    at: float
    """Monotonic seconds."""
    topic: str
    payload: bytes
    code: int
    """What it was answered with."""


@final
class ScriptedBroker:
    """Serves loopback while entered; delivers nothing to anybody."""

    def __init__(
        self,
        answer: Callable[[str, bytes], int] = lambda _topic, _payload: 0,
        *,
        announced: int | None = None,
        limit: int | None = None,
        says_why: bool = True,
    ) -> None:
        """Script it.

        Args:
            answer: The PUBACK's reason code for a topic and payload (MQTT 5).
            announced: Maximum Packet Size of its CONNACK (MQTT 5).
            limit: Bytes of a packet above which it hangs up.
            says_why: Whether it sends DISCONNECT 0x95 before (MQTT 5).
        """
        self.answer = answer
        self.heard: list[Heard] = []
        self.clients: list[str] = []
        """Ids of those who connected, in order."""
        self.hung_up = 0
        self._announced, self._limit, self._says_why = announced, limit, says_why
        self._peers: dict[socket.socket, threading.Thread] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, name="scripted-broker", daemon=True)

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def __enter__(self) -> "ScriptedBroker":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for peer, thread in list(self._peers.items()):
            with suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
            thread.join()

    def on(self, channel: str) -> list[Heard]:
        """What arrived on a channel."""
        return [item for item in list(self.heard) if item.topic.endswith(f"/{channel}")]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self._peers[peer] = threading.Thread(target=self._serve, args=(peer,), daemon=True)
                self._peers[peer].start()

    def _serve(self, peer: socket.socket) -> None:
        with peer, suppress(OSError, EOFError):
            version = 0
            while True:
                kind, body, size = receive(peer)
                if kind >> 4 == CONNECT:
                    version = self._welcome(peer, body)
                elif self._limit and size > self._limit:
                    self.hung_up += 1
                    if version == V5 and self._says_why:
                        send(peer, DISCONNECT, bytes((TOO_LARGE, 0)))
                    break
                elif kind >> 4 == PUBLISH:
                    self._take(peer, kind, body, version)
                elif kind >> 4 == SUBSCRIBE:
                    # One topic or many: a client is content with the first code.
                    send(peer, SUBACK, body[:2] + bytes((0, 1) if version == V5 else (1,)))
                elif kind >> 4 == PINGREQ:
                    send(peer, PINGRESP, b"")
                elif kind >> 4 == DISCONNECT:
                    break

    def _welcome(self, peer: socket.socket, body: bytes) -> int:
        version = body[6]
        rest = body[10:]
        if version == V5:
            rest = rest[1 + rest[0] :]  # a test's properties are shorter than 128 bytes
        self.clients.append(text(rest)[0])
        properties = b""
        if self._announced:
            properties = bytes((MAXIMUM_PACKET_SIZE,)) + self._announced.to_bytes(4, "big")
        tail = bytes((len(properties),)) + properties if version == V5 else b""
        send(peer, CONNACK, bytes((0, 0)) + tail)
        return version

    def _take(self, peer: socket.socket, kind: int, body: bytes, version: int) -> None:
        topic, rest = text(body)
        mid = b""
        if kind & 0b110:
            mid, rest = rest[:2], rest[2:]
        payload = rest[1 + rest[0] :] if version == V5 else rest
        code = self.answer(topic, payload)
        self.heard.append(Heard(time.monotonic(), topic, payload, code))
        if mid:
            send(peer, PUBACK, mid + (bytes((code, 0)) if version == V5 else b""))


def text(data: bytes) -> tuple[str, bytes]:
    """Split off a string with its length before it."""
    end = 2 + int.from_bytes(data[:2], "big")
    return data[2:end].decode(), data[end:]


def receive(peer: socket.socket) -> tuple[int, bytes, int]:
    """Return the next packet's first byte, its body and its size as a whole.

    Raises:
        EOFError: the peer hung up.
    """
    kind, length, digits = exactly(peer, 1)[0], 0, 0
    while True:
        byte = exactly(peer, 1)[0]
        length |= (byte & 0x7F) << 7 * digits
        digits += 1
        if byte < 0x80:
            return kind, exactly(peer, length), 1 + digits + length


def exactly(peer: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = peer.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def send(peer: socket.socket, kind: int, body: bytes) -> None:
    """Send a packet of less than 128 bytes."""
    peer.sendall(bytes((kind << 4, len(body))) + body)
