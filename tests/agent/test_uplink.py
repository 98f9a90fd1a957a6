"""What goes up first when much has gathered."""

import queue
import random
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from agent.contract.config import Settings, SpoolConfig
from agent.contract.messages import Status
from agent.contract.topics import Topics
from agent.notebook import Note, Notebook
from agent.session import Acked, Session
from agent.spool import Spool
from agent.uplink import Reports, Uplink
from tests.makers import FakeClock, an_id, look


class Wire:
    """A session that takes all it has room for."""

    def __init__(self, in_flight: int) -> None:
        self.connected, self.connections, self.in_flight = True, 1, in_flight
        self.link = SimpleNamespace(max_packet=None, too_large=False, contested=False)
        self.inbox: queue.Queue[Any] = queue.Queue()
        self.acks: queue.SimpleQueue[Acked] = queue.SimpleQueue()
        self.wake = threading.Event()
        self.pending: set[int] = set()
        self.sent: list[str] = []

    @property
    def room(self) -> int:
        return self.in_flight - len(self.pending)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        self.sent.append(topic.rpartition("/")[2])
        self.pending.add(len(self.sent))
        return len(self.sent)

    def settle(self, ack: Acked) -> bool:
        self.pending.discard(ack.mid)
        return True


def test_looks_do_not_queue_behind_thousands_of_events(tmp_path: Path) -> None:
    clock, wire = FakeClock(), Wire(8)
    notebook = Notebook(tmp_path)
    spool = Spool(tmp_path / "spool", SpoolConfig(min_free_bytes=0), clock)
    notebook.note(
        [
            Note(an_id(n), "road", "provisional", "Stop", None, 0.9, 1.0, 2.0, 5, (0, 0, 9, 9), "m")
            for n in range(1_000)
        ]
    )
    spool.put([look(n) for n in range(40)])
    settings = Settings(telemetry_period_s=86_400)
    twin: Any = SimpleNamespace(retry=lambda: False, orders=SimpleNamespace(settings=settings))
    status = Status(device="cam-1", online=True, at=0)
    reports: Any = Reports("cam-1", "i", *[lambda: status] * 3)  # type: ignore[arg-type]
    session, topics, rng = cast("Session", wire), Topics("secondlook"), random.Random(1)
    uplink = Uplink(session, topics, spool, notebook, twin, reports, clock, rng)
    for _ in range(60):
        uplink.step()
        clock.pass_(0.1)
        for mid in sorted(wire.pending):
            wire.acks.put(Acked(1, mid, accepted=True, unheard=False, reason="Success"))
    first = wire.sent[:20]
    assert first.count("look") >= 4, first
    assert wire.sent.count("event") >= 100, "nor do events wait for looks"
    spool.close()
    notebook.close()
