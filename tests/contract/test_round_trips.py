"""What is written is read back the same, whatever the values."""

import json
import string
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from agent.contract.codec import MAX_LOOK_BYTES, Look, decode_look, encode_look
from agent.contract.errors import BadContentError
from agent.contract.ids import is_device_id, new_id, next_sequence
from agent.contract.manifest import (
    InputSpec,
    ModelManifest,
    append_metadata,
    parse_labels,
    read_metadata,
)
from agent.contract.messages import (
    MAX_JSON_BYTES,
    AdviceBody,
    Event,
    Grant,
    LookMeta,
    Receipt,
    Reported,
    ScoredLabel,
    Status,
    Telemetry,
    Verdict,
    Verdicts,
    from_json,
    to_json,
)
from agent.contract.topics import CHANNELS, Channel, Topics
from tests import makers

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=60)
LABELS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)
SCORES = st.floats(0, 1)
TIMES = st.floats(0, 2**33)
COUNTS = st.integers(0, 2**53)
IDS = st.binary(min_size=16, max_size=16).map(bytes.hex)
DEVICES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
CAMERAS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)
PIXELS = st.integers(0, 65_535)
BOXES = st.tuples(PIXELS, PIXELS, PIXELS, PIXELS)
TOPS = st.lists(st.builds(ScoredLabel, label=LABELS, score=SCORES), max_size=16).map(tuple)

METAS = st.builds(
    LookMeta,
    look_id=IDS, device=DEVICES, camera=CAMERAS, sighting_id=IDS, captured_at=TIMES,
    clock_synced=st.booleans(), frame=COUNTS, frame_size=st.tuples(PIXELS, PIXELS), box=BOXES,
    profile=TEXT, model=TEXT, agent=TEXT, reason=st.sampled_from(["uncertain", "audit", "wanted"]),
    top=TOPS, margin=SCORES, energy=st.floats(-1e6, 1e6),
    context=st.sampled_from(["none", "thumbnail", "frame"]),
    worth=SCORES, sighting_label=st.none() | LABELS, audit_share=SCORES, audited=st.booleans(),
)  # fmt: skip
MONEY = st.floats(1e-9, 1e6)
GRANTS = st.builds(Grant, usd_per_day=MONEY, usd_per_look=MONEY)
VERDICTS = st.builds(
    Verdict,
    look_id=IDS, sighting_id=IDS, camera=CAMERAS, captured_at=TIMES,
    device_label=st.none() | LABELS, label=st.none() | LABELS, confidence=SCORES,
    outcome=st.sampled_from(["label", "none", "unreadable", "person", "rejected"]),
)  # fmt: skip
JPEGS = st.binary(max_size=3_000).map(makers.coded)

MESSAGES: st.SearchStrategy[BaseModel] = st.one_of(
    st.builds(Status, device=DEVICES, online=st.booleans(), at=TIMES, problems=st.just(("a",))),
    st.builds(
        Event,
        device=DEVICES, camera=CAMERAS, sighting_id=IDS, label=st.none() | LABELS,
        state=st.sampled_from(["provisional", "confirmed", "revised"]), was=st.none() | LABELS,
        score=SCORES, first_seen=TIMES, last_seen=TIMES, frames=COUNTS, box=BOXES, model=TEXT,
    ),
    st.builds(
        Telemetry,
        device=DEVICES, at=TIMES, uptime_s=TIMES, frames=COUNTS, fps=SCORES, invoke_ms=SCORES,
        sightings=COUNTS, looks_kept=COUNTS, spool_looks=COUNTS, spool_bytes=COUNTS,
        spool_evicted=COUNTS, looks_dropped=st.dictionaries(LABELS, COUNTS, max_size=5),
    ),
    st.builds(
        Reported,
        device=DEVICES, at=TIMES, agent=TEXT, profile=TEXT, model=TEXT, verdict_seq=COUNTS,
        config=st.dictionaries(LABELS, st.none() | COUNTS | TEXT, max_size=5),
    ),
    st.builds(Receipt, look_ids=st.lists(IDS, max_size=9).map(tuple)),
    st.builds(Verdicts, seq=COUNTS, verdicts=st.lists(VERDICTS, min_size=1, max_size=5).map(tuple)),
    st.builds(
        AdviceBody,
        wanted=st.lists(LABELS, max_size=5).map(tuple),
        confused=st.lists(st.tuples(LABELS, LABELS, COUNTS), max_size=5).map(tuple),
        thresholds=st.dictionaries(LABELS, SCORES, max_size=5),
        grant=st.none() | GRANTS,
    ),
)  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(METAS, JPEGS, st.none() | JPEGS)
def test_look(meta: LookMeta, jpeg: bytes, context: bytes | None) -> None:
    look = Look(meta, jpeg, context or b"")
    assert decode_look(encode_look(look)) == look


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(MESSAGES, st.dictionaries(LABELS.map(lambda s: f"future_{s}"), TEXT, max_size=3))
def test_json_message_and_fields_of_the_future(message: BaseModel, extra: dict[str, Any]) -> None:
    payload = to_json(message)
    assert from_json(type(message), payload) == message
    newer = json.dumps({**json.loads(payload), **extra, "schema_version": 9}).encode()
    read = from_json(type(message), newer)
    assert read.model_dump(exclude={"schema_version"}) == message.model_dump(
        exclude={"schema_version"}
    )


def test_a_typical_look_is_small() -> None:
    look = makers.look()
    assert len(encode_look(look)) - len(look.jpeg) < 600


def test_too_large_is_refused_on_both_sides() -> None:
    big = makers.look()
    big = Look(big.meta, big.jpeg + bytes(MAX_LOOK_BYTES))
    with pytest.raises(BadContentError, match="at most"):
        encode_look(big)
    with pytest.raises(BadContentError, match="at most"):
        decode_look(bytes(MAX_LOOK_BYTES + 1))
    with pytest.raises(BadContentError, match="at most"):
        from_json(Receipt, b" " * (MAX_JSON_BYTES + 1))


def test_a_changed_picture_does_not_match_its_hash() -> None:
    look = makers.look()
    payload = bytearray(encode_look(look))
    at = payload.index(look.jpeg) + len(look.jpeg) // 2
    payload[at] ^= 1
    with pytest.raises(BadContentError, match="sha256"):
        decode_look(bytes(payload))


@given(DEVICES, st.sampled_from(CHANNELS), st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True))
def test_topics(device: str, channel: Channel, prefix: str) -> None:
    topics = Topics(prefix)
    topic = topics.of(device, channel)
    assert topics.parse(topic) == (device, channel)
    assert topics.of_all(channel).split("/") == [prefix, "+", channel]


@given(st.text(max_size=80))
def test_whatever_is_no_device_id_makes_no_topic(text: str) -> None:
    if is_device_id(text):
        assert set(text) <= set(string.ascii_lowercase + string.digits + "-")
        assert 1 <= len(text) <= 63
        return
    with pytest.raises(BadContentError, match="device id"):
        Topics().of(text, "look")


@pytest.mark.parametrize("text", ["cam-1\n", "Cam", "-a", "a/b", "a+", "#", "", "a" * 64, "ä"])
def test_no_device_ids(text: str) -> None:
    assert not is_device_id(text)
    with pytest.raises(BadContentError):
        from_json(Status, json.dumps({"device": text, "online": True, "at": 1.0}).encode())


@given(st.floats(0, 2**48 / 1000 - 1), st.floats(0, 1e6), st.binary(min_size=10, max_size=10))
def test_ids_sort_by_time(now: float, later: float, random: bytes) -> None:
    first = new_id(now, random)
    assert len(first) == 32
    assert from_json(Receipt, to_json(Receipt(look_ids=(first,)))).look_ids == (first,)
    assert int(first[:12], 16) == int(now * 1000)
    if now + later < 2**48 / 1000 and int((now + later) * 1000) > int(now * 1000):
        assert new_id(now + later, bytes(10)) > first


@given(st.integers(0, 2**52), st.floats(0, 4e9))
def test_sequences_rise_and_follow_the_clock(previous: int, now: float) -> None:
    assert next_sequence(previous, now) > previous
    assert next_sequence(previous, now) >= int(now * 1000)


@settings(deadline=None)
@given(
    st.binary(max_size=300),
    st.lists(
        st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=20),
        min_size=1,
        max_size=50,
    ),
    st.floats(0.01, 100),
    st.dictionaries(LABELS, st.integers(), max_size=4),
)
def test_model_file(
    model: bytes, labels: list[str], temperature: float, metrics: dict[str, int]
) -> None:
    manifest = ModelManifest(
        name="m", temperature=temperature, metrics=metrics, input=InputSpec(pixel_range=(0, 1))
    )
    packed = append_metadata(model, tuple(labels), manifest)
    assert packed.startswith(model)
    assert append_metadata(model, tuple(labels), manifest) == packed
    assert read_metadata(packed) == (tuple(labels), manifest)


def test_a_model_file_that_is_cut_off_is_refused() -> None:
    # The four bytes of a zip's header alone may come by chance.
    model = bytes(40) + b"PK\x03\x04" + bytes(40)
    whole = append_metadata(model, ("a", "b"), ModelManifest(name="m"))
    entry = len(model) + 30 + len("labels.txt")
    for end in range(entry, len(whole)):
        with pytest.raises(BadContentError, match="appended zip: cut off; copy the file again"):
            read_metadata(whole[:end])
    assert read_metadata(model) == (None, None)


@given(st.binary(max_size=200))
def test_labels_are_read_or_refused(data: bytes) -> None:
    try:
        labels = parse_labels(data)
    except BadContentError:
        return
    assert labels
    assert all("\n" not in label for label in labels)


def test_labels_of_any_editor() -> None:
    assert parse_labels("\ufeffStop\r\nYield\r\n\r\n".encode()) == ("Stop", "Yield")
    assert parse_labels(b"a\n\nb\n") == ("a", "", "b")
    for bad in (b"", b"\n\n", b"\xff\xfe", b"x\n" * 10_001):
        with pytest.raises(BadContentError, match="labels"):
            parse_labels(bad)


HALF_A_CHARACTER = r'"\ud800"'
NESTED = "[" * 400 + "]" * 400


@pytest.mark.parametrize("value", [HALF_A_CHARACTER, f"{{{HALF_A_CHARACTER}: 1}}", NESTED])
def test_what_cannot_be_written_again_is_refused(value: str) -> None:
    report = '{"device": "cam-1", "at": 1, "agent": "1", "profile": "p", "model": "m", "config": '
    assert from_json(Reported, f'{report} {{"a": ["b", 1]}}}}'.encode()).config == {"a": ["b", 1]}
    with pytest.raises(BadContentError):
        from_json(Reported, f'{report} {{"a": {value}}}}}'.encode())


def test_a_problem_is_told_in_characters_that_can_be_stored() -> None:
    body = telemetry_with(r'{"\ud800\u0000": -1}')
    with pytest.raises(BadContentError) as caught:
        from_json(Telemetry, body)
    assert str(caught.value).isprintable()


def telemetry_with(dropped: str) -> bytes:
    zero = ("at", "uptime_s", "frames", "fps", "invoke_ms", "sightings", "looks_kept")
    zeros = "".join(f'"{name}": 0, ' for name in (*zero, "spool_looks", "spool_bytes"))
    return f'{{"device": "cam-1", {zeros} "spool_evicted": 0, "looks_dropped": {dropped}}}'.encode()
