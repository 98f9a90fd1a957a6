"""Identifiers and sequence numbers. Pure."""

import re
from typing import Annotated

from pydantic import StringConstraints

DEVICE_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"
ID_PATTERN = r"^[0-9a-f]{32}$"

DeviceId = Annotated[str, StringConstraints(pattern=DEVICE_PATTERN)]
"""Device id: lower-case letters, digits and hyphens; also certificate CN and topic level."""

CameraName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
ItemId = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
"""Look and sighting ids: 32 hexadecimal digits, the first 12 of them unix milliseconds."""

_DEVICE = re.compile(DEVICE_PATTERN)


def is_device_id(text: str) -> bool:
    """Tell whether `text` is a valid device id."""
    return _DEVICE.fullmatch(text) is not None


def new_id(now_s: float, random_bytes: bytes) -> str:
    """Make an id that sorts by time.

    Args:
        now_s: Unix time in seconds, 0 <= now_s < 2**48 / 1000.
        random_bytes: 10 bytes of randomness.

    Returns:
        32 lower-case hexadecimal digits: 48 bits of unix milliseconds, 80 random bits
        (the layout of a ULID).
    """
    milliseconds = max(0, int(now_s * 1000)) & (2**48 - 1)
    return f"{milliseconds:012x}{random_bytes[:10].hex():0>20}"


def next_sequence(previous: int, now_s: float) -> int:
    """Return a number above `previous` that also follows the clock.

    max(previous + 1, unix milliseconds): a sender restored from an old backup is not refused
    for ever by receivers that saw higher numbers.
    """
    return max(previous + 1, int(now_s * 1000))
