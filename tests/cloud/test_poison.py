"""One device's reports stop nobody else's looks."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from agent.contract.codec import encode_look
from agent.contract.messages import Reported, to_json
from cloud.bus import Arrived
from cloud.schema import devices, looks, quarantine
from tests.cloud.taking import Taking
from tests.cloud.test_ingest import ingesting, rows
from tests.conftest import Mosquitto
from tests.device_sim import DeviceSim, wait_until
from tests.makers import look

GOOD = 600
NESTED = "[" * 400 + "]" * 400
TOO_DEEP = "[" * 30_000 + "]" * 30_000


@pytest.mark.parametrize("value", [r'"\ud800"', r'{"\ud800": 1}', NESTED, TOO_DEEP])
def test_a_report_that_cannot_be_stored_is_set_aside_alone(
    engine: Engine, tmp_path: Path, value: str
) -> None:
    report = (
        '{"device": "evil", "at": 1, "agent": "1", "profile": "p", "model": "m",'
        f' "config": {{"a": {value}}}}}'
    ).encode()
    messages = [
        Arrived("secondlook/cam-1/look", encode_look(look(n)), 1, n, 1) for n in range(GOOD)
    ]
    for at in (500, 350, 200, 50):
        messages.insert(at, Arrived("secondlook/evil/reported", report, 1, GOOD + at, 1))
    Taking(engine, tmp_path).arrive(messages)
    with engine.connect() as connection:
        stored = connection.execute(sa.select(sa.func.count()).select_from(looks)).scalar_one()
        aside = connection.execute(sa.select(quarantine.c.device)).scalars().all()
        known = connection.execute(sa.select(devices.c.device)).scalars().all()
    assert stored == GOOD
    assert aside == ["evil"] * 4
    assert known == ["cam-1"]


def test_a_report_that_fails_while_it_is_stored_is_set_aside_alone(
    mosquitto: Mosquitto, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def buggy(message: Any) -> bytes:
        if isinstance(message, Reported) and message.device == "evil":
            raise ZeroDivisionError("a bug")
        return to_json(message)

    monkeypatch.setattr("cloud.store.to_json", buggy)
    with (
        ingesting(mosquitto, engine, tmp_path),
        DeviceSim(mosquitto.port, "evil") as other,
        DeviceSim(mosquitto.port) as device,
    ):
        device.send(*(look(n) for n in range(GOOD)))
        other.report()
        wait_until(lambda: device.waiting == 0)
        wait_until(lambda: rows(engine, quarantine) != [])
    aside = {(row.device, row.reason) for row in rows(engine, quarantine)}
    assert aside == {("evil", "ZeroDivisionError: a bug")}
    assert len(rows(engine, looks)) == GOOD
