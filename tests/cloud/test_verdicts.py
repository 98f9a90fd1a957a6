"""Verdicts over a real broker: in order, again until applied, to nobody twice in effect."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from agent.base.clock import SystemClock
from agent.contract.config import BrokerConfig
from agent.contract.messages import Status
from agent.contract.topics import Topics
from cloud.blobs import Blobs
from cloud.bus import Bus
from cloud.config import IngestConfig, VerdictConfig
from cloud.ingest import CHANNELS, Ingest
from cloud.label.queue import LabelQueue
from cloud.label.rules import Done
from cloud.schema import devices
from cloud.sieve import Heard
from cloud.store import Store
from cloud.verdicts import VerdictPublisher
from tests.cloud.stocked import stock
from tests.conftest import Mosquitto
from tests.device_sim import DeviceSim, wait_until
from tests.makers import NOW, an_id, look


@contextmanager
def publishing(
    mosquitto: Mosquitto, engine: Engine, folder: Path, resend_s: float = 0.5
) -> Iterator[VerdictPublisher]:
    topics, clock, stop = Topics(), SystemClock(), threading.Event()
    bus = Bus(
        BrokerConfig(url=mosquitto.url),
        "verdicts",
        tuple((topics.of_all(c), qos) for c, qos in CHANNELS),
    )
    publisher = VerdictPublisher(bus, topics, engine, VerdictConfig(resend_s=resend_s), clock)
    ingest = Ingest(
        bus, topics, Store(engine), Blobs(f"file://{folder}/objects"), IngestConfig(), clock,
        "main", publisher.on_reported,
    )  # fmt: skip

    def publish() -> None:
        while not stop.wait(0.05):
            publisher.step()

    threads = [
        threading.Thread(target=publish), threading.Thread(target=ingest.run, args=(stop,)),
    ]  # fmt: skip
    bus.start()
    bus.wait(10)
    for thread in threads:
        thread.start()
    try:
        yield publisher
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        bus.stop()


def judged(engine: Engine, folder: Path, numbers: range) -> None:
    """Looks with an outcome each, and so with a verdict each."""
    stock(engine, Blobs(f"file://{folder}/objects"), *(look(n) for n in numbers))
    queue = LabelQueue(engine)
    for n in numbers:
        assert queue.finish(an_id(n), Done("label", "Yield", 0.9, ""), "gpt", NOW)


def online(engine: Engine, device: str = "cam-1") -> None:
    Store(engine).add([], [], [Heard(device, Status(device=device, online=True, at=NOW))], NOW)


def applied(engine: Engine) -> bool:
    with engine.connect() as connection:
        row = connection.execute(sa.select(devices)).one()
    return bool(row.verdict_applied == row.verdict_last)


@pytest.mark.parametrize("count", [1, 64, 200, 700])
def test_all_verdicts_arrive_in_order(
    mosquitto: Mosquitto, engine: Engine, tmp_path: Path, count: int
) -> None:
    judged(engine, tmp_path, range(count))
    with DeviceSim(mosquitto.port) as device, publishing(mosquitto, engine, tmp_path):
        wait_until(lambda: len(device.verdicts) == count)
        wait_until(lambda: applied(engine))
        assert all(len(b.verdicts) <= 64 for b in device.batches)
        assert all(v.label == "Yield" for v in device.verdicts.values())


def test_new_verdicts_follow_without_a_resend(
    mosquitto: Mosquitto, engine: Engine, tmp_path: Path
) -> None:
    with (
        DeviceSim(mosquitto.port) as device,
        publishing(mosquitto, engine, tmp_path, resend_s=60) as publisher,
    ):
        for first in range(0, 50, 10):
            judged(engine, tmp_path, range(first, first + 10))
            wait_until(lambda n=first: len(device.verdicts) == n + 10)
        assert publisher.counters["resends"] == 0
        assert publisher.counters["verdicts_sent"] == 50


def test_lost_batches_are_sent_again_until_applied(
    mosquitto: Mosquitto, engine: Engine, tmp_path: Path
) -> None:
    judged(engine, tmp_path, range(100))
    online(engine)
    with DeviceSim(mosquitto.port) as device, publishing(mosquitto, engine, tmp_path) as publisher:
        device.online = False  # takes everything in and forgets it
        wait_until(lambda: publisher.counters["resends"] >= 2)
        assert device.verdicts == {}
        device.online = True
        wait_until(lambda: len(device.verdicts) == 100)
        wait_until(lambda: applied(engine))


def test_a_device_that_forgot_everything_gets_it_all_again(
    mosquitto: Mosquitto, engine: Engine, tmp_path: Path
) -> None:
    judged(engine, tmp_path, range(90))
    online(engine)
    with DeviceSim(mosquitto.port) as device, publishing(mosquitto, engine, tmp_path):
        wait_until(lambda: applied(engine) and len(device.verdicts) == 90)
        device.verdict_seq, device.verdicts = 0, {}
        device.report()
        wait_until(lambda: len(device.verdicts) == 90)


def test_absent_devices_are_not_flooded(
    mosquitto: Mosquitto, engine: Engine, tmp_path: Path
) -> None:
    judged(engine, tmp_path, range(10))
    with publishing(mosquitto, engine, tmp_path, resend_s=0.5) as publisher:
        wait_until(lambda: publisher.counters["resends"] == 1)
        sent = publisher.counters["verdicts_sent"]
        for _ in range(50):
            publisher._progress["cam-1"].sent_at -= 10_000  # years of waiting
            publisher.step()
        assert publisher.counters["verdicts_sent"] == sent == 20
    with DeviceSim(mosquitto.port) as device, publishing(mosquitto, engine, tmp_path):
        wait_until(lambda: len(device.verdicts) == 10)


def test_restarted_worker_goes_on_above_what_is_applied(
    mosquitto: Mosquitto, engine: Engine, tmp_path: Path
) -> None:
    with DeviceSim(mosquitto.port) as device:
        judged(engine, tmp_path, range(5))
        with publishing(mosquitto, engine, tmp_path):
            wait_until(lambda: applied(engine) and len(device.verdicts) == 5)
        judged(engine, tmp_path, range(5, 8))
        with publishing(mosquitto, engine, tmp_path) as publisher:
            wait_until(lambda: len(device.verdicts) == 8)
            assert publisher.counters["verdicts_sent"] == 3
