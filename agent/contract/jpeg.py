"""What a JPEG says of itself before anything is decoded. Pure.

A decoder allocates what a header announces and walks it once per scan, so a few bytes can cost
gigabytes or hours. A look holds a picture and nothing else: one frame of bounded size, few scans,
no metadata, nothing behind its end.
"""

import struct
from typing import Final

from agent.contract.errors import BadContentError

START: Final = b"\xff\xd8\xff"
END: Final = b"\xff\xd9"
SCAN: Final = b"\xff\xda"
MAX_PIXELS: Final = 2_048 * 2_048
"""Four times the largest frame that a device sends."""
MAX_SCANS: Final = 16
"""Usual progressive pictures have ten."""
MAX_APP_BYTES: Final = 64
FRAMES: Final = frozenset((0xFFC0, 0xFFC1, 0xFFC2))
"""Baseline, extended and progressive Huffman: what every decoder reads."""
PROGRESSIVE: Final = 0xFFC2
TABLES: Final = frozenset((0xFFC4, 0xFFDB, 0xFFDD))
"""Huffman and quantisation tables, restart interval."""
APPS: Final = frozenset((0xFFE0, 0xFFEE))
"""JFIF, and Adobe's word on the colour space."""
FIRST_SCAN: Final = 0xFFDA
COMPONENTS: Final = (1, 3)
"""Grey or colour; four are CMYK, which the eyes behind us read in different ways."""

_segment: Final = struct.Struct(">HH").unpack_from
"""Kind, and length counting its own two bytes."""
_frame: Final = struct.Struct(">BHHB").unpack_from
"""Bits, height, width, components."""


def check_jpeg(data: bytes) -> tuple[int, int]:
    """Return width and height of a JPEG that may be given to a decoder.

    Raises:
        BadContentError: no whole JPEG, too large to decode, or more than a picture.
    """
    if not data.startswith(START):
        raise BadContentError("not a JPEG")
    if not data.endswith(END):
        raise BadContentError("not a whole JPEG: its end is missing, or something follows it")
    try:
        return _check_segments(data)
    except struct.error as error:
        raise BadContentError("a JPEG that ends within its headers") from error


def _check_segments(data: bytes) -> tuple[int, int]:
    frame, of_many_scans, components = None, False, 0
    at = 2
    while True:
        kind, length = _segment(data, at)
        if kind in FRAMES and frame is None:
            bits, height, width, components = _frame(data, at + 4)
            _check_frame(bits, height, width, components)
            frame, of_many_scans = (width, height), kind == PROGRESSIVE
        elif kind == FIRST_SCAN and frame is not None:
            # Of a decoder's work only the scans are left, and one that holds all is the only one.
            if of_many_scans or data[at + 4 : at + 5] != bytes((components,)):
                _check_scans(data)
            return frame
        elif kind not in TABLES and not (kind in APPS and length <= MAX_APP_BYTES):
            raise BadContentError(f"a JPEG with a segment {kind:#06x} of {length} bytes")
        at += 2 + length


def _check_frame(bits: int, height: int, width: int, components: int) -> None:
    if not 1 <= width * height <= MAX_PIXELS:
        raise BadContentError(f"a JPEG of {width} x {height} pixels, at most {MAX_PIXELS}")
    if bits != 8 or components not in COMPONENTS:
        raise BadContentError(f"a JPEG of {components} components of {bits} bits")


def _check_scans(data: bytes) -> None:
    if data.count(SCAN) > MAX_SCANS:
        raise BadContentError(f"a JPEG of more than {MAX_SCANS} scans")
