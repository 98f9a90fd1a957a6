"""A network camera: RTSP (over TCP), or MJPEG and whatever else FFmpeg reads over HTTP. Adapter."""

from urllib.parse import urlsplit

import cv2

from agent.base.clock import Clock
from agent.camera.base import Shot
from agent.camera.decoder import next_image, open_video
from agent.contract.errors import UnavailableError
from agent.contract.redact import redacted


class StreamSource:
    """One stream; the newest frame wins.

    Where the size of the picture changes in mid-stream, OpenCV 5 scales it to the first size and
    OpenCV 4 garbles it, unseen from here: on a device with the latter fix the camera's size.
    """

    live = True
    still = False

    def __init__(
        self, uri: str, clock: Clock, open_timeout_s: float, read_timeout_s: float
    ) -> None:
        """Keep the URL; its user and password never leave this object."""
        self._uri = uri
        self._name = f"stream {redacted(uri)}"
        self._clock = clock
        self._open_timeout_s = open_timeout_s
        self._read_timeout_s = read_timeout_s
        self._capture: cv2.VideoCapture | None = None
        self._number = 0

    def open(self) -> None:
        """Connect and find out what the stream holds.

        Raises:
            UnavailableError: no usable stream within the time limit.
            BadContentError: its pictures are too large.
        """
        self.close()
        started = self._clock.monotonic()
        # OpenCV's own limits are 30 s, and these can only be given while opening.
        self._capture = open_video(
            self._uri,
            cv2.CAP_FFMPEG,
            [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(self._open_timeout_s * 1000),
                cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(self._read_timeout_s * 1000),
            ],
        )  # fmt: skip
        if self._capture is None:
            waited_s = self._clock.monotonic() - started
            host = urlsplit(self._uri).hostname
            raise UnavailableError(
                f"{self._name}: no stream after {waited_s:.1f} s;"
                f" check that {host} is up, the path, user and password"
            )
        self._number = 0

    def read(self) -> Shot | None:
        """Return the next frame; never None.

        Raises:
            UnavailableError: nothing within the time limit, or the stream was cut.
        """
        started = self._clock.monotonic()
        image = None if self._capture is None else next_image(self._capture)
        if image is None:
            # After this OpenCV still calls the stream open, but no frame will ever come.
            waited_s = self._clock.monotonic() - started
            raise UnavailableError(f"{self._name}: no frame after {waited_s:.1f} s")
        shot = Shot(image, self._number)
        self._number += 1
        return shot

    def close(self) -> None:
        """Disconnect."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None
