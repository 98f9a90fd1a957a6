"""A USB camera, or whatever else Linux shows as /dev/videoN. Adapter.

`v4l2:///dev/video0?width=1280&height=720&fps=15&fourcc=MJPG`; what is not given is the driver's
choice. A camera that chooses otherwise is used as it is, and the difference is logged.
"""

import logging
import os
import re
from typing import Final

import cv2

from agent.camera.base import Shot
from agent.camera.decoder import next_image, open_video
from agent.camera.uri import parse_local
from agent.contract.errors import BadContentError, UnavailableError

log = logging.getLogger(__name__)

_FOURCC: Final = re.compile(r"[A-Za-z0-9 ]{4}")


class V4l2Source:
    """One Video4Linux device; the newest frame wins."""

    live = True
    still = False

    def __init__(self, uri: str) -> None:
        """Check the URI.

        Raises:
            BadContentError: a parameter is unknown or out of range.
        """
        parsed = parse_local(uri, "width", "height", "fps", "fourcc")
        self._path = parsed.path
        self._wanted: dict[int, float] = {}
        fourcc = parsed.query.get("fourcc", "")
        if fourcc and not _FOURCC.fullmatch(fourcc):
            raise BadContentError(f"{uri}: fourcc={fourcc}: use four letters such as MJPG or YUYV")
        if fourcc:
            # First: the sizes a camera offers depend on its format.
            code = int.from_bytes(fourcc.encode("ascii"), "little")
            self._wanted[cv2.CAP_PROP_FOURCC] = float(code)
        for name, key in _SIZES.items():
            if name in parsed.query:
                self._wanted[key] = parsed.number(name, 0, 1, 65_535)
        self._capture: cv2.VideoCapture | None = None
        self._number = 0

    def open(self) -> None:
        """Open the device and ask for what the URI wants.

        Raises:
            UnavailableError: not there, not permitted, or in use.
            BadContentError: its pictures are too large.
        """
        self.close()
        if not self._path.exists():
            raise UnavailableError(
                f"camera {self._path}: no such device; plug it in, list with v4l2-ctl"
                " --list-devices (apt install v4l-utils)"
            )
        if not os.access(self._path, os.R_OK | os.W_OK):
            raise UnavailableError(
                f"camera {self._path}: not permitted; add the user to the group 'video'"
            )
        self._capture = open_video(str(self._path), cv2.CAP_V4L2)
        if self._capture is None:
            raise UnavailableError(
                f"camera {self._path}: does not open; is another program using it"
                f" (fuser {self._path}), or is it no capture device?"
            )
        for key, value in self._wanted.items():
            self._capture.set(key, value)
            got = self._capture.get(key)
            if got != value:
                log.warning(
                    "camera_chose path=%s key=%d want=%s got=%s", self._path, key, value, got
                )
        self._number = 0

    def read(self) -> Shot | None:
        """Return the next frame; never None.

        Raises:
            UnavailableError: no frame within OpenCV's 10 s, or the device is gone.
        """
        image = None if self._capture is None else next_image(self._capture)
        if image is None:
            raise UnavailableError(f"camera {self._path}: no frame; unplugged, or its driver hangs")
        shot = Shot(image, self._number)
        self._number += 1
        return shot

    def close(self) -> None:
        """Release the device."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


_SIZES: Final = {
    "width": cv2.CAP_PROP_FRAME_WIDTH,
    "height": cv2.CAP_PROP_FRAME_HEIGHT,
    "fps": cv2.CAP_PROP_FPS,
}
