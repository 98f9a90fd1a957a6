"""OpenCV's VideoCapture, its messages kept off standard error. Adapter."""

import os
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from agent.contract.errors import BadContentError
from agent.vision.types import Image

_ERRORS_ONLY: Final = 2
MAX_PIXELS: Final = 64_000_000
"""Larger pictures are refused: one would take more memory than a small device has to spare."""
VIDEO_PIXELS: Final = 7680 * 4320
"""Of moving ones several are in memory at a time."""
_SIZE: Final = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)

# A camera that is away for a week must not fill the journal with FFmpeg's words every minute, and
# a URL with a password is not for them either. Read once, when OpenCV first uses FFmpeg.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
# UDP loses packets, and half a picture looks like something new. Versions differ in what they
# try first.
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
# OpenCV 5 moved the setter of its own messages.
_set_log_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel
_set_log_level(_ERRORS_ONLY)


def open_video(name: str, backend: int, params: Sequence[int] = ()) -> cv2.VideoCapture | None:
    """Open a video with one backend.

    Args:
        name: File, device or URL, as the backend wants it.
        backend: `cv2.CAP_FFMPEG` or `cv2.CAP_V4L2`.
        params: Property, value, property, value ...

    Returns:
        An open capture; None where it did not open.

    Raises:
        BadContentError: its pictures are larger than a small device has memory for.
    """
    try:
        capture = cv2.VideoCapture(name, backend, list(params))
    except cv2.error:
        return None
    if not capture.isOpened():
        capture.release()
        return None
    width, height = (int(capture.get(key)) for key in _SIZE)
    if width * height > VIDEO_PIXELS:
        capture.release()
        raise BadContentError(f"pictures of {width}x{height}: use at most {VIDEO_PIXELS} pixels")
    return capture


def next_image(capture: cv2.VideoCapture) -> Image | None:
    """Read the next picture; None where there is none (end, time limit, lost)."""
    try:
        there, image = capture.read()
    except cv2.error:
        return None
    if not there or image is None:
        return None
    return np.asarray(image, np.uint8)
