"""Numbers and states as a person reads them. Pure."""

import time
from typing import Final

from agent.contract.messages import CameraReport

STATE_STYLES: Final = {
    "provisional": "yellow",
    "confirmed": "green",
    "revised": "magenta",
}
CAMERA_STYLES: Final = {"ok": "green", "starting": "yellow", "ended": "cyan"}
"""All other states of a camera are red."""

_STEPS: Final = ((86_400, "d", 2), (3_600, "h", 2), (60, "min", 1))
"""Seconds of a unit, its name, and how many of them are needed for its use."""


def age(seconds: float) -> str:
    """Return a duration in whole units, e.g. `3 min`; a negative one (the clock went back) is 0."""
    whole = max(0, round(seconds))
    for length, unit, least in _STEPS:
        if (count := round(whole / length)) >= least and whole >= length:
            return f"{count} {unit}"
    return f"{whole} s"


def size(count: float) -> str:
    """Return a number of bytes in its decimal unit, e.g. `2.4 kB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def clock_time(at: float, now: float) -> str:
    """Return a local time of day; with its date where it was not within the last day."""
    form = "%H:%M:%S" if abs(now - at) < 86_400 else "%m-%d %H:%M"
    return time.strftime(form, time.localtime(at))


def camera_line(report: CameraReport, now: float) -> str:
    """Return a camera's state in one line."""
    detail = f": {report.detail}" if report.detail else ""
    return f"{report.state} for {age(now - report.since)}{detail}"
