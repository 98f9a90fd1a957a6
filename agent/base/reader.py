"""paho's client, reading ahead: all that a socket holds, messages by the shortest way. Adapter.

By itself paho reads a message in four system calls, waits in a fifth, wraps it in objects with
locks, and writes each acknowledgement alone: for a worker that drains a backlog that is half of
all its work. Here only whole QoS 0 and 1 messages go another way, everything else is paho's.
`_sock_recv` and `_packet_queue` are of its inside; tests hold both ways against each other.
"""

import struct
from collections.abc import Callable, Iterable
from typing import Final

from paho.mqtt import client as mqtt
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion

CHUNK: Final = 64 * 1024
LARGE: Final = 4 * CHUNK
"""A larger packet is not waited for here: paho puts it together from pieces."""
PUBLISH: Final = 3
PUBACK: Final = 0x40
MAX_HEADER: Final = 5
"""Kind, and a length of up to four bytes."""

Take = Callable[[bytes, bytes, int, int], None]
"""Topic, payload, message id, QoS. Acknowledging is up to whoever takes."""

_short: Final = struct.Struct(">H").unpack_from


class ReadingClient(mqtt.Client):
    """A client whose `loop_read` handles all that the socket holds."""

    take: Take | None = None
    """Gets QoS 0 and 1 messages in place of `on_message`, which is left the very large ones."""
    _data = b""
    _at = 0
    _owed = 0
    """Bytes of the packet that paho is reading and does not have yet."""
    _ended = False
    _error: OSError | None = None

    def ack_all(self, mids: Iterable[int]) -> None:
        """Acknowledge QoS 1 messages in one write."""
        packets = b"".join(b"\x40\x02" + mid.to_bytes(2, "big") for mid in mids)
        if packets:
            self._packet_queue(PUBACK, packets, 0, 1)

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Handle all packets that are there, and the error or the end behind them."""
        if not self._owed:
            try:
                more = super()._sock_recv(CHUNK)
            except BlockingIOError:
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            except OSError as error:
                self._error, more = error, b""
            if not more:
                self._ended = True
                return super().loop_read(max_packets)  # which meets the same, and tells why
            self._data, self._at = self._data[self._at :] + more, 0
        while self._owed or self._next():
            rc = super().loop_read(max_packets)
            if rc or self._owed or self.socket() is None:
                return rc
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _next(self) -> bool:
        """Take messages; return True where a packet for paho comes first."""
        data, at, size = self._data, self._at, len(self._data)
        while at + 2 <= size:
            length, start = _length(data, at + 1)
            end = start + length
            well = start - at <= MAX_HEADER
            if end > size and well and end - at <= LARGE:
                break  # the rest is on its way
            if end > size or not (well and self._take(data, at, start, end)):
                self._at, self._owed = at, end - at
                return True
            at = end
        self._at = at
        return False

    def _take(self, data: bytes, at: int, start: int, end: int) -> bool:
        """Hand one message over; False where it is none, or malformed, or nobody takes it."""
        kind, qos = data[at] >> 4, data[at] >> 1 & 3
        if self.take is None or kind != PUBLISH or qos > 1 or start + 2 > end:
            return False
        topic_at, mid = start + 2, 0
        start = topic_at + _short(data, start)[0]
        topic = data[topic_at:start]
        if qos and start + 2 <= end:
            mid, start = _short(data, start)[0], start + 2
        if self._protocol == MQTTProtocolVersion.MQTTv5 and start < end:
            # Its properties, as how long it may be kept: nothing here depends on them.
            length, start = _length(data, start)
            start += length
        if start > end or (qos and not mid):
            return False
        self.take(topic, data[start:end], mid, qos)
        return True

    def _sock_recv(self, bufsize: int) -> bytes:
        if self._error:
            raise self._error
        if self._ended:
            return b""
        if not self._owed:  # where paho expects several packets, it asks for the next one too
            raise BlockingIOError
        wanted = min(bufsize, self._owed)
        start = self._at
        if start < len(self._data):
            self._at = min(start + wanted, len(self._data))
            found = self._data[start : self._at]
        else:
            found = super()._sock_recv(wanted)
        self._owed -= len(found)
        return found


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of up to four bytes, seven bits in each; return it and where it ends.

    One that is not whole yet ends beyond the data; one of more bytes ends too far away.
    """
    value = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128 or shift > 28:
            return value, at
    return 0, len(data) + 1
