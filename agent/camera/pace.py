"""When is the next frame due? Pure."""


class Pacer:
    """A schedule of so many frames a second; late frames shift it, they are not made up for."""

    def __init__(self, fps: float) -> None:
        """Pace to `fps` frames a second; 0: no limit."""
        self._period_s = 1.0 / fps if fps > 0 else 0.0
        self._due = float("-inf")

    def delay(self, now: float) -> float:
        """Take the next place in the schedule; return the seconds to wait until it."""
        start = now if now - self._due > self._period_s else self._due
        self._due = start + self._period_s
        return max(0.0, start - now)

    def due(self, now: float) -> bool:
        """Tell whether a frame that comes now may pass, and take its place if so."""
        if now < self._due:
            return False
        self.delay(now)
        return True
