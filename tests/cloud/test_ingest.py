"""Ingest over a real broker: stored once, receipted after, never stalled."""

import shutil
import tarfile
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from agent.base.clock import SystemClock
from agent.contract.codec import Look, encode_look
from agent.contract.config import BrokerConfig
from agent.contract.messages import Reported, Status, to_json
from agent.contract.topics import Topics
from cloud.blobs import Blobs, Place
from cloud.bus import Bus
from cloud.config import IngestConfig
from cloud.ingest import CHANNELS, Ingest
from cloud.schema import devices, looks, quarantine
from cloud.store import Store
from tests.conftest import Mosquitto
from tests.device_sim import DeviceSim, wait_until
from tests.makers import NOW, an_id, jpeg, look, meta


@contextmanager
def ingesting(
    mosquitto: Mosquitto, engine: Engine, folder: Path, **changes: Any
) -> Iterator[Ingest]:
    """A running ingest; `protocol` chooses the MQTT version."""
    broker = BrokerConfig(url=mosquitto.url, protocol=changes.pop("protocol", "5"))
    topics = Topics()
    bus = Bus(broker, "ingest", tuple((topics.of_all(c), qos) for c, qos in CHANNELS), 64)
    ingest = Ingest(
        bus, topics, Store(engine), Blobs(f"file://{folder}/objects"), IngestConfig(**changes),
        SystemClock(), "main",
    )  # fmt: skip
    stop = threading.Event()
    thread = threading.Thread(target=ingest.run, args=(stop,))
    bus.start()
    bus.wait(10)
    thread.start()
    try:
        yield ingest
    finally:
        stop.set()
        thread.join()
        bus.stop()


def rows(engine: Engine, table: sa.Table) -> list[sa.Row[Any]]:
    with engine.connect() as connection:
        return list(connection.execute(sa.select(table)).all())


def test_looks_are_stored_receipted_and_readable(
    mosquitto: Mosquitto, any_engine: Engine, tmp_path: Path
) -> None:
    sent = [look(n) for n in range(40)]
    sent += [
        Look(meta(100 + n).model_copy(update={"context": "thumbnail"}), jpeg(n), jpeg(n + 1))
        for n in range(3)
    ]
    with ingesting(mosquitto, any_engine, tmp_path), DeviceSim(mosquitto.port) as device:
        device.send(*sent)
        wait_until(lambda: device.waiting == 0)
    blobs = Blobs(f"file://{tmp_path}/objects")
    by_id = {row.look_id: row for row in rows(any_engine, looks)}
    assert sorted(by_id) == sorted(item.meta.look_id for item in sent)
    for item in sent:
        row = by_id[item.meta.look_id]
        assert blobs.read(Place(row.shard, row.offset, row.length)) == item.jpeg
        context = Place(row.shard, row.context_offset, row.context_length)
        assert blobs.read(context) == item.context
    with tarfile.open(tmp_path / "objects" / by_id[an_id(101)].shard) as tar:
        names = tar.getnames()
    wanted = {f"{an_id(101)}.{kind}" for kind in ("jpg", "json", "context.jpg")}
    assert wanted <= set(names)


def test_older_protocol_works_the_same(
    mosquitto: Mosquitto, engine: Engine, tmp_path: Path
) -> None:
    with (
        ingesting(mosquitto, engine, tmp_path, protocol="3.1.1"),
        DeviceSim(mosquitto.port) as device,
    ):
        device.send(*(look(n) for n in range(150)))
        wait_until(lambda: device.waiting == 0)
    assert len(rows(engine, looks)) == 150


def test_duplicates_are_receipted_again_and_stored_once(
    mosquitto: Mosquitto, engine: Engine, tmp_path: Path
) -> None:
    with ingesting(mosquitto, engine, tmp_path) as ingest, DeviceSim(mosquitto.port) as device:
        for _ in range(3):
            device.send(look(1))
            wait_until(lambda: device.waiting == 0)
        # The same look without its context is the same look.
        slim = Look(look(1).meta, look(1).jpeg, jpeg(9))
        device.send(slim)
        wait_until(lambda: device.waiting == 0)
        assert ingest.counters["duplicates"] == 3
    assert len(rows(engine, looks)) == 1
    assert rows(engine, quarantine) == []


def test_same_id_with_other_bytes_keeps_the_first(
    mosquitto: Mosquitto, engine: Engine, tmp_path: Path
) -> None:
    with ingesting(mosquitto, engine, tmp_path) as ingest, DeviceSim(mosquitto.port) as device:
        device.send(look(1))
        wait_until(lambda: device.waiting == 0)
        device.send(Look(look(1).meta, jpeg(77)))
        wait_until(lambda: device.waiting == 0)
        assert device.quarantined == {an_id(1)}
        assert ingest.counters["conflicts"] == 1
    (row,) = rows(engine, looks)
    (aside,) = rows(engine, quarantine)
    blobs = Blobs(f"file://{tmp_path}/objects")
    assert blobs.read(Place(row.shard, row.offset, row.length)) == look(1).jpeg
    assert "conflict" in aside.reason
    assert aside.look_id == an_id(1)


def test_bad_messages_are_set_aside_and_hold_up_nobody(
    mosquitto: Mosquitto, engine: Engine, tmp_path: Path
) -> None:
    good = [look(n) for n in range(10)]
    damaged = bytearray(encode_look(look(50)))
    damaged[-60] ^= 1
    bad = [b"", b"garbage", b"\xa1" * 500, bytes(damaged), b"\x00" * 200_000]
    with ingesting(mosquitto, engine, tmp_path), DeviceSim(mosquitto.port) as device:
        for payload in bad:
            device.send_raw("look", payload)
        device.send_raw("status", b'{"device": "cam-9", "online": true, "at": 1}')
        device.send_raw("look", encode_look(look(60)), topic="secondlook/cam-2/look")
        device.send(*good)
        wait_until(lambda: device.waiting == 0)
        wait_until(lambda: len(rows(engine, quarantine)) == 6)
        # Its id could be read, so the device is told not to send it again.
        wait_until(lambda: an_id(50) in device.quarantined)
    assert len(rows(engine, looks)) == len(good)
    aside = {row.reason: row for row in rows(engine, quarantine)}
    kept = next(row for reason, row in aside.items() if "sha256" in reason)
    place = Place(kept.shard, kept.offset, kept.length)
    assert Blobs(f"file://{tmp_path}/objects").read(place) == bytes(damaged)
    assert max(row.length for row in aside.values()) <= 128 * 1024
    assert {row.size for row in aside.values()} >= {7, 500, 200_000}


def test_quarantine_of_a_flood_is_bounded(
    mosquitto: Mosquitto, engine: Engine, tmp_path: Path
) -> None:
    with (
        ingesting(mosquitto, engine, tmp_path, quarantine_per_day=5) as ingest,
        DeviceSim(mosquitto.port) as device,
    ):
        for n in range(20):
            device.send_raw("look", b"garbage %d" % n)
        device.send(look(1))
        wait_until(lambda: device.waiting == 0)
        wait_until(lambda: ingest.counters["discarded"] == 15)
    assert len(rows(engine, quarantine)) == 5


def test_what_nobody_kept_gets_no_receipt(
    mosquitto: Mosquitto, engine: Engine, tmp_path: Path
) -> None:
    with (
        ingesting(mosquitto, engine, tmp_path, quarantine_per_day=1) as ingest,
        DeviceSim(mosquitto.port) as device,
    ):
        device.send(look(1), look(2))
        wait_until(lambda: device.waiting == 0)
        device.send(Look(look(1).meta, jpeg(77)))
        wait_until(lambda: device.quarantined == {an_id(1)})
        device.send(Look(look(2).meta, jpeg(78)))
        wait_until(lambda: ingest.counters["discarded"] >= 2)  # sent again: it had no receipt
        assert device.waiting == 1
        assert device.quarantined == {an_id(1)}
    assert len(rows(engine, quarantine)) == 1


def test_a_row_that_the_database_refuses_is_set_aside_alone(
    mosquitto: Mosquitto, any_engine: Engine, tmp_path: Path
) -> None:
    # SQLite takes the NUL that Postgres refuses: there it is a look like any other.
    expected = 6 if any_engine.dialect.name == "sqlite" else 5
    with ingesting(mosquitto, any_engine, tmp_path), DeviceSim(mosquitto.port) as device:
        odd = meta(3).model_copy(update={"model": "a\0b"})
        device.send(*(look(n) for n in (0, 1, 2, 4, 5)), Look(odd, jpeg(3)))
        wait_until(lambda: device.waiting == 0)
    assert len(rows(any_engine, looks)) == expected
    assert len(rows(any_engine, quarantine)) == 6 - expected
    stored = {row.shard for row in rows(any_engine, looks)}
    files = {
        str(p.relative_to(tmp_path / "objects"))
        for p in (tmp_path / "objects/looks").rglob("*.tar")
    }
    assert files == stored, "no shard without rows is left"


class Blind(Store):
    """Does not see, the first time, what another worker stores at this moment."""

    blind = True

    def known(self, look_ids: Collection[str]) -> dict[str, str]:
        found = {} if self.blind else super().known(look_ids)
        self.blind = False
        return found


def test_two_workers_that_store_the_same_at_once_keep_the_first(
    mosquitto: Mosquitto, any_engine: Engine, tmp_path: Path
) -> None:
    with ingesting(mosquitto, any_engine, tmp_path) as ingest, DeviceSim(mosquitto.port) as device:
        device.send(look(1), look(2))
        wait_until(lambda: device.waiting == 0)
        ingest._store = Blind(any_engine)
        device.send(look(1), Look(look(2).meta, jpeg(77)), look(3))
        wait_until(lambda: device.waiting == 0)
        assert device.quarantined == {an_id(2)}
    found = {row.look_id: row.sha256 for row in rows(any_engine, looks)}
    assert found == {an_id(n): look(n).sha256.hex() for n in (1, 2, 3)}
    shards = {row.shard for row in rows(any_engine, looks)}
    files = (tmp_path / "objects/looks").rglob("*.tar")
    assert {str(p.relative_to(tmp_path / "objects")) for p in files} == shards


def test_without_storage_there_is_no_receipt_and_later_everything(
    mosquitto: Mosquitto, engine: Engine, tmp_path: Path
) -> None:
    objects = tmp_path / "objects"
    with ingesting(mosquitto, engine, tmp_path) as ingest, DeviceSim(mosquitto.port) as device:
        device.send(look(0))
        wait_until(lambda: device.waiting == 0)
        shutil.rmtree(objects)
        objects.write_text("the disk is gone")
        device.send(*(look(n) for n in range(1, 30)))
        wait_until(lambda: ingest.problem != "")
        assert device.waiting == 29
        assert len(rows(engine, looks)) == 1
        objects.unlink()
        wait_until(lambda: device.waiting == 0)
        assert ingest.problem == ""
    assert len(rows(engine, looks)) == 30


def test_locked_database_delays_but_loses_nothing(
    mosquitto: Mosquitto, engine: Engine, tmp_path: Path
) -> None:
    with ingesting(mosquitto, engine, tmp_path), DeviceSim(mosquitto.port) as device:
        with engine.begin():
            device.send(*(look(n) for n in range(20)))
            wait_until(lambda: device.sent >= 20)
            assert device.waiting == 20
        wait_until(lambda: device.waiting == 0)
    assert len(rows(engine, looks)) == 20


def test_broker_restart_in_between(mosquitto: Mosquitto, engine: Engine, tmp_path: Path) -> None:
    with ingesting(mosquitto, engine, tmp_path), DeviceSim(mosquitto.port) as device:
        device.send(*(look(n) for n in range(50)))
        mosquitto.stop(kill=True)
        device.send(*(look(n) for n in range(50, 100)))
        mosquitto.start()
        wait_until(lambda: device.waiting == 0, 40)
    assert len(rows(engine, looks)) == 100


def test_words_of_devices_are_remembered(
    mosquitto: Mosquitto, engine: Engine, tmp_path: Path
) -> None:
    told: list[Reported] = []
    with (
        ingesting(mosquitto, engine, tmp_path) as ingest,
        DeviceSim(mosquitto.port, "cam-7") as device,
    ):
        ingest._on_reported = told.append
        wait_until(lambda: rows(engine, devices))
        with engine.begin() as connection:
            connection.execute(sa.update(devices).values(verdict_last=41))
        device.report(verdict_seq=41)
        device.send_raw("status", to_json(Status(device="cam-7", online=True, at=NOW)))

        def heard() -> bool:
            found = rows(engine, devices)
            return bool(found) and found[0].online and found[0].verdict_applied == 41

        wait_until(heard)
    assert told[-1].verdict_seq == 41


def test_orphans_of_a_crash_are_cleared_at_the_start(
    mosquitto: Mosquitto, engine: Engine, tmp_path: Path
) -> None:
    with ingesting(mosquitto, engine, tmp_path) as ingest:
        with DeviceSim(mosquitto.port) as device:
            device.send(look(1))
            wait_until(lambda: device.waiting == 0)
        (row,) = rows(engine, looks)
        folder = (tmp_path / "objects" / row.shard).parent
        (folder / "main.orphan.tar").write_bytes(b"written, never committed")
        (folder / "other.orphan.tar").write_bytes(b"of another worker that is at it now")
        assert ingest.clear_orphans() == 1
    left = {p.name for p in folder.iterdir()}
    assert left == {Path(row.shard).name, "other.orphan.tar"}
