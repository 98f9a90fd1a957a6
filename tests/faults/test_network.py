"""Rows 9 and 10: connections that are dead without a word, and ones that hardly live."""

import time
from pathlib import Path

import pytest

from agent.base.link import Link
from cloud.demo.recount import read_ledger
from tests.conftest import Mosquitto
from tests.faults.case import Case
from tests.faults.device import Device, drained, working
from tests.faults.oracle import LEDGER, judge
from tests.faults.proxy import Proxy
from tests.programs import wait_for

LIMIT_S = 60.0
KEEPALIVE_S = 5
LINE_BYTES_PER_S = 20_000


def noticed_s(links: dict[str, Link]) -> dict[str, float]:
    """Wait until all links know that they are down; return after how many seconds each did."""
    started, found = time.monotonic(), dict[str, float]()

    def all_know() -> bool:
        for name in links.keys() - found.keys():
            if links[name].problem:
                found[name] = round(time.monotonic() - started, 2)
        return len(found) == len(links)

    wait_for("all have noticed", all_know, LIMIT_S, 0.02)
    return found


@pytest.mark.fault(9)
def test_half_open(case: Case, tmp_path: Path, mosquitto: Mosquitto) -> None:
    slowest, rounds = 0.0, case.size(1, 30)
    with (
        Proxy(mosquitto.port) as proxy,
        working(tmp_path, proxy.url, keepalive_s=KEEPALIVE_S) as worker,
        Device(tmp_path, proxy.url, keepalive_s=KEEPALIVE_S) as device,
    ):
        links = {"agent": device.session.link, "worker": worker.bus.link}
        for _ in range(rounds):
            wait_for("connected", lambda: all(link.connected for link in links.values()), LIMIT_S)
            device.put(3)
            wait_for("receipts", lambda: not device.waiting, LIMIT_S)
            proxy.half_open()
            device.put(3)
            slowest = max(slowest, *noticed_s(links).values())
        count = drained(device)
    case.record(rounds, noticed_s=slowest, keepalive_s=KEEPALIVE_S)
    judge(case, count)
    assert slowest < 1.5 * KEEPALIVE_S


@pytest.mark.fault(10)
def test_bad_line(case: Case, tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Half a second each way, 20 kB/s, three of ten connections reset within a second."""
    rng, seconds = case.rng, case.size(15, 600)
    with (
        Proxy(mosquitto.port) as proxy,
        working(tmp_path, mosquitto.url),
        Device(tmp_path, proxy.url) as device,
    ):
        proxy.delay_s, proxy.bytes_per_s = 0.5, LINE_BYTES_PER_S
        proxy.life_s = lambda: rng.uniform(0, 1) if rng.random() < 0.3 else rng.uniform(2, 8)
        proxy.cut()
        started = time.monotonic()
        while time.monotonic() - started < seconds:
            if device.waiting < 100:
                device.put(20)
            time.sleep(0.2)
        took = time.monotonic() - started
        receipts, connects = device.uplink.receipted, len(proxy.arrivals)
    with working(tmp_path, mosquitto.url), Device(tmp_path, mosquitto.url) as device:
        count = drained(device)
    size = max(read_ledger(device.folder / LEDGER)[0].values())  # all are alike
    case.record(
        proxy.resets, resets=proxy.resets, receipts=receipts,
        goodput_percent=round(100 * receipts * size / took / LINE_BYTES_PER_S, 1),
        reconnects_per_min=round(60 * connects / took, 1),
    )  # fmt: skip
    judge(case, count)
    assert receipts, "no progress"
