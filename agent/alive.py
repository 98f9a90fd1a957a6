"""The daemon's sign of life: one small file in the state folder, for the field CLI. Adapter.

Not synced: it tells of a process, so it means nothing after a power cut, and an SD card is spared
a sync every few seconds.
"""

import os
from pathlib import Path
from typing import Final

from pydantic import Field

from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.messages import (
    Count,
    Message,
    Reported,
    Status,
    Telemetry,
    Text,
    Time,
    from_json,
    to_json,
)

FILE: Final = "alive.json"
PERIOD_S: Final = 2.0
FRESH_S: Final = 10.0
"""A sign of life counts for so long."""


class Alive(Message):
    """What a running daemon says to those who look into its state folder."""

    at: Time
    pid: int = Field(ge=1, le=2**22)
    namespace: Text
    """Of process ids: in another one (a container) `pid` says nothing."""
    broker: Text
    """What keeps it from the broker; empty: connected."""
    looks: Count
    """Looks accepted since the start."""
    receipts: Count
    receipted_at: Time | None
    """When the newest receipt came; None: none since the start."""
    verdicts: Count
    attempts: dict[int, Count] = Field(default_factory=dict, max_length=64)
    """Waiting looks by how often they were sent without a receipt."""
    status: Status
    reported: Reported
    telemetry: Telemetry

    def runs(self, now: float) -> bool:
        """Tell whether the daemon that left this still runs, at unix time `now`."""
        if abs(now - self.at) > FRESH_S:
            return False
        return self.namespace != pid_namespace() or _exists(self.pid)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # asks, and sends nothing
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def pid_namespace() -> str:
    """Return the name of this process's namespace of process ids; empty where it has none."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - no path, a word like pid:[4026]
    except OSError:
        return ""


def write_alive(folder: Path, alive: Alive) -> None:
    """Leave a sign of life.

    Raises:
        OSError: the disk refused.
    """
    part = folder / f"{FILE}.tmp"
    part.write_bytes(to_json(alive))
    part.replace(folder / FILE)


def read_alive(folder: Path) -> Alive | None:
    """Return the latest sign of life; None where there is none that can be read.

    Raises:
        UnavailableError: there may be one, but we are not let in.
    """
    try:
        return from_json(Alive, (folder / FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError, BadContentError):
        return None
    except OSError as error:
        raise UnavailableError(f"{folder / FILE}: {error.strerror}; use sudo") from error


def remove_alive(folder: Path) -> None:
    """Take the sign of life away: the daemon ends on purpose."""
    (folder / FILE).unlink(missing_ok=True)
