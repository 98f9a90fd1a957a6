"""How large a packet this broker takes, as far as it can be found out. Pure.

MQTT 5 brokers may announce it. Others hang up, with a reason or without, or drop the packet without
a word; and connections end for other reasons, too. So without a reason only packets larger than
looks usually are count as evidence.
"""

from typing import Final

SUSPECT_BYTES: Final = 4 * 1024
"""Packets above it are suspected when a connection ends without a reason, or no receipt comes."""
KEPT_S: Final = 3_600.0
"""What no broker has announced is believed for so long."""
OVERTAKEN: Final = 3
"""Later looks that got a receipt before a large one is held for too large."""


class PacketLimit:
    """What is known of one broker's limit; times are monotonic seconds."""

    def __init__(self) -> None:
        self._found = 0
        self._until = 0.0

    def at(self, now: float, announced: int | None) -> int | None:
        """Return the limit in bytes; None where none is known."""
        found = self._found if now < self._until else None
        return min((n for n in (found, announced) if n is not None), default=None)

    def refused(self, size: int, now: float) -> None:
        """Conclude from the broker's word that a packet was too large."""
        self._learn(size // 2, now)

    def broke(self, size: int, now: float) -> None:
        """Conclude from a connection that ended while a packet was on its way, for no reason."""
        if size > SUSPECT_BYTES:
            self._learn(max(size // 2, SUSPECT_BYTES), now)

    def overtaken(self, size: int, later: int, now: float) -> None:
        """Conclude from a packet without receipt, while so many later ones got theirs."""
        if size > SUSPECT_BYTES and later >= OVERTAKEN:
            self._learn(max(size // 2, SUSPECT_BYTES), now)

    def _learn(self, limit: int, now: float) -> None:
        self._found, self._until = limit, now + KEPT_S
