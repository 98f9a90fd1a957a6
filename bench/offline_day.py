"""One simulated day with the broker away for eight hours.

    python -m bench.offline_day [--json] [--seed N]

The device's own spool (on a real disk) and its own sending, a clock that jumps from event to
event, and a slow link in between: bytes take their time, the broker acknowledges, the cloud sends
its receipt a second later. Looks come all day, at random; in the morning of the outage the agent
is restarted once. The spool is too small for the outage on purpose: what it keeps is the question.
Printed: what was lost (nothing may be), the most bytes in the spool against its bound, the share
of the most valuable looks that the bound can hold which arrived, how far the backlog went in
order of value, and how long live looks took, on a quiet link and beside the draining backlog.
Goals: lost 0, within the bound, 100 % of the top; live p95 while draining <= 5 s.
"""

import argparse
import heapq
import json
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from agent.contract.codec import decode_look
from agent.contract.config import SpoolConfig
from agent.sending import Sending
from agent.session import Acked, Session
from agent.spool import Spool
from agent.spool_files import read_spool
from bench.looks import made_up
from cloud.demo.recount import read_ledger

DAY_S = 86_400.0
AWAY_S = (8 * 3_600.0, 16 * 3_600.0)
RESTART_S = 12 * 3_600.0
LOOKS_A_DAY = 8_640
SPOOL_BYTES = 2_000_000
LINK_BYTES_S = 4_000.0
ROUND_TRIP_S = 0.3
RECEIPT_S = 1.0
IN_FLIGHT = 8
TICK_S = 0.5
RECONNECT_S = 30.0
LIVE_GOAL_S = 5.0


@dataclass
class Clock:
    """Time as the simulation tells it."""

    at: float = 0.0

    def now(self) -> float:
        """Return unix seconds."""
        return 1_780_000_000.0 + self.at

    def monotonic(self) -> float:
        """Return seconds since the day began."""
        return self.at


@dataclass
class Wire:
    """A link of so many bytes a second, the broker behind it, and the cloud behind that."""

    clock: Clock
    up: bool = True
    in_flight: int = IN_FLIGHT
    link: Any = field(default_factory=lambda: SimpleNamespace(max_packet=None, too_large=False))
    free_at: float = 0.0
    mid: int = 0
    on_wire: int = 0
    events: list[tuple[float, int, str]] = field(default_factory=list)
    """(when, message id, look id): the broker's word where there is an id, else a receipt."""
    stored: dict[str, float] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    @property
    def room(self) -> int:
        """How many more messages may be on their way."""
        return self.in_flight - self.on_wire

    def publish(self, _topic: str, payload: bytes) -> int:
        """Send one look; its words come later."""
        look_id = decode_look(payload).meta.look_id
        self.mid += 1
        self.on_wire += 1
        self.free_at = max(self.free_at, self.clock.at) + len(payload) / LINK_BYTES_S
        heapq.heappush(self.events, (self.free_at + ROUND_TRIP_S, self.mid, look_id))
        self.order.append(look_id)
        return self.mid

    def cut(self) -> None:
        """Lose all that is on its way."""
        self.up, self.on_wire = False, 0
        self.events.clear()


class Day:
    """The day, event by event."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.rng = random.Random(seed)
        self.clock = Clock()
        self.wire = Wire(self.clock)
        self.made: dict[str, tuple[float, float]] = {}
        """Look id to when it was made, and its value."""
        self.most_bytes = 0
        self._open()

    def _open(self) -> None:
        self.spool = Spool(
            self.folder,
            SpoolConfig(max_bytes=SPOOL_BYTES, min_free_bytes=0, ledger=True),
            self.clock,
        )
        session = cast("Session", self.wire)
        self.sending = Sending(session, "cam-1", "look", self.spool, self.clock, random.Random(1))

    def run(self) -> None:
        """Live the day, and a little longer until all has arrived."""
        arrivals = sorted(self.rng.uniform(0.0, DAY_S) for _ in range(LOOKS_A_DAY))
        restarted = False
        tick = 0.0
        while arrivals or self.spool.totals()[0]:
            coming = arrivals[0] if arrivals else float("inf")
            word = self.wire.events[0][0] if self.wire.events else float("inf")
            self.clock.at = min(tick, coming, word)
            if not restarted and self.clock.at >= RESTART_S:
                restarted = True
                self.spool.close()
                self._open()
            if self.clock.at == coming:
                arrivals.pop(0)
                self._accept()
            elif self.clock.at == word:
                self._hear()
            else:
                tick += TICK_S
                self._connect()
            if self.wire.up:
                self.sending.step()
        self.spool.close()

    def _connect(self) -> None:
        away = AWAY_S[0] <= self.clock.at < AWAY_S[1] + RECONNECT_S
        if away and self.wire.up:
            self.wire.cut()
        elif not away and not self.wire.up:
            self.wire.up = True
            self.sending.reconnected()

    def _accept(self) -> None:
        worth = self.rng.random()
        look = made_up(self.rng, self.clock.now(), worth, self.rng.randint(600, 2_200))
        self.made[look.meta.look_id] = (self.clock.at, worth)
        self.spool.put([look])
        self.most_bytes = max(self.most_bytes, self.spool.totals()[1])

    def _hear(self) -> None:
        _, mid, look_id = heapq.heappop(self.wire.events)
        if mid:
            self.wire.on_wire -= 1
            self.sending.acked(Acked(1, mid, accepted=True, unheard=False, reason="Success"))
            heapq.heappush(self.wire.events, (self.clock.at + RECEIPT_S, 0, look_id))
        else:
            self.wire.stored.setdefault(look_id, self.clock.at)
            self.sending.receipted([look_id])


def figures(day: Day) -> dict[str, Any]:
    """Return what the day shows."""
    back = AWAY_S[1] + RECONNECT_S
    accepted, evicted = read_ledger(day.folder / "ledger.log")
    stored = day.wire.stored
    missed = {i for i, (at, _) in day.made.items() if AWAY_S[0] <= at < AWAY_S[1]}
    arrived = missed & stored.keys()
    drained_at = max(stored[i] for i in arrived)
    value = {i: round(1_000 * worth) for i, (_, worth) in day.made.items()}
    # Of those made meanwhile, as many of the best as arrived at all; equals are as good.
    least = sorted((value[i] for i in missed), reverse=True)[len(arrived) - 1]
    order = [value[i] for i in dict.fromkeys(day.wire.order) if i in arrived]
    took = {i: at - day.made[i][0] for i, at in stored.items()}
    quiet = [s for i, s in took.items() if day.made[i][0] < AWAY_S[0] - 60]
    beside = [s for i, s in took.items() if back <= day.made[i][0] < drained_at]
    return {
        "looks": len(day.made),
        "lost": len(accepted.keys() - stored.keys() - evicted),
        "phantom": len(stored.keys() - accepted.keys()),
        "evicted": len(evicted),
        "left": len(read_spool(day.folder)),
        "spool_most_bytes": day.most_bytes,
        "spool_bound": SPOOL_BYTES,
        "missed": len(missed),
        "arrived_of_missed": len(arrived),
        "best_that_fit_arrived": round(sum(value[i] >= least for i in arrived) / len(arrived), 4),
        "backlog_steps_in_order": round(float(np.mean(np.diff(order) <= 0)), 4),
        "drain_s": round(drained_at - back, 1),
        "live_while_draining": len(beside),
        "live_quiet_s": seconds_of(quiet),
        "live_while_draining_s": seconds_of(beside),
        "live_goal_p95_s": LIVE_GOAL_S,
    }


def seconds_of(values: list[float]) -> dict[str, float]:
    """Return median, 95th percentile and maximum."""
    p50, p95, most = (round(float(x), 2) for x in np.percentile(values, (50, 95, 100)))
    return {"p50": p50, "p95": p95, "max": most}


def main() -> None:
    """Live the day and print its figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seed", type=int, default=20)
    options = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        day = Day(Path(folder), options.seed)
        day.run()
        found = figures(day)
    speed = DAY_S / (time.perf_counter() - started)
    found = {"seed": options.seed, **found, "times_real_time": round(speed)}
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name.replace('_', ' '):26} {value}")


if __name__ == "__main__":
    main()
