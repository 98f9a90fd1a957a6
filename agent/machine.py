"""Facts about the machine: temperature, disk, clock. Adapter."""

import shutil
from pathlib import Path
from typing import Final

CLOCK_FLOOR: Final = 1_764_000_000.0
"""November 2025: a clock before this project existed is wrong."""


def temperature_c() -> float | None:
    """Return the hottest thermal zone in degrees Celsius; None where the kernel shows none."""
    readings = []
    for path in Path("/sys/class/thermal").glob("thermal_zone*/temp"):
        try:
            readings.append(int(path.read_text()) / 1000)
        except (OSError, ValueError):
            continue
    return max(readings, default=None)


def clock_synced(now: float) -> bool:
    """Tell whether the clock can be right: after the floor, and not known to be unsynchronised.

    systemd-timesyncd leaves a mark once it has set the clock; where it does not run, only the
    floor counts.
    """
    timesync = Path("/run/systemd/timesync")
    return now >= CLOCK_FLOOR and (not timesync.is_dir() or (timesync / "synchronized").exists())


def free_bytes(folder: Path) -> int:
    """Return the free space of the folder's file system.

    Raises:
        OSError: the folder is not there.
    """
    return shutil.disk_usage(folder).free
