"""A device without a camera, in this process: the agent's own spool, session and uplink."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, final

from agent.base.clock import Clock, SystemClock
from agent.contract.codec import Look
from agent.contract.config import BrokerConfig, DeviceConfig, parse_config
from agent.contract.ids import new_id
from agent.contract.messages import Reported, Status, Telemetry, to_json
from agent.contract.topics import Topics
from agent.daemon import HEARD
from agent.notebook import Notebook
from agent.session import Session
from agent.spool import Spool
from agent.threads import Loop
from agent.twin import Twin
from agent.uplink import Reports, Uplink
from cloud.config import parse_cloud_config
from cloud.worker import Worker
from tests.faults.oracle import Count, recount
from tests.makers import Keys, jpeg, meta
from tests.programs import wait_for

STOP_S = 10.0
PICTURE = jpeg(1)


@final
class Device:
    """Sends what is put while entered; entered again it goes on where it was."""

    def __init__(
        self, root: Path, url: str, name: str = "cam-1", *, clock: Clock | None = None,
        spool: int = 10**8, folder: str = "", **broker: Any,
    ) -> None:  # fmt: skip
        """Prepare a device.

        Args:
            root: Folder of the run; the device's own lies in it.
            url: Broker, or the proxy before it.
            name: Its id.
            clock: Time.
            spool: Bound in bytes.
            folder: Name of its state folder; empty: its id.
            broker: More of `[broker]`.
        """
        self.name = name
        self.folder = root / (folder or name)
        self.clock = clock or SystemClock()
        self.rng = random.Random(f"{name} {folder}")
        self.config: DeviceConfig = parse_config(
            {
                "device": name,
                "state_dir": str(self.folder),
                "camera": [{"name": "road", "uri": "scene://1"}],
                "broker": {"url": url, **broker},
                "spool": {"ledger": True, "max_bytes": spool, "min_free_bytes": 0},
            },
            "test",
        )
        self.put_at: dict[str, float] = {}
        """Monotonic seconds at which looks were accepted."""
        self.worth: dict[str, float] = {}

    def __enter__(self) -> "Device":
        self.spool = Spool(self.folder / "spool", self.config.spool, self.clock)
        self._notebook = Notebook(self.folder)
        self._instance = self.rng.randbytes(4).hex()
        topics = Topics()
        self.session = Session(
            self.config.broker,
            self.name,
            (topics.of(self.name, "status"), to_json(self._status(online=False))),
            tuple(topics.of(self.name, channel) for channel in HEARD),
            self.rng,
        )
        reports = Reports(self.name, self._instance, self._status, self._reported, self._telemetry)
        twin = Twin(self.config, self._notebook, self.clock, Keys())
        self.uplink = Uplink(
            self.session, topics, self.spool, self._notebook, twin, reports, self.clock, self.rng
        )
        self.loop = Loop("uplink", self.uplink.run, lambda: self.uplink.progress)
        self.session.start()
        self.loop.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        assert self.loop.stop(STOP_S)
        self.session.stop()
        self.spool.close()
        self._notebook.close()

    def ask(self) -> None:
        """Ask it to end, so that many end at once."""
        self.loop.ask()
        self.session.wake.set()
        self.session.link._stop.set()

    def put(
        self, count: int = 1, *, worth: float | None = None, jpeg: bytes = PICTURE, **about: Any
    ) -> list[str]:
        """Accept looks, of random worth unless one is given; return the ids of all."""
        looks = [self._look(jpeg, worth, about) for _ in range(count)]
        self.spool.put(looks)
        now = time.monotonic()
        self.put_at.update({look.meta.look_id: now for look in looks})
        self.worth.update({look.meta.look_id: look.meta.worth for look in looks})
        self.session.wake.set()
        return [look.meta.look_id for look in looks]

    @property
    def waiting(self) -> int:
        """Looks in the spool."""
        return self.spool.totals()[0]

    def _look(self, picture: bytes, worth: float | None, about: dict[str, Any]) -> Look:
        found = meta(
            look_id=new_id(time.time(), self.rng.randbytes(10)),
            device=self.name,
            worth=round(self.rng.random(), 3) if worth is None else worth,
            **about,
        )
        return Look(found, picture)

    def _status(self, *, online: bool = True) -> Status:
        problems = self.uplink.problems if online else ()
        return Status(
            device=self.name, online=online, at=time.time(), problems=problems,
            instance=self._instance,
        )  # fmt: skip

    def _reported(self) -> Reported:
        return Reported(
            device=self.name, at=time.time(), agent="0.1.0", profile="traffic-signs", model="m"
        )

    def _telemetry(self) -> Telemetry:
        waiting, size = self.spool.totals()
        return Telemetry(
            device=self.name, at=time.time(), uptime_s=0, frames=0, fps=0, invoke_ms=0,
            sightings=0, looks_kept=0, looks_dropped={}, spool_looks=waiting, spool_bytes=size,
            spool_evicted=self.spool.evicted,
        )  # fmt: skip


@contextmanager
def working(root: Path, url: str, **broker: Any) -> Iterator[Worker]:
    """The cloud's worker in this process; it labels nothing."""
    config = parse_cloud_config(
        {
            "state_dir": str(root / "cloud"),
            "broker": BrokerConfig(url=url, **broker).model_dump(),
            "label": {"enabled": False},
        },
        "test",
    )
    with Worker(config) as worker:
        worker.bus.wait(STOP_S)
        yield worker


def drained(*devices: Device, limit_s: float = 60.0) -> Count:
    """Wait until no look waits on any device, then count."""
    wait_for("all spools are empty", lambda: not any(d.waiting for d in devices), limit_s)
    root = devices[0].folder.parent
    return recount([device.folder for device in devices], root / "cloud")
