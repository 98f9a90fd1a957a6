"""One device and one worker as real processes, and how a run comes to rest."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.alive import read_alive
from agent.contract.ids import new_id
from agent.spool_files import read_spool
from cloud.demo.recount import rows_of
from tests.faults.forks import HURRIED, Fork, Nursery
from tests.faults.oracle import LEDGER, Count, recount
from tests.programs import Program, wait_for

DEVICE = """
device = "{device}"
profile = "traffic-signs"
state_dir = "{root}/{device}"
[[camera]]
name = "road"
uri = "scene://{seed}?frames={frames}&signs_per_minute=240"
fps = {fps}
[broker]
url = "{broker}"
keepalive_s = {keepalive}
[spool]
ledger = true
max_bytes = {spool}
[limits]
looks_per_day = 1000000
bytes_per_day = 10000000000
max_threshold = 1.0
[settings]
threshold = 1.0
looks_per_day = 1000000
bytes_per_day = 10000000000
looks_per_sighting = 8
duplicate_bits = 0
hold_s = 0
"""
WORKER = """
state_dir = "{root}/cloud"
[broker]
url = "{broker}"
[label]
enabled = {labels}
base_url = "{llm}"
api_key_env = ""
daily_cap_usd = 100.0
"""
FOREVER = 10_000_000
LLM_NOWHERE = "http://127.0.0.1:9/v1"


class Stage:
    """Folders, files and programs of a run in `root`."""

    def __init__(
        self, root: Path, broker: str, nursery: Nursery, llm: str = "", *, hurried: bool = False
    ) -> None:
        """Write both files.

        Args:
            root: A folder of this run's own.
            broker: Its address, or that of a proxy before it.
            nursery: Where programs come from.
            llm: Address of a labeller; empty: nothing is labelled.
            hurried: Whether waiting times are cut short. If not, each agent is started from
                nothing, as in the field.
        """
        self.root = root
        self._broker = broker
        self._llm = llm
        constants = HURRIED if hurried else {}
        agent = ("run", "--config", str(root / "device.toml"))
        self.agent: Program | Fork
        if hurried:
            self.agent = nursery.agents.program(*agent, log=root / "agent.log", constants=constants)
        else:
            self.agent = Program("agent", *agent, log=root / "agent.log")
        self.worker = nursery.workers.program(
            "run", "--config", str(root / "cloud.toml"), log=root / "worker.log",
            constants=constants,
        )  # fmt: skip
        words = {
            "root": root, "broker": broker, "labels": str(bool(llm)).lower(),
            "llm": llm or LLM_NOWHERE,
        }  # fmt: skip
        (root / "cloud.toml").write_text(WORKER.format(**words))
        self.write_device()

    def write_device(
        self, *, frames: int = FOREVER, fps: float = 10, spool: int = 10**8, keepalive: int = 10
    ) -> None:
        """Write the device's file; it counts from the next start."""
        text = DEVICE.format(
            device="cam-1", root=self.root, broker=self._broker, seed=3, frames=frames, fps=fps,
            spool=spool, keepalive=keepalive,
        )  # fmt: skip
        (self.root / "device.toml").write_text(text)

    @property
    def device(self) -> Path:
        """The device's state folder."""
        return self.root / "cam-1"

    @property
    def cloud(self) -> Path:
        """The worker's state folder."""
        return self.root / "cloud"

    def fresh_look(self) -> Callable[[], bool]:
        """A condition: a look that was kept after this call is in the ledger."""
        path, now = self.device / LEDGER, new_id(time.time(), bytes(10))

        def kept() -> bool:
            lines = path.read_text().splitlines() if path.exists() else []
            return any(line.split()[1] > now for line in lines[-20:] if line.count(" ") == 2)

        return kept

    def stored(self) -> int:
        """Looks in the store."""
        rows = rows_of(self.cloud / "secondlook.sqlite", "SELECT COUNT(*) FROM looks")
        return int(rows[0][0]) if rows else 0

    def fresh_look_is_stored(self) -> Callable[[], bool]:
        """A condition: a look that was kept after this call is in the store."""
        now = new_id(time.time(), bytes(10))
        query = f"SELECT COUNT(*) FROM looks WHERE look_id > '{now}'"  # noqa: S608 - ours
        return lambda: rows_of(self.cloud / "secondlook.sqlite", query) not in ([], [(0,)])

    def rest(self, limit_s: float = 600.0) -> Count:
        """Let the device see no more, its spool drain, and both end politely; then count.

        The worker runs already, and the device does not.
        """
        self.write_device(frames=1)
        self.agent.start()
        spool = self.device / "spool"
        wait_for("the agent is up", self._agent_is_up, 60)
        wait_for("the spool is empty", lambda: not read_spool(spool), limit_s)
        if self._llm:
            database = self.cloud / "secondlook.sqlite"
            waiting = "SELECT COUNT(*) FROM looks WHERE outcome IS NULL"
            wait_for("all answered", lambda: rows_of(database, waiting) == [(0,)], limit_s)
        assert self.agent.stop(signal.SIGTERM) == 0, self.agent.output[-3000:]
        assert self.worker.stop(signal.SIGTERM) == 0, self.worker.output[-3000:]
        return recount([self.device], self.cloud)

    def _agent_is_up(self) -> bool:
        alive = read_alive(self.device)
        return alive is not None and alive.pid == self.agent.pid


@contextmanager
def staged(*args: Any, **options: Any) -> Iterator[Stage]:
    """A stage whose programs do not outlive it; arguments as of `Stage`."""
    stage = Stage(*args, **options)
    try:
        yield stage
    finally:
        stage.agent.stop(signal.SIGKILL)
        stage.worker.stop(signal.SIGKILL)
