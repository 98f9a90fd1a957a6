"""Is a TFLite file whole? Pure.

tflite-runtime reads a cut-off file past its end and takes the process with it; so every table
and vector that the interpreter will follow is looked up first. Format: FlatBuffers with the
schema of TensorFlow Lite version 3 (`schema.fbs`): a table starts with the distance back to its
vtable, which lists where its fields are; references are distances forward, 4 bytes, little endian.
"""

import struct
from collections.abc import Mapping
from typing import Any, Final

from agent.contract.errors import BadContentError

FILE_MARK: Final = b"TFL3"
MAX_TABLES: Final = 500_000
"""Real models have thousands; a file whose references form a thicket is refused."""

# Field number -> bytes an element of a vector, a table's fields, or [fields] of a vector's tables.
Kind = int | Mapping[int, Any] | list[Mapping[int, Any]]
Fields = Mapping[int, Any]
_QUANTISATION: Final[Fields] = {0: 4, 1: 4, 2: 4, 3: 8}
_TENSOR: Final[Fields] = {0: 4, 3: 1, 4: _QUANTISATION, 6: {}, 7: 4}
_OPERATOR: Final[Fields] = {1: 4, 2: 4, 4: {}, 5: 1, 8: 4}
_SUBGRAPH: Final[Fields] = {0: [_TENSOR], 1: 4, 2: 4, 3: [_OPERATOR], 4: 1}
_MODEL: Final[Fields] = {1: [{1: 1}], 2: [_SUBGRAPH], 3: 1, 4: [{0: 1}], 5: 4, 6: [{0: 1}]}


def check_whole(data: bytes) -> None:
    """Check that everything a model refers to lies within its bytes.

    Raises:
        BadContentError: cut off, or no TFLite file at all.
    """
    try:
        _Walk(data).model()
    except (struct.error, ValueError) as error:
        raise BadContentError(
            "truncated or not a TFLite model; copy it again and compare its sha256"
        ) from error


class _Walk:
    """Follows references and counts the tables it visits."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = MAX_TABLES

    def model(self) -> None:
        """Check all of it."""
        if self._data[4:8] != FILE_MARK:
            raise ValueError("no file mark")
        self._table(_offset(self._data, 0), _MODEL)

    def _table(self, at: int, fields: Fields) -> None:
        self._left -= 1
        if self._left < 0:
            raise ValueError("too many tables")
        vtable = at - _unpack("<i", self._data, at)
        size, own_size = _unpack("<H", self._data, vtable), _unpack("<H", self._data, vtable + 2)
        self._inside(vtable, size)
        self._inside(at, own_size)
        for number, kind in fields.items():
            slot = 4 + 2 * number
            where = _unpack("<H", self._data, vtable + slot) if slot < size else 0
            if where:
                self._field(_offset(self._data, at + where), kind)

    def _field(self, at: int, kind: Kind) -> None:
        if isinstance(kind, Mapping):
            self._table(at, kind)
            return
        count = _unpack("<I", self._data, at)
        self._inside(at + 4, count * (4 if isinstance(kind, list) else kind))
        if isinstance(kind, list):
            for i in range(count):
                self._table(_offset(self._data, at + 4 + 4 * i), kind[0])

    def _inside(self, at: int, size: int) -> None:
        if at < 0 or at + size > len(self._data):
            raise ValueError(f"{size} bytes at {at} are not there")


def _offset(data: bytes, at: int) -> int:
    return at + _unpack("<I", data, at)


def _unpack(form: str, data: bytes, at: int) -> int:
    if at < 0:
        raise ValueError("before the start")
    value: int = struct.unpack_from(form, data, at)[0]
    return value
