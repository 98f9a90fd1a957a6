"""Where captures leave frames and inference takes them, camera by camera in turn. Shell."""

import threading
from collections import OrderedDict, deque
from typing import Final

from agent.vision.types import Frame

DEPTH: Final = 4
"""Frames held for a source of which every frame counts."""


class Mailbox:
    """One slot a camera. All methods may be called from any thread."""

    def __init__(self) -> None:
        """Start empty and open."""
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._slots: OrderedDict[str, deque[Frame]] = OrderedDict()
        self._in_work = 0
        self._closed = False
        self._overwritten = 0

    @property
    def overwritten(self) -> int:
        """Live frames that a newer one replaced before they were taken."""
        return self._overwritten

    @property
    def idle(self) -> bool:
        """True where no frame waits and every one taken is done."""
        with self._lock:
            return not self._in_work and not any(self._slots.values())

    def put(self, frame: Frame, *, live: bool, timeout_s: float = 0.2) -> bool:
        """Leave a frame.

        Args:
            frame: The frame.
            live: True: it replaces one that still waits. False: wait for room.
            timeout_s: The longest wait for room.

        Returns:
            False where there was no room in time, or the mailbox is closed.
        """
        with self._lock:
            slot = self._slots.setdefault(frame.camera, deque())
            if live and slot:
                slot.clear()
                self._overwritten += 1
            if not self._room.wait_for(lambda: self._closed or len(slot) < DEPTH, timeout_s):
                return False
            if self._closed:
                return False
            slot.append(frame)
            self._filled.notify()
            return True

    def take(self, timeout_s: float) -> Frame | None:
        """Take the oldest waiting frame of the camera whose turn it is.

        Returns:
            A frame, to be given to `done` after work; None after `timeout_s` without one, and
            at once when closed.
        """
        with self._lock:
            self._filled.wait_for(lambda: self._closed or any(self._slots.values()), timeout_s)
            for camera, slot in self._slots.items():
                if slot:
                    frame = slot.popleft()
                    self._slots.move_to_end(camera)
                    self._in_work += 1
                    self._room.notify_all()
                    return frame
            return None

    def done(self, frame: Frame) -> None:
        """Say that work on a taken frame is over."""
        del frame  # Says which one for the reader; the number of them is all that counts.
        with self._lock:
            self._in_work -= 1

    def close(self) -> None:
        """Throw away what waits and let nobody wait any longer."""
        with self._lock:
            self._closed = True
            for slot in self._slots.values():
                slot.clear()
            self._filled.notify_all()
            self._room.notify_all()
