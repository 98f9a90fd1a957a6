"""What the short way takes is what paho's own way would have brought, however the bytes come."""

import random
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.base.reader import CHUNK, ReadingClient

V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
Message = tuple[bytes, bytes, int, int]
LIMIT_S = 10.0


def varint(value: int) -> bytes:
    found = bytearray()
    while True:
        value, byte = divmod(value, 128)
        found.append(byte | (128 if value else 0))
        if not value:
            return bytes(found)


def packet(kind: int, flags: int, body: bytes) -> bytes:
    return bytes((kind << 4 | flags,)) + varint(len(body)) + body


def text(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def published(message: Message, v5: bool, properties: bytes = b"") -> bytes:
    topic, payload, mid, qos = message
    head = text(topic) + (mid.to_bytes(2, "big") if qos else b"")
    return packet(
        3, qos << 1, head + (varint(len(properties)) + properties if v5 else b"") + payload
    )


def served(stream: bytes, sizes: Callable[[], int], client: mqtt.Client) -> int:
    """Let a client read a stream in pieces; returns how many bytes it sent after CONNECT."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sent: list[int] = []

        def serve() -> None:
            peer, _ = server.accept()
            answers = at = 0
            with peer, suppress(OSError):  # the client ended a damaged stream
                peer.recv(4_096)
                while at < len(stream):
                    size = sizes()
                    peer.sendall(stream[at : at + size])
                    at += size
                peer.shutdown(socket.SHUT_WR)
                while data := peer.recv(65_536):
                    answers += len(data)
            sent.append(answers)

        thread = threading.Thread(target=serve)
        thread.start()
        client.connect("127.0.0.1", server.getsockname()[1])
        deadline = time.monotonic() + LIMIT_S
        while (sock := client.socket()) is not None:
            assert time.monotonic() < deadline, "the end of the stream was not noticed"
            select.select([sock], [], [], 0.1)
            client.loop_read()
            if client.want_write():
                client.loop_write()
        thread.join(LIMIT_S)
    return sent[0]


def both_ways(stream: bytes, sizes: Callable[[], int], protocol: int) -> list[list[Message]]:
    found: list[list[Message]] = [[], []]
    fast, slow = (
        kind(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion(protocol), manual_ack=True)
        for kind in (ReadingClient, mqtt.Client)
    )
    assert isinstance(fast, ReadingClient)
    fast.take = lambda *message: found[0].append(message)
    slow.on_message = lambda _c, _d, m: found[1].append((m._topic, bytes(m.payload), m.mid, m.qos))
    fast.on_message = lambda _c, _d, m: found[0].append((m._topic, bytes(m.payload), m.mid, m.qos))
    served(stream, sizes, fast)
    served(stream, sizes, slow)
    return found


def connack(v5: bool) -> bytes:
    return packet(2, 0, b"\0\0\0" if v5 else b"\0\0")


def some_messages(rng: random.Random, count: int) -> list[Message]:
    sizes = (0, 1, 7, 120, 4_000, CHUNK - 9, CHUNK, 3 * CHUNK, 5 * CHUNK)
    messages = []
    for n in range(count):
        qos = rng.choice((0, 1, 1, 1))
        topic = rng.choice((b"secondlook/cam-1/look", b"a", b"x" * 200, b"\xff\xfe"))
        messages.append((topic, rng.randbytes(rng.choice(sizes)), (n + 1) * bool(qos), qos))
    return messages


@pytest.mark.parametrize("protocol", [V5, V311])
@pytest.mark.parametrize("most", [3, 1_000, 200_000])
def test_however_the_bytes_come_the_same_messages_are_taken(protocol: int, most: int) -> None:
    rng = random.Random(most)
    v5 = protocol == V5
    messages = some_messages(rng, 12 if most == 3 else 60)
    if most == 3:  # byte by byte a large one takes long
        messages = [(t, p[:300], mid, qos) for t, p, mid, qos in messages]
    stream = connack(v5)
    for message in messages:
        # Message expiry and a user property, as brokers send them.
        properties = b"\x02\0\0\0\x3c\x26" + text(b"k") + text(b"v") if rng.random() < 0.3 else b""
        stream += published(message, v5, properties if v5 else b"")
        stream += rng.choice((b"", b"", packet(13, 0, b"")))  # PINGRESP is for paho
    fast, slow = both_ways(stream, lambda: rng.randint(1, most), protocol)
    assert slow == messages
    assert fast == messages


def test_damaged_streams_end_and_bring_nothing_that_paho_would_not() -> None:
    rng = random.Random(4)
    whole = connack(v5=True) + b"".join(
        published((b"t", b"payload", n, 1), v5=True) for n in range(1, 9)
    )
    for _ in range(150):
        stream = bytearray(whole)
        for _ in range(rng.choice((1, 1, 3))):
            stream[rng.randrange(5, len(stream))] = rng.randrange(256)
        fast, slow = both_ways(bytes(stream), lambda: 4_096, V5)
        # Where properties are damaged paho ends the connection, and we take what they belong to.
        assert fast[: len(slow)] == slow[: len(fast)]


def test_acknowledgements_leave_in_one_write_each_as_its_own_packet() -> None:
    stream = connack(v5=True) + published((b"t", b"x", 7, 1), v5=True)
    client = ReadingClient(CallbackAPIVersion.VERSION2, protocol=V5, manual_ack=True)
    client.take = lambda *_: client.ack_all([1, 258, 65_535])
    assert served(stream, lambda: 4_096, client) == 3 * 4
