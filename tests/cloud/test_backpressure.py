"""A store that does not answer: the broker keeps what does not fit, and then it goes on."""

from pathlib import Path

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy.engine import Engine

from agent.contract.codec import encode_look
from agent.contract.errors import UnavailableError
from agent.contract.messages import Telemetry, to_json
from cloud.blobs import Blobs
from cloud.schema import devices, looks
from cloud.store import Store
from tests.cloud.test_ingest import ingesting, rows
from tests.conftest import Mosquitto
from tests.device_sim import wait_until
from tests.makers import NOW, an_id, look

WINDOW = 64
"""What `ingesting` asks the broker for as its receive maximum."""
LOOKS = 400
WORDS = 300


class Sender:
    """Hands messages to the broker, all at once, and waits for nothing else."""

    def __init__(self, port: int) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.max_queued_messages_set(0)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def send(self, channel: str, payload: bytes, qos: int) -> None:
        self._client.publish(f"secondlook/cam-1/{channel}", payload, qos).wait_for_publish(10)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Stalled(Blobs):
    """Storage that refuses until it is told not to."""

    refuses = True

    def write(self, name: str, data: bytes) -> None:
        if self.refuses:
            raise UnavailableError(f"{name}: storage is away")
        super().write(name, data)


class StalledStore(Store):
    """The same for rows, which is where words of devices go."""

    refuses = True

    def add(self, *args: object) -> None:
        if self.refuses:
            raise UnavailableError("the database is away")
        super().add(*args)  # type: ignore[arg-type]


def test_no_more_is_handed_over_than_the_receive_maximum(
    mosquitto: Mosquitto, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.ingest.RETRY_S", (0.05, 0.2))
    blobs = Stalled(f"file://{tmp_path}/objects")
    with ingesting(mosquitto, engine, tmp_path) as ingest:
        ingest._blobs = blobs
        bus, sender = ingest._bus, Sender(mosquitto.port)
        before = bus.arrived
        for n in range(LOOKS):
            sender.send("look", encode_look(look(n)), 1)
        wait_until(lambda: ingest.problem != "")
        wait_until(lambda: bus.arrived - before >= WINDOW)
        # The broker has them all; it may hand over no more, however long it waits.
        sender.send("look", encode_look(look(LOOKS)), 1)
        assert bus.arrived - before == WINDOW
        assert rows(engine, looks) == []
        blobs.refuses = False
        wait_until(lambda: len(rows(engine, looks)) == LOOKS + 1)
        assert bus.overflowed == 0
        sender.stop()
    stored = sorted(row.look_id for row in rows(engine, looks))
    assert stored == sorted(an_id(n) for n in range(LOOKS + 1))


def test_what_comes_without_a_window_is_bounded_in_bytes(
    mosquitto: Mosquitto, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 200_000
    monkeypatch.setattr("cloud.ingest.RETRY_S", (0.05, 0.2))
    monkeypatch.setattr("cloud.bus.INBOX_BYTES", limit)
    store = StalledStore(engine)
    with ingesting(mosquitto, engine, tmp_path, batch=8) as ingest:
        ingest._store = store
        bus, sender = ingest._bus, Sender(mosquitto.port)
        for n in range(WORDS):
            sender.send("telemetry", telemetry(n), 0)
        wait_until(lambda: bus.overflowed > 0)
        wait_until(lambda: bus.arrived + bus.overflowed >= WORDS)
        assert bus.held_bytes <= limit
        store.refuses = False
        wait_until(lambda: bus.held_bytes == 0 and ingest.problem == "")
        # And it hears again.
        sender.send("telemetry", telemetry(WORDS), 0)
        wait_until(lambda: str(NOW + WORDS) in rows(engine, devices)[0].telemetry)
        sender.stop()


def telemetry(n: int) -> bytes:
    """A few kilobytes of a device's figures."""
    return to_json(
        Telemetry(
            device="cam-1", at=NOW + n, uptime_s=1, frames=n, fps=1, invoke_ms=1, sightings=1,
            looks_kept=1, spool_looks=0, spool_bytes=0, spool_evicted=0,
            looks_dropped={f"{'reason' * 19}{k}": k for k in range(32)},
        )
    )  # fmt: skip
