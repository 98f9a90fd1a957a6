"""Frames with what was seen in them, as PNG files, for setting a camera up. Adapter."""

import logging
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from agent.contract.errors import UnavailableError
from agent.vision.tracker import Sighting, Tracked
from agent.vision.types import Frame, Image, Prediction

log = logging.getLogger(__name__)

READABLE: Final = 640
"""Smaller frames are enlarged to about this longer side, or the words would cover them."""
SURE: Final = 0.5
"""A smaller margin is drawn as unsure, as devices ask by default."""
SEEN: Final = (60, 200, 60)
UNSURE: Final = (0, 190, 255)
NOTHING: Final = (150, 150, 150)
"""Colours, BGR: a sighting, one not yet or not surely, none of the classes."""


class Sketcher:
    """Writes one PNG for each frame in which something was looked at.

    Args:
        folder: Made where missing.
        most: After so many files it stops: a camera never ends, a disk does.

    Raises:
        UnavailableError: the folder cannot be made.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self.folder = folder
        self.written = 0
        self._most = most
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnavailableError(f"{folder}: {error.strerror}; draw elsewhere") from error

    def __call__(self, frame: Frame, tracked: Tracked) -> None:
        """Draw one frame; a full disk ends the drawing, never the watching."""
        if not tracked.pairs or self.written >= self._most:
            return
        path = self.folder / f"{frame.camera}-{frame.number:06d}.png"
        coded = cv2.imencode(".png", sketch(frame.image, tracked))[1]
        try:
            path.write_bytes(coded.tobytes())
        except OSError as error:
            log.warning("drawing_stopped file=%s reason=%s", path, error.strerror)
            self._most = self.written
            return
        self.written += 1
        if self.written == self._most:
            log.info("drawing_stopped files=%d", self.written)


def sketch(image: Image, tracked: Tracked) -> Image:
    """Return a copy of a frame (BGR uint8), enlarged if small, with boxes, labels and scores."""
    scale = max(1, round(READABLE / max(image.shape[:2])))
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    opened = {s.sighting_id for s in tracked.opened}
    for prediction, sighting in tracked.pairs:
        seen = sighting.sighting_id in opened or sighting.state == "provisional"
        seen = seen and prediction.margin >= SURE
        _mark(large, prediction, sighting, seen, scale)
    return np.asarray(large, np.uint8)


def _mark(
    image: "cv2.typing.MatLike", prediction: Prediction, sighting: Sighting, seen: bool, scale: int
) -> None:
    box = prediction.region.box
    corner, end = (box.x0 * scale, box.y0 * scale), (box.x1 * scale - 1, box.y1 * scale - 1)
    if prediction.index < 0:
        cv2.rectangle(image, corner, end, NOTHING, 1)
        return
    colour = SEEN if seen else UNSURE
    cv2.rectangle(image, corner, end, colour, 2)
    label = prediction.label if not seen else sighting.label or prediction.label
    # OpenCV's font has no letters beyond ASCII.
    words = f"{label} {prediction.score:.2f}".encode("ascii", "replace").decode()
    (width, height), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    x = max(0, min(corner[0], image.shape[1] - width))
    y = corner[1] - 4 if corner[1] > height + 6 else min(image.shape[0] - 4, end[1] + height + 6)
    cv2.rectangle(image, (x, y - height - 2), (x + width, y + 3), (0, 0, 0), -1)
    cv2.putText(image, words, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
