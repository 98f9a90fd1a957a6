"""Tell what came in: a look, a word of a device, or something bad. Pure."""

import re
from dataclasses import dataclass
from typing import Final

import cbor2

from agent.contract.codec import MAX_DEPTH, MAX_LOOK_BYTES, Look, decode_look
from agent.contract.errors import BadContentError
from agent.contract.ids import ID_PATTERN
from agent.contract.messages import Event, Reported, Status, Telemetry, from_json
from agent.contract.topics import Channel, Topics

WORDS: Final[dict[str, type[Status | Reported | Telemetry | Event]]] = {
    "status": Status,
    "reported": Reported,
    "telemetry": Telemetry,
    "event": Event,
}
_ID: Final = re.compile(ID_PATTERN)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a device said about itself or its sightings."""

    device: str
    message: Status | Reported | Telemetry | Event


@dataclass(frozen=True, slots=True)
class Bad:
    """Something that can never be stored as what it claims to be."""

    device: str
    """Of the topic; empty when the topic names none."""
    look_id: str
    """Empty when it cannot be told."""
    reason: str


def sift(topics: Topics, topic: str, payload: bytes) -> Look | Heard | Bad | None:
    """Decode and check one message; None for the empty message that clears a retained one."""
    device = ""
    channel: Channel = "look"
    try:
        device, channel = topics.parse(topic)
        if not payload:
            return None
        if channel == "look":
            look = decode_look(payload)
            _same(device, look.meta.device)
            return look
        message = from_json(_kind(channel), payload)
        _same(device, message.device)
    except BadContentError as error:
        look_id = claimed_id(payload) if channel == "look" else ""
        return Bad(device, look_id, str(error)[:300])
    return Heard(device, message)


def claimed_id(payload: bytes) -> str:
    """Return the look id that a bad payload claims, so that its sender can stop; or ''."""
    if len(payload) > 4 * MAX_LOOK_BYTES:
        return ""
    try:
        body = cbor2.loads(payload, max_depth=MAX_DEPTH, allow_indefinite=False)
    except (cbor2.CBORError, ValueError, OverflowError, MemoryError, RecursionError, TypeError):
        return ""
    meta = body.get("meta") if isinstance(body, dict) else None
    look_id = meta.get("look_id") if isinstance(meta, dict) else None
    return look_id if isinstance(look_id, str) and _ID.fullmatch(look_id) else ""


def _kind(channel: Channel) -> type[Status | Reported | Telemetry | Event]:
    if channel not in WORDS:
        raise BadContentError(f"channel {channel}: nothing comes up here")
    return WORDS[channel]


def _same(topic_device: str, device: str) -> None:
    if topic_device != device:
        raise BadContentError(f"device {device!r} on the topic of {topic_device!r}")
