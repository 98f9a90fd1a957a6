"""Damages payloads the way faults and attackers do; the same for the same seed."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import cbor2

WEIRD: list[Any] = [
    None, True, False, 0, -1, 2**31, 2**53 + 1, 2**64, -(2**70), 1e308, -1e308, 0.5, "", "\x00",
    "../../etc", "*", "#", "a" * 300, "\u202e", [], {}, [[]], [None] * 9, {"": {}}, {"a": [1]},
]  # fmt: skip
JSON_BITS = [
    b"null", b"1e999", b"-1e999", b"NaN", b"Infinity", b"[" * 50, b"]" * 50, b'{"a":' * 50,
    b"9" * 400, b"\xff", b"\xed\xa0\x80", b'"\\ud800"', b"\\u0000", b'"', b",", b":", b"{}", b"[]",
]  # fmt: skip
CBOR_BITS = [
    b"\xff", b"\x9f", b"\xbf", b"\x5f", b"\x7f", b"\xf9\x7e\x00", b"\xfb\x7f\xf0" + bytes(6),
    b"\x1b" + b"\xff" * 8, b"\x9b" + b"\xff" * 8, b"\x5b" + b"\xff" * 8, b"\xbb" + b"\xff" * 8,
    b"\x81" * 60, b"\xd8\x1c", b"\xd8\x1d\x00", b"\xc0", b"\xc1", b"\xc2\x41\xff", b"\xc3\x40",
    b"\xc4\x82\x1b" + b"\xff" * 8 + b"\x01", b"\xc5\x82\x00\x01", b"\xd8\x1e\x82\x01\x00",
    b"\xd8\x23\x61(", b"\xd8\x25\x40", b"\xd9\x01\x00\x80", b"\xd9\x01\x04\x40", b"\xd9\xd9\xf7",
    b"\xd8\x18\x41\xff", b"\xf7", b"\xe0", b"\xf8\xff", b"\xa1\x80\x00", b"\xa1\xa0\x00",
]  # fmt: skip
ZIP_BITS = [
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"PK\x07\x08",
]

Decode = Callable[[bytes], Any]
Encode = Callable[[Any], bytes]


def damaged(
    payloads: list[bytes], count: int, bits: list[bytes], rng: random.Random
) -> Iterator[bytes]:
    """Yield `count` payloads with one to four damages each."""
    for _ in range(count):
        data = bytearray(rng.choice(payloads))
        for _ in range(rng.choice((1, 1, 2, 4))):
            _damage(data, bits, rng)
        yield bytes(data)


def _damage(data: bytearray, bits: list[bytes], rng: random.Random) -> None:
    at = rng.randrange(len(data) + 1)
    end = min(len(data), at + rng.choice((1, 2, 4, 16, 64)))
    kind = rng.randrange(7)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1 and at < len(data):
        data[at] = rng.randrange(256)
    elif kind == 2:
        del data[at:]
    elif kind == 3:
        del data[at:end]
    elif kind == 4:
        data[at:at] = data[at:end]
    elif kind == 5:
        data[at:at] = rng.choice(bits)
    else:
        bit = rng.choice(bits)
        data[at : at + len(bit)] = bit


def reshaped(
    payloads: list[bytes], count: int, decode: Decode, encode: Encode, rng: random.Random
) -> Iterator[bytes]:
    """Yield `count` well-formed payloads with wrong values, keys missing or too many."""
    for _ in range(count):
        body = decode(rng.choice(payloads))
        for _ in range(rng.choice((1, 2))):
            _reshape(body, rng)
        yield encode(body)


def _reshape(body: Any, rng: random.Random) -> None:
    """Change one place somewhere inside."""
    while True:
        keys = list(body) if isinstance(body, dict) else list(range(len(body)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(body[key], (dict, list)) and body[key] and rng.random() < 0.8:
            body = body[key]
            continue
        kind = rng.randrange(6)
        if kind == 0:
            del body[key]
        elif kind == 1 and isinstance(body, dict):
            body[f"x{rng.randrange(99)}"] = copy.deepcopy(rng.choice(WEIRD))
        else:
            body[key] = copy.deepcopy(rng.choice(WEIRD))
        return


def to_cbor(body: Any) -> bytes:
    return cbor2.dumps(body)


def to_json(body: Any) -> bytes:
    return json.dumps(body).encode()
