"""What every image source can do. Pure."""

from dataclasses import dataclass, field
from typing import Protocol

from agent.vision.types import Image


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One picture as a source delivers it."""

    image: Image = field(repr=False)
    """Height x width x 3, BGR, 0..255. Handed over: the source does not touch it again."""
    number: int
    """Counts up from 0 while the source is open; of a file, folder or scene: the index."""
    captured_at: float | None = None
    """Unix seconds, where the source knows them; None: the moment it is read."""


class Source(Protocol):
    """One image source, used by one thread: `open`, then `read` again and again, then `close`.

    A source does not retry, judge or throttle: `Capture` does that for all of them.
    """

    @property
    def live(self) -> bool:
        """True: frames come whether or not they are taken, and the newest one wins.

        False: each frame is delivered, as fast as it is taken.
        """
        ...

    @property
    def still(self) -> bool:
        """True: pictures have nothing to do with one another (a folder of stills)."""
        ...

    def open(self) -> None:
        """Open it; a closed source may be opened again and starts anew.

        Raises:
            UnavailableError: it is not there (now); trying again later may help.
            BadContentError: it is there, but it is nothing that we read.
        """
        ...

    def read(self) -> Shot | None:
        """Return the next picture; None at the end of what has one.

        Raises:
            UnavailableError: no picture within the read time limit, or the way to it is lost;
                close it and open it again.
            BadContentError: this one picture is not readable; the next call goes on after it.
        """
        ...

    def close(self) -> None:
        """Give everything back; safe to call twice, and before `open`."""
        ...
