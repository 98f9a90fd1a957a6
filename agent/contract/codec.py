"""Look <-> bytes: one CBOR map with the JPEG as bytes and its sha256. Pure.

Format: CBOR (RFC 8949) map `{"v": 1, "meta": {...}, "jpeg": bytes, "sha256": 32 bytes,
"context": bytes, "context_sha256": 32 bytes}`; the context pair is absent when there is none.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

import cbor2
from pydantic import ValidationError

from agent.contract.errors import BadContentError
from agent.contract.jpeg import check_jpeg
from agent.contract.messages import LookMeta, first_problem

MAX_LOOK_BYTES: Final = 96 * 1024
MAX_DEPTH: Final = 6
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Look:
    """An uncertain or audit region on its way up."""

    meta: LookMeta
    jpeg: bytes
    """The region as JPEG, no EXIF."""
    context: bytes = b""
    """Thumbnail or scaled frame as JPEG; empty unless policy allows it."""
    sha256: bytes = field(init=False, repr=False, compare=False)
    """Of `jpeg`: taken once, for who checks it, stores it and compares it."""

    def __post_init__(self) -> None:
        """Hash the picture."""
        object.__setattr__(self, "sha256", hashlib.sha256(self.jpeg).digest())


def encode_look(look: Look) -> bytes:
    """Encode a look.

    Raises:
        BadContentError: the result would be larger than `MAX_LOOK_BYTES`.
    """
    body: dict[str, Any] = {
        "v": VERSION,
        "meta": look.meta.model_dump(mode="json", exclude_defaults=True),
        "jpeg": look.jpeg,
        "sha256": look.sha256,
    }
    if look.context:
        body["context"] = look.context
        body["context_sha256"] = hashlib.sha256(look.context).digest()
    payload = cbor2.dumps(body)
    if len(payload) > MAX_LOOK_BYTES:
        raise BadContentError(f"look: {len(payload)} bytes, at most {MAX_LOOK_BYTES}")
    return payload


def decode_look(payload: bytes) -> Look:
    """Decode and check a look: size, depth, fields, JPEG headers, hashes.

    A JPEG that decodes is no proof of integrity (two of three corrupted ones do), so each
    picture carries its sha256.

    Raises:
        BadContentError: anything about the payload is wrong.
    """
    body = _load(payload)
    jpeg = _picture(body, "jpeg")
    context = _picture(body, "context") if "context" in body else b""
    try:
        look = Look(LookMeta.model_validate(body.get("meta")), jpeg, context)
    except (ValidationError, RecursionError) as error:
        raise BadContentError(f"look meta: {first_problem(error)}") from error
    if look.sha256 != body.get("sha256"):
        raise BadContentError("look jpeg: does not match its sha256")
    if context and hashlib.sha256(context).digest() != body.get("context_sha256"):
        raise BadContentError("look context: does not match its sha256")
    return look


def _load(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_LOOK_BYTES:
        raise BadContentError(f"look: {len(payload)} bytes, at most {MAX_LOOK_BYTES}")
    try:
        body = cbor2.loads(
            payload,
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        )
    except (cbor2.CBORError, ValueError, OverflowError, MemoryError, RecursionError) as error:
        raise BadContentError(f"look: not CBOR we read: {first_problem(error)}") from error
    if not isinstance(body, dict) or body.get("v") != VERSION:
        raise BadContentError(f"look: not a version {VERSION} look")
    return body


def _picture(body: dict[str, Any], name: str) -> bytes:
    data = body.get(name)
    try:
        check_jpeg(data if isinstance(data, bytes) else b"")
    except BadContentError as error:
        raise BadContentError(f"look {name}: {error}") from error
    return data  # type: ignore[return-value]  # bytes: anything else is no JPEG
