"""20,000 damaged payloads a decoder: each is read or refused with our own error, nothing else."""

import json
import random
from collections.abc import Callable, Iterable
from typing import Any, Final

import cbor2
import pytest
from pydantic import BaseModel
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, Key

from agent.contract.codec import decode_look, encode_look
from agent.contract.config import Limits, Settings, changed_settings
from agent.contract.envelope import PAYLOAD_TYPE, open_envelope
from agent.contract.errors import BadContentError
from agent.contract.manifest import ModelManifest, append_metadata, read_metadata
from agent.contract.messages import (
    AdviceBody,
    CameraReport,
    DesiredBody,
    Event,
    Grant,
    Receipt,
    Refusal,
    Reported,
    Status,
    Telemetry,
    Verdict,
    Verdicts,
    from_json,
    to_json,
)
from agent.contract.topics import Topics
from tests import makers, mutate

COUNT: Final = 20_000

MESSAGES: Final[tuple[BaseModel, ...]] = (
    Status(
        device="cam-1",
        online=True,
        at=makers.NOW,
        cameras=(CameraReport(camera="front", state="ok", since=makers.NOW),),
        problems=("clock",),
    ),
    Event(
        device="cam-1", camera="front", sighting_id=makers.an_id(1), state="revised", label="Stop",
        was="Yield", score=0.9, first_seen=makers.NOW, last_seen=makers.NOW, frames=7,
        box=(1, 2, 30, 40), model="0123456789abcdef",
    ),
    Telemetry(
        device="cam-1", at=makers.NOW, uptime_s=5.0, frames=9, fps=8.5, invoke_ms=3.5, sightings=2,
        looks_kept=1, looks_dropped={"sure": 5}, spool_looks=1, spool_bytes=2_000, spool_evicted=0,
        temperature_c=51.5, score_histogram=(0, 1, 2),
    ),
    Reported(
        device="cam-1", at=makers.NOW, agent="0.1.0", profile="traffic-signs", model="ab",
        config={"threshold": 0.5}, capabilities=("litert",),
        refused=(Refusal(channel="desired", seq=4, reason="replay", at=makers.NOW),),
    ),
    Receipt(look_ids=(makers.an_id(1), makers.an_id(2)), quarantined=(makers.an_id(3),)),
    Verdicts(
        seq=5,
        verdicts=(
            Verdict(
                look_id=makers.an_id(1), sighting_id=makers.an_id(2), camera="front",
                captured_at=makers.NOW, device_label="Stop", outcome="label", label="Yield",
                confidence=0.8,
            ),
        ),
    ),
    AdviceBody(
        wanted=("Stop",), confused=(("Stop", "Yield", 4),), thresholds={"Stop": 0.6}, based_on=50,
        grant=Grant(usd_per_day=0.1, usd_per_look=0.0002),
    ),
    DesiredBody(settings={"threshold": 0.4, "context": "none"}),
)  # fmt: skip


def read_all(decode: Callable[[bytes], Any], payloads: Iterable[bytes]) -> tuple[int, int]:
    """How many were read, how many refused; anything else raised fails the test."""
    read, reasons = 0, []
    for payload in payloads:
        try:
            decode(payload)
        except BadContentError as error:
            reasons.append(str(error))
        else:
            read += 1
    assert all(0 < len(reason) < 500 for reason in reasons)
    return read, len(reasons)


def test_looks() -> None:
    rng = random.Random(1)
    payloads = [encode_look(makers.look(n, top=())) for n in range(3)]
    bytes_ = mutate.damaged(payloads, COUNT // 2, mutate.CBOR_BITS, rng)
    _, refused = read_all(decode_look, bytes_)
    # Pictures carry a hash: what is read nevertheless was changed in its metadata or not at all.
    assert refused > 0.9 * COUNT / 2
    values = mutate.reshaped(payloads, COUNT // 2, cbor2.loads, mutate.to_cbor, rng)
    read, refused = read_all(decode_look, values)
    assert min(read, refused) > COUNT / 50


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_json_messages(message: BaseModel) -> None:
    rng = random.Random(2)
    payloads = [to_json(message)]
    kind = type(message)
    _, refused = read_all(
        lambda data: from_json(kind, data),
        mutate.damaged(payloads, COUNT // 2, mutate.JSON_BITS, rng),
    )
    assert refused > COUNT / 10
    values = mutate.reshaped(payloads, COUNT // 2, json.loads, mutate.to_json, rng)
    read, refused = read_all(lambda data: from_json(kind, data), values)
    assert min(read, refused) > COUNT / 50


def test_envelopes() -> None:
    rng, signer = random.Random(3), CryptoSigner.generate_ed25519()
    payload = makers.envelope(signer, "desired", {"settings": {"threshold": 0.4}}, 5)
    keys: list[Key] = [signer.public_key]

    def decode(data: bytes) -> None:
        signed = open_envelope(data, "desired", keys)
        # Nothing that the key did not sign gets through.
        assert (signed.seq, signed.audience) == (5, "cam-1")
        assert signed.body == {"settings": {"threshold": 0.4}}

    _, refused = read_all(decode, mutate.damaged([payload], COUNT // 2, mutate.JSON_BITS, rng))
    assert refused > 0.9 * COUNT / 2
    values = mutate.reshaped([payload], COUNT // 2, json.loads, mutate.to_json, rng)
    _, refused = read_all(decode, values)
    assert refused > 0.5 * COUNT / 2


def sealed(signer: CryptoSigner, payload: bytes) -> bytes:
    """An envelope with a good signature around any bytes."""
    envelope = Envelope(payload, PAYLOAD_TYPE.format(channel="desired"), {})
    envelope.sign(signer)
    return json.dumps(envelope.to_dict()).encode()


def test_signed_but_senseless_envelopes() -> None:
    rng, signer = random.Random(4), CryptoSigner.generate_ed25519()
    inner = [b'{"seq":5,"audience":"cam-1","issued":1.0,"expires":2.0,"body":{"a":[1]}}']
    payloads = [
        *mutate.damaged(inner, 1_000, mutate.JSON_BITS, rng),
        *mutate.reshaped(inner, 1_000, json.loads, mutate.to_json, rng),
    ]
    envelopes = [sealed(signer, p) for p in payloads]
    read, refused = read_all(
        lambda data: open_envelope(data, "desired", [signer.public_key]), envelopes
    )
    assert min(read, refused) > 50


def test_appended_metadata() -> None:
    rng = random.Random(5)
    manifest = ModelManifest(name="signs", metrics={"accuracy_bp": 9_900})
    payload = append_metadata(b"TFL3" * 20, ("Stop", "Yield"), manifest)
    read, refused = read_all(read_metadata, mutate.damaged([payload], COUNT, mutate.ZIP_BITS, rng))
    assert min(read, refused) > COUNT / 50


def test_settings() -> None:
    rng = random.Random(6)
    payload = Settings().model_dump_json().encode()
    values = mutate.reshaped([payload], COUNT, json.loads, mutate.to_json, rng)
    read, refused = read_all(
        lambda data: changed_settings(Settings(), json.loads(data), Limits()), values
    )
    assert min(read, refused) > COUNT / 50


def test_topics() -> None:
    rng, topics = random.Random(7), Topics()
    good = [topics.of("cam-1", "look").encode(), topics.of("a", "desired").encode()]
    bits = [b"/", b"//", b"+", b"#", b"$SYS", b"\xc3\xa9", b"\n", b"look"]
    payloads = mutate.damaged(good, COUNT, bits, rng)

    def decode(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        device, channel = topics.parse(text)
        assert topics.of(device, channel) == text

    read, refused = read_all(decode, payloads)
    assert min(read, refused) > COUNT / 50
