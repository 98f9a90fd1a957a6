"""A Raspberry Pi's CSI camera: `rpicam-vid`, or the system's picamera2. Adapter.

`rpicam://0?width=1280&height=720&fps=15` is the first camera that `rpicam-hello --list-cameras`
shows.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from agent.base.clock import Clock
from agent.camera.pipe import PipeSource, Program, RawFormat
from agent.camera.uri import parse_local
from agent.contract.errors import BadContentError, UnavailableError

PROGRAMS: Final = ("rpicam-vid", "libcamera-vid")
"""The name since Debian 12's later images, and the one before."""
SYSTEM_PYTHON: Final = "/usr/bin/python3"
"""Where apt puts picamera2; a virtual environment does not see it, nor should it."""
HELPER: Final = Path(__file__).with_name("picamera2_child.py")
ALIGN: Final = 64
"""`rpicam-vid` writes rows as they lie in memory, padded to 64 bytes on a Pi 5."""
PROBE_S: Final = 20.0


def rpicam_source(
    uri: str, clock: Clock, open_timeout_s: float, read_timeout_s: float
) -> PipeSource:
    """Make the source of a Pi's CSI camera.

    Raises:
        BadContentError: a parameter is unknown or out of range.
    """
    parsed = parse_local(uri, "width", "height", "fps")
    if not parsed.place.isdecimal():
        raise BadContentError(f"{uri}: name a camera, e.g. rpicam://0")
    width = parsed.whole("width", 1280, ALIGN, 7680)
    height = parsed.whole("height", 720, 2, 4320)
    if width % ALIGN or height % 2:
        raise BadContentError(
            f"{uri}: {width}x{height}: use a width divisible by {ALIGN} and an even height"
        )
    fps = parsed.whole("fps", 15, 1, 240)
    return PipeSource(
        f"rpicam camera {parsed.place}",
        lambda: choose_program(parsed.place, width, height, fps),
        clock,
        open_timeout_s=open_timeout_s,
        read_timeout_s=read_timeout_s,
    )


def choose_program(
    camera: str, width: int, height: int, fps: int, python: str = SYSTEM_PYTHON
) -> Program:
    """Return what to run on this machine.

    Raises:
        UnavailableError: neither program is there; names the apt packages.
    """
    for name in PROGRAMS:
        if shutil.which(name):
            command = (
                name, "--camera", camera, "--width", str(width), "--height", str(height),
                "--framerate", str(fps), "--codec", "yuv420", "--timeout", "0",
                "--nopreview", "--flush", "--output", "-",
            )  # fmt: skip
            return Program(command, "rpicam-apps-lite", RawFormat(width, height, "i420"))
    if not _has_picamera2(python):
        raise UnavailableError(
            f"rpicam camera {camera}: neither rpicam-vid nor picamera2 is installed:"
            " apt install rpicam-apps-lite (or python3-picamera2)"
        )
    helper = (python, "-I", str(HELPER), camera, str(width), str(height), str(fps))
    return Program(helper, "python3-picamera2", RawFormat(width, height, "bgr"))


def _has_picamera2(python: str) -> bool:
    probe = "import importlib.util as u, sys; sys.exit(u.find_spec('picamera2') is None)"
    try:
        found = subprocess.run(
            [python, "-I", "-c", probe], check=False, capture_output=True, timeout=PROBE_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return found.returncode == 0
