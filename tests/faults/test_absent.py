"""Row 5: the broker is away for longer than the spool can hold."""

import time
from itertools import pairwise
from pathlib import Path

import pytest

from agent.base.clock import SystemClock
from agent.contract.codec import decode_look
from agent.spool_files import read_spool
from tests.conftest import Mosquitto
from tests.faults.case import Case
from tests.faults.device import Device, drained, working
from tests.faults.oracle import judge
from tests.faults.proxy import Proxy
from tests.listener import Listener
from tests.programs import wait_for

LIMIT_S = 120.0
BOUND = 400_000
BATCH = 20
LOOK_BYTES = 4_096
TOPIC = "secondlook/cam-1/look"


class LaterClock(SystemClock):
    """The machine's clock; what lies behind can be made an hour older."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + LaterClock.ahead

    def monotonic(self) -> float:
        return super().monotonic() + LaterClock.ahead


def percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1)


@pytest.mark.fault(5)
def test_broker_away(
    case: Case, tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LaterClock, "ahead", 0.0)
    monkeypatch.setattr("agent.base.link.RECONNECT_S", (0.2, 2.0))
    most = 0
    with (
        working(tmp_path, mosquitto.url),
        Listener(mosquitto.url, filters=TOPIC) as listener,
        Proxy(mosquitto.port) as proxy,
        Device(tmp_path, proxy.url, clock=LaterClock(), spool=BOUND) as device,
    ):
        wait_for("connected", lambda: device.session.connected, LIMIT_S)
        proxy.refuse = True
        proxy.cut()
        wait_for("away", lambda: not device.session.connected, LIMIT_S)
        for _ in range(case.size(30, 1_000)):
            device.put(BATCH)
            files = (device.folder / "spool" / "looks").iterdir()
            most = max(most, sum(path.stat().st_size for path in files))
        LaterClock.ahead += 3_600.0
        worth = {look_id: round(1_000 * value) for look_id, value in device.worth.items()}
        kept = {item.name.look_id for item in read_spool(device.folder / "spool")}
        least = sorted(worth.values())[-len(kept)]
        proxy.refuse = False
        live: list[str] = []
        while device.spool.backlog(1, float("inf")) or len(live) < BATCH:
            live += device.put(worth=1.0)  # else a spool that is still full would not have it
            time.sleep(0.05)
        count = drained(device, limit_s=LIMIT_S)
    arrived: dict[str, float] = {}
    heard = zip(listener.heard[TOPIC], listener.heard_at[TOPIC], strict=True)
    for payload, at in heard:
        arrived.setdefault(decode_look(payload).meta.look_id, at)
    backlog = [worth[look_id] for look_id in arrived if look_id in kept]
    falling = sum(a >= b for a, b in pairwise(backlog))
    late = sorted(arrived[look_id] - device.put_at[look_id] for look_id in live)
    ends = [at for look_id, at in arrived.items() if look_id in kept]
    top = percent(sum(worth[look_id] >= least for look_id in kept), len(kept))
    order = percent(falling, len(backlog) - 1)
    case.record(
        len(worth), bound_bytes=BOUND, most_bytes=most, top_kept_percent=top,
        in_order_percent=order, drained_per_s=round(len(ends) / (max(ends) - min(ends)), 1),
        live_p95_s=round(late[len(late) * 95 // 100], 2), live=len(live),
    )  # fmt: skip
    judge(case, count, evicted=True)
    assert most <= BOUND + LOOK_BYTES
    assert top == 100.0
    assert order == 100.0
