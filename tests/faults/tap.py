"""Counts the looks that pass through a proxy, by reading MQTT along."""

from collections.abc import Callable
from typing import final

PUBLISH = 3


@final
class Tap:
    """Counts one way of all connections of a proxy."""

    def __init__(self) -> None:
        self.looks = 0
        """Publishes on a look's topic."""
        self.bytes = 0
        """Of their packets."""

    def open(self) -> Callable[[bytes], None]:
        """Return where the bytes of one new connection go."""
        rest = bytearray()

        def feed(data: bytes) -> None:
            rest.extend(data)
            while size := packet_size(rest):
                self._see(bytes(rest[:size]))
                del rest[:size]

        return feed

    def _see(self, packet: bytes) -> None:
        if packet[0] >> 4 != PUBLISH:
            return
        at = next(n for n in range(1, 5) if packet[n] < 0x80) + 1
        end = at + 2 + int.from_bytes(packet[at : at + 2], "big")
        channel = packet[at + 2 : end].decode(errors="replace").rpartition("/")[2]
        if channel == "look":
            self.looks += 1
            self.bytes += len(packet)


def packet_size(data: bytearray) -> int:
    """Size of the packet that data begins with; 0 while it is not complete."""
    length = 0
    for digit in range(4):
        if len(data) < digit + 2:
            return 0
        byte = data[digit + 1]
        length |= (byte & 0x7F) << 7 * digit
        if byte < 0x80:
            size = digit + 2 + length
            return size if len(data) >= size else 0
    raise ValueError("no MQTT")
