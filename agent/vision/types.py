"""Values that travel along the straight line. Pure."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""Height x width x 3, BGR, 0..255 (OpenCV's order)."""

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels, exclusive ends."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.y1 - self.y0

    @property
    def area(self) -> int:
        """Area in pixels; 0 for an empty box."""
        return max(0, self.width) * max(0, self.height)

    def overlap(self, other: "Box") -> float:
        """Return intersection over union, 0..1."""
        inner = Box(
            max(self.x0, other.x0), max(self.y0, other.y0),
            min(self.x1, other.x1), min(self.y1, other.y1),
        )  # fmt: skip
        if inner.width <= 0 or inner.height <= 0:
            return 0.0
        return inner.area / (self.area + other.area - inner.area)

    def widened(self, margin: float, width: int, height: int) -> "Box":
        """Return the box grown by `margin` of its size on each side, cut to the frame."""
        dx, dy = round(self.width * margin), round(self.height * margin)
        return Box(
            max(0, self.x0 - dx), max(0, self.y0 - dy),
            min(width, self.x1 + dx), min(height, self.y1 + dy),
        )  # fmt: skip

    def as_tuple(self) -> tuple[int, int, int, int]:
        """Return (x0, y0, x1, y1)."""
        return self.x0, self.y0, self.x1, self.y1


def whole(image: Image) -> Box:
    """Return the box of the whole image."""
    return Box(0, 0, image.shape[1], image.shape[0])


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of one camera."""

    camera: str
    number: int
    """Counts up from 0 while the source is open; of a file or scene: the frame's index."""
    captured_at: float
    """Unix seconds, for people; the wall clock may be set while frames come."""
    image: Image
    still: bool = False
    """True: unrelated to the frame before (a folder of stills); sightings last one frame."""
    steady_at: float | None = None
    """Monotonic seconds; None: `captured_at` tells how far frames lie apart."""

    @property
    def moment(self) -> float:
        """When it was taken, by the clock that tells how long ago the frame before was."""
        return self.captured_at if self.steady_at is None else self.steady_at


@dataclass(frozen=True, slots=True)
class Region:
    """A box that may hold an object."""

    box: Box
    score: float = 1.0
    """The proposer's own score, 0..1."""
    index: int | None = None
    """The detector's class, where a detector proposed it."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Calibrated class scores for one region, with its uncertainty signals."""

    region: Region
    index: int
    label: str
    score: float
    """Probability of the best class, 0..1."""
    margin: float
    """Best minus second-best probability, 0..1."""
    energy: float
    """-T * logsumexp(logits / T): high where the model knows nothing (Liu et al. 2020)."""
    scores: FloatArray = field(repr=False)
    """Probabilities of all classes, shape (classes,)."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One box of a detection model."""

    box: Box
    index: int
    score: float
