"""A video file, every frame of it. Adapter.

`file:///srv/clip.mp4?loop=1&realtime=1&start=100`: `loop` starts over at the end, `realtime` paces
by the clip's own rate (else as fast as frames are taken), `start` is the first frame's index.
"""

import math
import time
from collections.abc import Callable
from typing import Final

import cv2

from agent.base.clock import Clock
from agent.camera.base import Shot
from agent.camera.decoder import next_image, open_video
from agent.camera.pace import Pacer
from agent.camera.uri import parse_local
from agent.contract.errors import BadContentError, UnavailableError
from agent.vision.types import Image

FALLBACK_FPS: Final = 25.0
"""Where a container does not say (or says nonsense)."""


class ClipSource:
    """One video file. The frame number is the frame's index in the file."""

    live = False
    still = False

    def __init__(self, uri: str, clock: Clock, sleep: Callable[[float], None] = time.sleep) -> None:
        """Check the URI.

        Raises:
            BadContentError: a parameter is unknown or out of range.
        """
        parsed = parse_local(uri, "loop", "realtime", "start")
        self._path = parsed.path
        self._loop = parsed.flag("loop")
        self._realtime = parsed.flag("realtime")
        self._start = parsed.whole("start", 0, 0, 10**9)
        self._clock = clock
        self._sleep = sleep
        self._capture: cv2.VideoCapture | None = None
        self._first: Image | None = None
        self._pacer = Pacer(0)
        self._number = 0

    def open(self) -> None:
        """Open the file and go to the first frame.

        Raises:
            UnavailableError: there is no such file, or it may not be read.
            BadContentError: it is no video that we read, or `start` lies behind its end.
        """
        self.close()
        try:
            with self._path.open("rb"):
                pass
        except OSError as error:
            raise UnavailableError(f"video file {self._path}: {error.strerror}") from error
        # An absolute name: FFmpeg would take `a:b` for a protocol.
        self._capture = open_video(str(self._path.resolve()), cv2.CAP_FFMPEG)
        if self._capture is None:
            raise BadContentError(f"video file {self._path}: not a video that FFmpeg reads")
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        usable = math.isfinite(fps) and 1.0 <= fps <= 240.0
        self._pacer = Pacer((fps if usable else FALLBACK_FPS) if self._realtime else 0.0)
        self._number = 0
        # Counted, not sought: seeking is not exact with every codec.
        while self._number < self._start and self._capture.grab():
            self._number += 1
        self._first = next_image(self._capture)
        if self._first is None:
            raise BadContentError(
                f"video file {self._path}: no frame {self._start}, only {self._number} can be read"
            )

    def read(self) -> Shot | None:
        """Return the next frame; None at the end of a clip that is not looped.

        Raises:
            UnavailableError: not open, or gone while it is looped.
        """
        if self._capture is None:
            raise UnavailableError(f"video file {self._path}: not open")
        image = self._next(self._capture)
        if image is None and self._loop:
            return self._again()
        if image is None:
            return None
        wait_s = self._pacer.delay(self._clock.monotonic())
        if wait_s > 0:
            self._sleep(wait_s)
        shot = Shot(image, self._number)
        self._number += 1
        return shot

    def _next(self, capture: cv2.VideoCapture) -> Image | None:
        image, self._first = self._first, None
        return next_image(capture) if image is None else image

    def _again(self) -> Shot | None:
        try:
            self.open()
        except BadContentError as error:
            # It was a video a moment ago: somebody is writing to it.
            raise UnavailableError(str(error)) from error
        return self.read()

    def close(self) -> None:
        """Close the file."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None
        self._first = None
