"""Rows 11 to 13: many devices at once, two with one id, and a cloud that does not listen."""

import re
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.conftest import Mosquitto
from tests.faults.case import Case
from tests.faults.device import Device, drained, working
from tests.faults.oracle import judge, recount
from tests.listener import Listener
from tests.programs import wait_for

LIMIT_S = 120.0
HERD = 200
CONNECTED = re.compile(r"^(\d+): New client connected from \S+ as (\S+)", re.MULTILINE)
SETTLE_S = 10.0
"""Within it, two that share an id may find out."""


def connects(broker: Mosquitto) -> list[tuple[int, str]]:
    """Second and client of each connection, by the broker's own log."""
    text = (broker.folder / "mosquitto.log").read_text()
    return [(int(at), client) for at, client in CONNECTED.findall(text)]


@pytest.mark.fault(11)
def test_thundering_herd(case: Case, tmp_path: Path, mosquitto: Mosquitto) -> None:
    rounds, back_s = case.size(1, 10), list[float]()
    with working(tmp_path, mosquitto.url), ExitStack() as entered:
        devices = [
            entered.enter_context(Device(tmp_path, mosquitto.url, f"cam-{n}")) for n in range(HERD)
        ]

        def all_connected() -> bool:
            return all(device.session.connected for device in devices)

        wait_for("all connected", all_connected, LIMIT_S)
        seen = len(connects(mosquitto))
        for _ in range(rounds):
            mosquitto.stop(kill=True)
            mosquitto.forget()
            for device in devices:
                device.put()
            mosquitto.start()
            started = time.monotonic()
            wait_for("all back", all_connected, LIMIT_S)
            back_s.append(round(time.monotonic() - started, 1))
            count = drained(*devices, limit_s=LIMIT_S)
        drained_s = round(time.monotonic() - started, 1)
        again = connects(mosquitto)[seen:]
        for device in devices:
            device.ask()
    per_second = Counter(at for at, _ in again)
    case.record(
        HERD * rounds, peak_connects_per_s=max(per_second.values()), all_back_s=max(back_s),
        drained_s=drained_s, connects_per_device=round(len(again) / HERD / rounds, 2),
    )  # fmt: skip
    judge(case, count)


@pytest.mark.fault(12)
def test_two_with_one_id(case: Case, tmp_path: Path, mosquitto: Mosquitto) -> None:
    seconds = case.size(30, 600)
    with (
        working(tmp_path, mosquitto.url),
        Listener(mosquitto.url, filters="secondlook/cam-1/status") as listener,
        Device(tmp_path, mosquitto.url, "cam-1") as one,
        Device(tmp_path, mosquitto.url, "cam-1", folder="twin") as other,
    ):
        one.put(5)
        other.put(5)
        time.sleep(SETTLE_S)
        begun = time.monotonic()
        before = len([client for _, client in connects(mosquitto) if client == "cam-1"])
        one.put(5)
        other.put(5)
        time.sleep(seconds - SETTLE_S)
        minutes = (time.monotonic() - begun) / 60
        after = len([client for _, client in connects(mosquitto) if client == "cam-1"])
        wait_for("an alarm", lambda: "cam-1" in str(told(listener)), LIMIT_S)
        alarm = told(listener)
    # Whoever sorts it out takes one away; then the other comes.
    for device in (one, other):
        with working(tmp_path, mosquitto.url), device:
            drained(device, limit_s=LIMIT_S)
    count = recount([one.folder, other.folder], tmp_path / "cloud")
    per_minute = round((after - before) / minutes / 2, 1)
    case.record(seconds, connects_per_min_each=per_minute, connects_at_first=before)
    judge(case, count)
    assert "cam-1" in alarm
    # In half a minute each may come back once or twice; to hurry is to do so every second.
    assert per_minute < 2 if case.form == "long" else after - before <= 4


def told(listener: Listener) -> str:
    """What the device last complained of."""
    heard = listener.json("secondlook/cam-1/status")
    return "; ".join(problem for status in heard for problem in status["problems"])


@pytest.mark.fault(13)
def test_nobody_listens(
    case: Case, tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is away, and the broker's queue for it is full: it drops, and says nothing."""
    queue, seconds = case.size(50, 1_000), case.size(12, 600)
    # As if the day were shorter: what got no receipt is sent again soon.
    monkeypatch.setattr("agent.sending.RESEND_S", (1.0, 8.0))
    mosquitto.stop()
    mosquitto.extra = f"max_queued_messages {queue}\n"
    mosquitto.start()
    rss: list[int] = []
    with ExitStack() as entered:
        with working(tmp_path, mosquitto.url):
            pass  # the broker knows it now, and keeps its session
        devices = [
            entered.enter_context(Device(tmp_path, mosquitto.url, f"cam-{n}")) for n in range(8)
        ]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for device in devices:
                device.put(5)
            rss.append(psutil.Process(mosquitto.pid).memory_info().rss)
            time.sleep(seconds / 24)
        sent = sum(n * times for d in devices for times, n in d.spool.by_attempts().items())
        with working(tmp_path, mosquitto.url):
            count = drained(*devices, limit_s=LIMIT_S)
    case.record(
        sent, queue=queue, sent_meanwhile=sent, broker_rss_mb=round(max(rss) / 1e6, 1),
    )  # fmt: skip
    judge(case, count)
    assert sent > queue, "the queue was never full"
