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

_STEPS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def age(seconds: float) -> str:
    """Return a duration in its largest unit, e.g. `3 min`; negative ones (a clock that was set
    back) count as now.
    """  # noqa: D205
    for size, unit in _STEPS:
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


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
