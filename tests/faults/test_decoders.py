"""Rows 53, 55 and 56: bytes that nobody honest sends, at every decoder."""

import json
import random
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import cbor2
import cv2
import numpy as np
import psutil
import pytest
import sqlalchemy as sa
from securesystemslib.signer import CryptoSigner, Key
from sqlalchemy.engine import Engine

from agent.contract.codec import Look, decode_look, encode_look
from agent.contract.config import Limits, Settings, changed_settings
from agent.contract.envelope import open_envelope
from agent.contract.errors import BadContentError
from agent.contract.manifest import ModelManifest, append_metadata, read_metadata
from agent.contract.messages import from_json, to_json
from agent.contract.topics import Topics
from cloud.bus import Arrived
from cloud.database import open_database
from cloud.schema import devices, looks, quarantine
from cloud.sieve import sift
from tests import makers, mutate
from tests.cloud.taking import Taking
from tests.contract.test_mutated import MESSAGES
from tests.faults.case import Case

HANG_S = 1.0
"""Of CPU time: a loaded machine is no hang."""
TOPICS = Topics()
Decoder = tuple[str, Callable[[bytes], Any], Callable[[int, random.Random], Iterator[bytes]]]


def text_inputs(payload: bytes) -> Callable[[int, random.Random], Iterator[bytes]]:
    """Half damaged, half well-formed with wrong values."""
    return lambda n, rng: chain(
        mutate.damaged([payload], n // 2, mutate.JSON_BITS, rng),
        mutate.reshaped([payload], n - n // 2, json.loads, mutate.to_json, rng),
    )


def decoders() -> Iterator[Decoder]:
    payloads = [encode_look(makers.look(n, top=())) for n in range(3)]

    def look_inputs(n: int, rng: random.Random) -> Iterator[bytes]:
        yield from mutate.damaged(payloads, n // 2, mutate.CBOR_BITS, rng)
        yield from mutate.reshaped(payloads, n - n // 2, cbor2.loads, mutate.to_cbor, rng)

    yield "look", decode_look, look_inputs
    yield "sift", lambda data: sift(TOPICS, "secondlook/cam-1/look", data), look_inputs
    for message in MESSAGES:
        kind = type(message)
        yield kind.__name__, lambda d, k=kind: from_json(k, d), text_inputs(to_json(message))  # type: ignore[misc]
    signer = CryptoSigner.generate_ed25519()
    sealed = makers.envelope(signer, "desired", {"settings": {"threshold": 0.4}}, 5)
    keys: list[Key] = [signer.public_key]
    yield "envelope", lambda data: open_envelope(data, "desired", keys), text_inputs(sealed)
    settings = Settings().model_dump_json().encode()

    def apply(data: bytes) -> object:
        return changed_settings(Settings(), json.loads(data), Limits())

    yield (
        "settings",
        apply,
        lambda n, rng: mutate.reshaped([settings], n, json.loads, mutate.to_json, rng),
    )
    model = append_metadata(b"TFL3" * 20, ("Stop", "Yield"), ModelManifest(name="signs"))
    yield "manifest", read_metadata, lambda n, rng: mutate.damaged([model], n, mutate.ZIP_BITS, rng)
    topic = TOPICS.of("cam-1", "look").encode()
    bits = [b"/", b"//", b"+", b"#", b"$SYS", b"\xc3\xa9", b"\n", b"look"]
    yield (
        "topic",
        lambda data: TOPICS.parse(data.decode("utf-8", "replace")),
        lambda n, rng: mutate.damaged([topic], n, bits, rng),
    )


@pytest.mark.fault(53, cheap=True)
def test_fuzz_decoders(case: Case) -> None:
    count = 2_000 if case.form == "cheap" else case.size(4_000, 1_000_000)
    rng, process = case.rng, psutil.Process()
    escapes: list[str] = []
    slowest, inputs, names, read = 0.0, 0, 0, 0
    before, started = process.memory_info().rss, time.perf_counter()
    for name, decode, make in decoders():
        names += 1
        for payload in make(count, rng):
            inputs += 1
            began = time.thread_time()
            try:
                decode(payload)
                read += 1
            except BadContentError:
                pass
            except Exception as error:  # noqa: BLE001 - what must never come out
                escapes.append(f"{name}: {type(error).__name__} at {payload[:80]!r}")
            slowest = max(slowest, time.thread_time() - began)
    case.record(
        inputs, decoders=names, escapes=len(escapes), read=read,
        slowest_cpu_ms=round(slowest * 1e3, 1),
        inputs_per_s=round(inputs / (time.perf_counter() - started)),
        rss_growth_mib=round((process.memory_info().rss - before) / 2**20, 1),
    )  # fmt: skip
    assert escapes == []
    assert slowest < HANG_S
    assert 0 < read < inputs


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_database(f"sqlite:///{tmp_path}/cloud.sqlite")
    yield opened
    opened.dispose()


def counted(engine: Engine, table: sa.Table) -> int:
    with engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


@pytest.mark.fault(53, cheap=True)
def test_fuzz_ingest(case: Case, tmp_path: Path, engine: Engine) -> None:
    """Damaged looks go the whole way: each is a row or set aside, never in part."""
    count = case.size(2_000, 100_000)
    taking = Taking(engine, tmp_path, quarantine_per_day=1_000_000)
    payloads = [encode_look(makers.look(n)) for n in range(40)]
    rng = case.rng
    damaged = list(mutate.reshaped(payloads, count, cbor2.loads, mutate.to_cbor, rng))
    good = {item.meta.look_id for data in damaged if isinstance(item := read_or_not(data), Look)}
    for at in range(0, count, 256):
        taking.take(*damaged[at : at + 256])
    counters = taking.ingest.counters
    stored = counted(engine, looks)
    case.record(
        count, stored=stored, quarantined=counters["quarantined"],
        duplicates=counters["duplicates"], conflicts=counters["conflicts"],
    )  # fmt: skip
    assert stored == counters["looks"] == len(good)
    aside = counted(engine, quarantine)
    assert aside == counters["quarantined"]
    assert stored + aside + counters["duplicates"] == count


def read_or_not(data: bytes) -> object:
    found = sift(TOPICS, "secondlook/cam-1/look", data)
    return None if isinstance(found, Look) and found.meta.reason == "probe" else found


@pytest.mark.fault(55, cheap=True)
def test_flipped_bits(case: Case) -> None:
    """One bit of a picture flipped on its way: a decoder would often not mind."""
    count = case.size(4_000, 100_000)
    rng = case.rng
    accepted = decodable = 0
    for n in range(count):
        item = makers.look(n % 20)
        payload = bytearray(encode_look(item))
        start = bytes(payload).index(item.jpeg)
        flipped = start + rng.randrange(len(item.jpeg))
        payload[flipped] ^= 1 << rng.randrange(8)
        picture = np.frombuffer(payload[start : start + len(item.jpeg)], np.uint8)
        decodable += cv2.imdecode(picture, cv2.IMREAD_COLOR) is not None
        try:
            decode_look(bytes(payload))
            accepted += 1
        except BadContentError:
            pass
    case.record(count, accepted=accepted, decodable=decodable)
    assert accepted == 0
    assert decodable > count / 2, "else the hash is not what refuses them"


NASTY = (
    "../../etc/passwd", "/etc/passwd", "..", ".", "a/b", "a\\b", "nul\0", "%2e%2e%2f", "\u202egpj",
    "a" * 300, "'; DROP TABLE looks;--", "<script>alert(1)</script>", "+", "#", "cam/+/look",
    "$SYS", "CAM-1", " cam-1", "cam-1\n", "cám", "-cam", "", "{{7*7}}", "$(reboot)", "`reboot`",
)  # fmt: skip
TEXTS = tuple(text for text in NASTY if 0 < len(text) <= 120)
"""What may stand where a person's words stand: it is kept as it is, and harms nobody."""


def raw_look(n: int, **values: Any) -> bytes:
    body = cbor2.loads(encode_look(makers.look(n)))
    body["meta"].update(values)
    return cbor2.dumps(body)


@pytest.mark.fault(56, cheap=True)
def test_names_that_are_paths_or_code(case: Case, tmp_path: Path, engine: Engine) -> None:
    taking = Taking(engine, tmp_path)
    before = {path for path in tmp_path.rglob("*") if "objects" not in path.parts}
    taking.take(encode_look(makers.look(1)))
    tried = 0
    for nasty in NASTY:
        for field in ("device", "look_id", "camera", "sighting_id", "reason", "context"):
            taking.take(raw_look(2, **{field: nasty}))
            tried += 1
        with pytest.raises(BadContentError):
            TOPICS.of(nasty, "look")
        topics = (
            nasty,
            f"secondlook/{nasty}/look",
            f"secondlook/cam-1/{nasty}",
            f"{nasty}/cam-1/look",
        )
        payload = encode_look(makers.look(3))
        taking.arrive([Arrived(topic, payload, 1, 1, 1) for topic in topics])
        tried += len(topics)
    # A device that says another's name, on its own topic.
    taking.take(encode_look(makers.look(4, device="cam-2")))
    stored_ids = counted(engine, looks)
    for n, text in enumerate(TEXTS):
        top = [{"label": text, "score": 0.5}]
        taking.take(raw_look(100 + n, profile=text, model=text, agent=text, top=top))
    escaped = {p for p in tmp_path.rglob("*") if "objects" not in p.parts} - before
    outside = [p for p in tmp_path.rglob("*.tar") if not named_well(p.relative_to(tmp_path))]
    case.record(tried, rows_written=stored_ids - 1, files_outside=len(outside) + len(escaped))
    assert stored_ids == 1
    assert escaped == set()
    assert outside == []
    with engine.connect() as connection:
        rows = connection.execute(sa.select(looks).where(looks.c.look_id != makers.an_id(1))).all()
        names = set(connection.execute(sa.select(devices.c.device)).scalars())
    assert {(row.profile, row.model, row.device_label) for row in rows} == {
        (t, t, t) for t in TEXTS
    }
    assert names == {"cam-1"}


def named_well(path: Path) -> bool:
    """objects/KIND/CLASS/YEAR/MONTH/DAY/WORKER.ID.tar"""
    return len(path.parts) == 7 and path.parts[1] in ("looks", "quarantine")
