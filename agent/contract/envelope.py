"""Signed messages to devices: DSSE envelopes around JSON. Pure.

Specification: Dead Simple Signing Envelope 1.0. The payload is
`{seq, audience, issued, expires, body}`; the device takes it only from the config key, for
itself, in time, and with a sequence above the last one it saved.
"""

import json
import time
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import (
    FormatError,
    UnverifiedSignatureError,
    VerificationError,
)
from securesystemslib.signer import Key, Signer

from agent.contract.errors import BadContentError
from agent.contract.messages import MAX_JSON_BYTES, Sequence, Time, first_problem

PAYLOAD_TYPE: Final = "application/vnd.secondlook.{channel}+json"
EVERYONE: Final = "*"


class Signed(BaseModel):
    """The payload inside an envelope."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    seq: Sequence
    audience: str = Field(max_length=63)
    """A device id, or `*` for all."""
    issued: Time
    expires: Time
    body: dict[str, Any]


def sign(channel: str, signed: Signed, signer: Signer) -> bytes:
    """Seal a payload for one channel."""
    envelope = Envelope(signed.model_dump_json().encode(), PAYLOAD_TYPE.format(channel=channel), {})
    envelope.sign(signer)
    return json.dumps(envelope.to_dict(), separators=(",", ":")).encode()


def open_envelope(payload: bytes, channel: str, keys: list[Key]) -> Signed:
    """Check size, form, type and signature, and return the payload.

    Raises:
        BadContentError: the reason starts with `malformed` or `signature`.
    """
    if len(payload) > MAX_JSON_BYTES:
        raise BadContentError(f"malformed: {len(payload)} bytes, at most {MAX_JSON_BYTES}")
    try:
        envelope = Envelope.from_dict(json.loads(payload))
        if envelope.payload_type != PAYLOAD_TYPE.format(channel=channel):
            raise BadContentError(f"malformed: not a {channel} message")
        if not keys:
            raise BadContentError("signature: no config key is trusted yet")
        envelope.verify(keys, 1)
        return Signed.model_validate(json.loads(envelope.payload))
    except (VerificationError, UnverifiedSignatureError) as error:
        raise BadContentError("signature: not made by a trusted config key") from error
    except (ValidationError, FormatError, ValueError) as error:
        raise BadContentError(f"malformed: {first_problem(error)}") from error
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        # securesystemslib stumbles over whatever is not built like an envelope.
        raise BadContentError("malformed: not a DSSE envelope") from error


def check(signed: Signed, device: str, last_seq: int, now_s: float) -> None:
    """Decide whether a verified payload counts here and now.

    Args:
        signed: Payload whose signature was verified.
        device: This device's id.
        last_seq: Highest sequence this device ever accepted on this channel.
        now_s: Unix time, never below the device's time floor.

    Raises:
        BadContentError: the reason starts with `audience`, `expired` or `replay`.
    """
    if signed.audience not in (device, EVERYONE):
        raise BadContentError(f"audience: for {signed.audience!r}, not for {device!r}")
    if now_s >= signed.expires:
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(signed.expires))
        raise BadContentError(f"expired: since {since}")
    if signed.seq <= last_seq:
        raise BadContentError(f"replay: sequence {signed.seq} is not above {last_seq}")
