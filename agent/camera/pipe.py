"""A child process that writes raw frames of one size to its standard output. Adapter.

OpenCV's wheel has no GStreamer, and a Pi's camera library wants the system's Python: a pipe keeps
both away from this process, and a camera stack that crashes takes nothing with it.
"""

import fcntl
import logging
import os
import select
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np

from agent.base.clock import Clock
from agent.camera.base import Shot
from agent.contract.errors import UnavailableError
from agent.vision.types import Image

log = logging.getLogger(__name__)

STDERR_TAIL: Final = 400
"""Bytes of the child's last words that stand in an error."""
GRACE_S: Final = 1.0
PIPE_BYTES: Final = 1024 * 1024
"""As much as an unprivileged process may ask for; the default is 64 KiB."""


@dataclass(frozen=True, slots=True)
class RawFormat:
    """How one frame lies in the stream, without padding."""

    width: int
    """Pixels, even."""
    height: int
    """Pixels, even."""
    layout: Literal["i420", "bgr"]

    @property
    def size(self) -> int:
        """Bytes of one frame."""
        pixels = self.width * self.height
        return pixels * 3 // 2 if self.layout == "i420" else pixels * 3

    def image(self, data: bytearray) -> Image:
        """Return one frame as height x width x 3, BGR."""
        if self.layout == "bgr":
            return np.array(data, np.uint8).reshape(self.height, self.width, 3)
        planes = np.frombuffer(data, np.uint8).reshape(self.height * 3 // 2, self.width)
        return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8)


@dataclass(frozen=True, slots=True)
class Program:
    """A child to run."""

    command: Sequence[str]
    """Program and arguments; never through a shell."""
    package: str
    """The apt package that brings the program."""
    raw: RawFormat


class PipeSource:
    """Frames from a child process."""

    still = False

    def __init__(
        self,
        name: str,
        choose: Callable[[], Program],
        clock: Clock,
        *,
        open_timeout_s: float,
        read_timeout_s: float,
        live: bool = True,
    ) -> None:
        """Prepare; the child starts in `open`.

        Args:
            name: The camera, for messages.
            choose: Says what to run; may raise UnavailableError.
            clock: Measures the time limits.
            open_timeout_s: From the start of the child to its first whole frame.
            read_timeout_s: Between two whole frames.
            live: False: the child ends by itself, and each of its frames counts.
        """
        self.live = live
        self._name = name
        self._choose = choose
        self._clock = clock
        self._open_timeout_s = open_timeout_s
        self._read_timeout_s = read_timeout_s
        self._child: subprocess.Popen[bytes] | None = None
        self._raw = RawFormat(2, 2, "bgr")
        self._buffer = bytearray()
        self._words = b""
        self._first: Image | None = None
        self._number = 0

    def open(self) -> None:
        """Start the child and wait for its first frame.

        Raises:
            UnavailableError: the program is missing, ended, or sent nothing in time.
        """
        self.close()
        program = self._choose()
        self._raw = program.raw
        self._buffer = bytearray(program.raw.size)
        self._words, self._number = b"", 0
        self._child = self._start(program)
        try:
            self._first = self._next(self._open_timeout_s)
        except UnavailableError:
            self.close()
            raise
        if self._first is None:
            self.close()
            raise UnavailableError(f"{self._name}: ended without a frame")

    def read(self) -> Shot | None:
        """Return the next frame; None where a child that may end has done so.

        Raises:
            UnavailableError: the child ended or stalled; the message has its last words.
        """
        image, self._first = self._first, None
        if image is None:
            image = self._next(self._read_timeout_s)
        if image is None:
            return None
        shot = Shot(image, self._number)
        self._number += 1
        return shot

    def close(self) -> None:
        """End the child: politely, then not."""
        child, self._child = self._child, None
        self._first = None
        if child is None:
            return
        # As Ctrl-C would: what these programs end cleanly on, giving the camera back.
        child.send_signal(signal.SIGINT)
        for stream in (child.stdout, child.stderr):
            if stream is not None:
                stream.close()
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _start(self, program: Program) -> subprocess.Popen[bytes]:
        try:
            child = subprocess.Popen(
                list(program.command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                # Ctrl-C is for us; we end the child when we are done with it.
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise UnavailableError(
                f"{self._name}: {program.command[0]} is not installed: apt install"
                f" {program.package}"
            ) from error
        except OSError as error:
            raise UnavailableError(
                f"{self._name}: {program.command[0]} does not start: {error.strerror}"
            ) from error
        if child.stdout is not None:
            # A larger pipe saves wake-ups; without permission the default will do.
            with suppress(OSError):
                fcntl.fcntl(child.stdout.fileno(), _SET_PIPE_SIZE, PIPE_BYTES)
        return child

    def _next(self, timeout_s: float) -> Image | None:
        """Read one whole frame, and what the child has to say meanwhile."""
        child = self._child
        if child is None or child.stdout is None or child.stderr is None:
            raise UnavailableError(f"{self._name}: not open")
        out, words = child.stdout.fileno(), child.stderr.fileno()
        watched = [out, words]
        view, filled = memoryview(self._buffer), 0
        until = self._clock.monotonic() + timeout_s
        while filled < len(view):
            left_s = until - self._clock.monotonic()
            ready = select.select(watched, [], [], max(0.0, left_s))[0]
            if not ready:
                raise UnavailableError(self._lost(f"no frame for {timeout_s:g} s"))
            if words in ready and not self._listen(words):
                watched.remove(words)
            if out in ready:
                count = os.readv(out, [view[filled:]])
                if not count:
                    self._check_end(child, words, filled)
                    return None
                filled += count
        return self._raw.image(self._buffer)

    def _check_end(self, child: subprocess.Popen[bytes], words: int, filled: int) -> None:
        """Accept the end of a child that may end and did so well.

        Raises:
            UnavailableError: in all other cases.
        """
        try:
            code = child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            raise UnavailableError(self._lost("closed its output")) from None
        while self._listen(words):
            pass
        if self.live or code or filled:
            raise UnavailableError(self._lost(f"ended with exit status {code}"))

    def _listen(self, words: int) -> bool:
        """Take in what the child says; False when it will say no more."""
        heard = os.read(words, 4096)
        if heard:
            log.debug("camera_child name=%s said=%r", self._name, heard)
        self._words = (self._words + heard)[-STDERR_TAIL:]
        return bool(heard)

    def _lost(self, what: str) -> str:
        said = " ".join(self._words.decode("utf-8", "replace").split())
        return f"{self._name}: {what}" + (f": {said}" if said else "")


_SET_PIPE_SIZE: Final = 1031
"""F_SETPIPE_SZ of Linux, which other systems' fcntl module does not have."""
