"""The `scene://` camera. Adapter."""

import time
from collections.abc import Callable

from agent.base.clock import Clock
from agent.camera.base import Shot
from agent.camera.scene.options import parse_scene
from agent.camera.scene.world import Scene
from agent.contract.errors import UnavailableError


class SceneSource:
    """A drawn drive as an image source: as a file, or with `realtime=1` as a live camera.

    Args:
        uri: See `options.parse_scene`.
        clock: Paces a live one.
        sleep: Waits so many seconds.

    Raises:
        BadContentError: the URI asks for something that is not there.
    """

    def __init__(self, uri: str, clock: Clock, sleep: Callable[[float], None] = time.sleep) -> None:
        self.options = parse_scene(uri)
        self._clock = clock
        self._sleep = sleep
        self._scene: Scene | None = None
        self._next = 0
        self._started = 0.0

    @property
    def live(self) -> bool:
        """True: paced by the clock, late frames are skipped."""
        return self.options.realtime

    @property
    def still(self) -> bool:
        """False: frames follow one another."""
        return False

    def open(self) -> None:
        """Start at frame 0."""
        self._scene = Scene(self.options)
        self._next = 0
        self._started = self._clock.monotonic()

    def read(self) -> Shot | None:
        """Return the next frame, numbered as in the scene; None after the last.

        Raises:
            UnavailableError: the source is not open.
        """
        if self._scene is None:
            raise UnavailableError("scene: not open; call open first")
        if self.options.realtime:
            self._keep_pace()
        n = self._next
        if n >= self.options.frames:
            return None
        self._next = n + 1
        return Shot(self._scene.render(n), n)

    def close(self) -> None:
        """Forget the scene."""
        self._scene = None

    def _keep_pace(self) -> None:
        """Wait for the next frame's time; where that has passed, go on to the newest one."""
        due = self._started + self._next / self.options.fps
        while (early := due - self._clock.monotonic()) > 0:
            self._sleep(early)
        newest = int((self._clock.monotonic() - self._started) * self.options.fps)
        self._next = max(self._next, newest)
