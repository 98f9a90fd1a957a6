import random

import pytest

from agent.contract.codec import Look, encode_look
from agent.contract.messages import Event, Reported, Status, Telemetry, to_json
from agent.contract.topics import Topics
from cloud.sieve import Bad, Heard, sift
from tests.makers import NOW, an_id, look

TOPICS = Topics()


def test_good_look_passes() -> None:
    item = look(1)
    assert sift(TOPICS, "secondlook/cam-1/look", encode_look(item)) == item


def test_cleared_retained_message_is_nothing() -> None:
    assert sift(TOPICS, "secondlook/cam-1/status", b"") is None


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ("status", Status(device="cam-1", online=True, at=NOW)),
        ("reported", Reported(device="cam-1", at=NOW, agent="1", profile="p", model="m")),
        (
            "telemetry",
            Telemetry(
                device="cam-1", at=NOW, uptime_s=1, frames=1, fps=1, invoke_ms=1, sightings=1,
                looks_kept=1, spool_looks=0, spool_bytes=0, spool_evicted=0,
            ),
        ),
        (
            "event",
            Event(
                device="cam-1", camera="a", sighting_id=an_id(1), state="confirmed", label="Stop",
                score=0.9, first_seen=NOW, last_seen=NOW, frames=3, box=(0, 0, 9, 9), model="m",
            ),
        ),
    ],
)  # fmt: skip
def test_words_of_a_device_pass_and_must_be_its_own(
    channel: str, message: Status | Reported | Telemetry | Event
) -> None:
    payload = to_json(message)
    assert sift(TOPICS, f"secondlook/cam-1/{channel}", payload) == Heard("cam-1", message)
    bad = sift(TOPICS, f"secondlook/cam-2/{channel}", payload)
    assert isinstance(bad, Bad)
    assert "cam-1" in bad.reason


def test_look_of_another_device_is_bad_and_named() -> None:
    bad = sift(TOPICS, "secondlook/cam-2/look", encode_look(look(1)))
    assert bad == Bad("cam-2", an_id(1), "device 'cam-1' on the topic of 'cam-2'")


def test_damaged_picture_is_bad_and_its_id_is_known() -> None:
    payload = bytearray(encode_look(look(1)))
    payload[-60] ^= 1  # inside the picture, which comes last but for its hash
    bad = sift(TOPICS, "secondlook/cam-1/look", bytes(payload))
    assert isinstance(bad, Bad)
    assert bad.look_id == an_id(1)


@pytest.mark.parametrize(
    "topic", ["", "/", "secondlook/cam-1/call", "other/cam-1/look", "secondlook/../look", "a/b/c/d"]
)
def test_foreign_topics_are_bad(topic: str) -> None:
    assert isinstance(sift(TOPICS, topic, b"x"), Bad)


def test_noise_never_raises() -> None:
    rng = random.Random(53)
    whole = encode_look(Look(look(1).meta, look(1).jpeg, look(2).jpeg))
    for _ in range(3_000):
        payload = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            payload[rng.randrange(len(payload))] = rng.randrange(256)
        cut = bytes(payload[: rng.randint(1, len(payload))])
        for channel in ("look", "status", "reported", "telemetry", "event"):
            found = sift(TOPICS, f"secondlook/cam-1/{channel}", cut)
            assert isinstance(found, Bad | Look | Heard)
