"""Facts about the machine: temperature, disk, clock. Adapter."""

import shutil
from pathlib import Path
from typing import Final

CLOCK_FLOOR: Final = 1_764_000_000.0
"""November 2025: a clock before this project existed is wrong."""
CLOCK_CEILING: Final = 2_840_000_000.0
"""The end of 2059: no device of this decade runs that long, but flat batteries say 2099."""


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
    """Tell whether the clock can be right: in its bounds, and not known to be unsynchronised.

    systemd-timesyncd leaves a mark once it has set the clock; where it does not run, only the
    bounds count.
    """
    timesync = Path("/run/systemd/timesync")
    possible = CLOCK_FLOOR <= now < CLOCK_CEILING
    return possible and (not timesync.is_dir() or (timesync / "synchronized").exists())


def free_bytes(folder: Path) -> int:
    """Return the free space of the folder's file system.

    Raises:
        OSError: the folder is not there.
    """
    return shutil.disk_usage(folder).free
