"""One tracked object, and which boxes of a frame continue it. Pure."""

import math
from collections.abc import Sequence
from typing import Final

from agent.vision.types import Box, FloatArray, Frame, Prediction

MIN_IOU: Final = 0.3
"""Boxes that overlap more may be one object, whatever their centres do."""
REACH: Final = 0.5
"""Boxes whose centres lie nearer than this many mean sides may be one object."""
MAX_GROWTH: Final = 4.0
"""An object's area changes less than this many times between two sights of it."""
TWICE_IOU: Final = 0.4
"""Two boxes of one frame that overlap more are one object, whatever their classes."""
TWICE_INSIDE: Final = 0.5
"""A box of the same class with this share inside a surer one is a part of it."""
SAME_LABEL_BONUS: Final = 0.2
STEADY_S: Final = 0.5
"""Speeds are averaged over about so long: boxes jitter from frame to frame."""


class Track:
    """One object; mutable, owned by one `Tracker`."""

    __slots__ = (
        "box", "camera", "clear", "evidence", "first_seen", "frames", "labels", "last_seen",
        "margin", "misses", "opened", "over", "rival", "sighting_id", "vx", "vy",
    )  # fmt: skip

    def __init__(self, sighting_id: str, frame: Frame, prediction: Prediction) -> None:
        self.sighting_id = sighting_id
        self.camera = frame.camera
        self.box = prediction.region.box
        self.first_seen = self.last_seen = frame.captured_at
        self.evidence: FloatArray = prediction.scores.copy()
        self.labels = {prediction.index: prediction.label}
        self.margin = prediction.margin
        self.frames = 1
        self.clear = 0
        self.misses = 0
        self.vx = self.vy = 0.0
        self.opened = self.over = False
        self.rival = ("", 0)

    def add(self, now: float, prediction: Prediction) -> None:
        """Take one more sight of the object."""
        dt = now - self.last_seen
        old, new = self.box, prediction.region.box
        if dt > 0:
            # Twice the centre's way, halved by the division: no float centres are needed.
            vx = (new.x0 + new.x1 - old.x0 - old.x1) / (2 * dt)
            vy = (new.y0 + new.y1 - old.y0 - old.y1) / (2 * dt)
            weight = dt / (dt + STEADY_S)
            self.vx += weight * (vx - self.vx)
            self.vy += weight * (vy - self.vy)
        self.box, self.last_seen, self.misses = new, now, 0
        self.frames += 1
        if self.evidence.shape == prediction.scores.shape:
            self.evidence += prediction.scores
        else:  # the model was switched: its classes are others
            self.evidence = prediction.scores * self.frames
            self.labels = {}
        self.labels[prediction.index] = prediction.label
        self.margin = max(self.margin, prediction.margin)

    def turned(self, prediction: Prediction, hits: int) -> bool:
        """Tell whether another class was seen `hits` times in a row; the track is over then."""
        label = prediction.label
        if label == self.best()[0]:
            self.rival = ("", 0)
            return False
        self.rival = (label, self.rival[1] + 1 if label == self.rival[0] else 1)
        self.over = self.rival[1] >= hits
        return self.over

    def best(self) -> tuple[str, float]:
        """Return the label with the most evidence and its mean probability; empty and 0: none."""
        label, score = "", 0.0
        for index, name in self.labels.items():
            if index >= 0 and self.evidence[index] > score:
                label, score = name, float(self.evidence[index])
        return label, min(1.0, score / self.frames)


def pair(
    tracks: list[Track], predictions: Sequence[Prediction], group: list[int], now: float
) -> list[tuple[int, Track]]:
    """Match a group of predictions greedily, best affinity first; everything once."""
    candidates = []
    for t, track in enumerate(tracks):
        for i in group:
            affinity = _affinity(track, predictions[i], now)
            if affinity > 0:
                candidates.append((affinity, t, i))
    candidates.sort(reverse=True)
    used_tracks: set[int] = set()
    used: set[int] = set()
    pairs = []
    for _, t, i in candidates:
        if t not in used_tracks and i not in used:
            used_tracks.add(t)
            used.add(i)
            pairs.append((i, tracks[t]))
    return pairs


def _affinity(track: Track, prediction: Prediction, now: float) -> float:
    """Return how well a box continues a track; 0: not at all."""
    old, new = track.box, prediction.region.box
    if (prediction.index < 0) != (-1 in track.labels):
        return 0.0
    if not 1 / MAX_GROWTH < (new.area + 1) / (old.area + 1) < MAX_GROWTH:
        return 0.0
    dt = max(0.0, now - track.last_seen)
    dx, dy = track.vx * dt, track.vy * dt
    iou = _overlap(old.x0 + dx, old.y0 + dy, old.x1 + dx, old.y1 + dy, new)
    distance = math.hypot(
        new.x0 + new.x1 - old.x0 - old.x1 - 2 * dx, new.y0 + new.y1 - old.y0 - old.y1 - 2 * dy
    )  # twice the distance, as below twice the reach
    reach = REACH * (old.width + old.height + new.width + new.height) / 2
    nearness = max(0.0, 1.0 - distance / max(reach, 1.0))
    if iou < MIN_IOU and nearness <= 0:
        return 0.0
    return iou + nearness + (SAME_LABEL_BONUS if prediction.index in track.labels else 0.0)


def _overlap(x0: float, y0: float, x1: float, y1: float, box: Box) -> float:
    """Return intersection over union with a box that is not on whole pixels."""
    width = min(x1, box.x1) - max(x0, box.x0)
    height = min(y1, box.y1) - max(y0, box.y0)
    if width <= 0 or height <= 0:
        return 0.0
    inner = width * height
    return inner / ((x1 - x0) * (y1 - y0) + box.area - inner)


def find_twins(predictions: Sequence[Prediction], order: list[int]) -> dict[int, int]:
    """Map each box that shows what a surer box of this frame shows to that box."""
    twins: dict[int, int] = {}
    for n, i in enumerate(order):
        for j in order[:n]:
            if j not in twins and _same(predictions[i], predictions[j]):
                twins[i] = j
                break
    return twins


def _same(a: Prediction, b: Prediction) -> bool:
    if (a.index < 0) != (b.index < 0):
        return False
    box, other = a.region.box, b.region.box
    iou = _overlap(other.x0, other.y0, other.x1, other.y1, box)
    if iou > TWICE_IOU:
        return True
    inner = iou * (box.area + other.area) / (1 + iou)
    return a.index == b.index and iou > 0 and inner >= TWICE_INSIDE * min(box.area, other.area)
