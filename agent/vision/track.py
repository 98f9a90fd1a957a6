"""One tracked object, and which boxes of a frame continue it. Pure."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

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
        "margin", "misses", "moment", "opened", "over", "rival", "sighting_id", "vx", "vy",
    )  # fmt: skip

    def __init__(self, sighting_id: str, frame: Frame, prediction: Prediction) -> None:
        self.sighting_id = sighting_id
        self.camera = frame.camera
        self.box = prediction.region.box
        self.first_seen = self.last_seen = frame.captured_at
        self.moment = frame.moment
        self.evidence: FloatArray = prediction.scores.copy()
        self.labels = {prediction.index: prediction.label}
        self.margin = prediction.margin
        self.frames = 1
        self.clear = 0
        self.misses = 0
        self.vx = self.vy = 0.0
        self.opened = self.over = False
        self.rival = ("", 0)

    def add(self, frame: Frame, prediction: Prediction) -> None:
        """Take one more sight of the object."""
        dt = frame.moment - self.moment
        old, new = self.box, prediction.region.box
        if dt > 0:
            # Twice the centre's way, halved by the division: no float centres are needed.
            vx = (new.x0 + new.x1 - old.x0 - old.x1) / (2 * dt)
            vy = (new.y0 + new.y1 - old.y0 - old.y1) / (2 * dt)
            weight = dt / (dt + STEADY_S)
            self.vx += weight * (vx - self.vx)
            self.vy += weight * (vy - self.vy)
        self.box, self.misses = new, 0
        self.last_seen, self.moment = frame.captured_at, frame.moment
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


class Place(NamedTuple):
    """Where a box is, in pixels; floats, as it may have been moved on. Quick to compare."""

    x0: float
    y0: float
    x1: float
    y1: float
    area: float
    sides: float
    """Width plus height."""


def pair(
    tracks: list[Track], predictions: Sequence[Prediction], group: list[int], now: float
) -> list[tuple[int, Track]]:
    """Match a group of predictions greedily, best affinity first; everything once."""
    candidates = []
    ahead = [_ahead(track, now) for track in tracks]
    for i in group:
        prediction, new = predictions[i], _place(predictions[i].region.box)
        for t, old in enumerate(ahead):
            affinity = 0.0 if _far(old, new) else _affinity(tracks[t], old, prediction, new)
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


def find_twins(predictions: Sequence[Prediction], order: list[int]) -> dict[int, int]:
    """Map each box that shows what a surer box of this frame shows to that box.

    Args:
        predictions: Of one frame.
        order: Their indices, surest first.
    """
    places = [_place(p.region.box) for p in predictions]
    twins: dict[int, int] = {}
    clear: list[int] = []
    for i in order:
        for j in clear:
            iou = _overlap(places[i], places[j])
            if iou > 0 and _same(predictions[i], predictions[j], iou):
                twins[i] = j
                break
        else:
            clear.append(i)
    return twins


def _same(a: Prediction, b: Prediction, iou: float) -> bool:
    if (a.index < 0) != (b.index < 0):
        return False
    box, other = a.region.box, b.region.box
    inner = iou * (box.area + other.area) / (1 + iou)
    part = a.index == b.index and inner >= TWICE_INSIDE * min(box.area, other.area)
    return iou > TWICE_IOU or part


def _affinity(track: Track, old: Place, prediction: Prediction, new: Place) -> float:
    """Return how well a box continues a track; 0: not at all."""
    if (prediction.index < 0) != (-1 in track.labels):
        return 0.0
    if not 1 / MAX_GROWTH < (new.area + 1) / (old.area + 1) < MAX_GROWTH:
        return 0.0
    iou = _overlap(old, new)
    # Twice the distance of the centres, against twice the reach.
    distance = math.hypot(new.x0 + new.x1 - old.x0 - old.x1, new.y0 + new.y1 - old.y0 - old.y1)
    nearness = max(0.0, 1.0 - distance / max(REACH * (old.sides + new.sides) / 2, 1.0))
    if iou < MIN_IOU and nearness <= 0:
        return 0.0
    return iou + nearness + (SAME_LABEL_BONUS if prediction.index in track.labels else 0.0)


def _place(box: Box) -> Place:
    x0, y0, x1, y1 = box.x0, box.y0, box.x1, box.y1
    return Place(x0, y0, x1, y1, (x1 - x0) * (y1 - y0), x1 - x0 + y1 - y0)


def _ahead(track: Track, now: float) -> Place:
    """Return where a track would be now at its mean speed."""
    x0, y0, x1, y1, area, sides = _place(track.box)
    dt = max(0.0, now - track.moment)
    dx, dy = track.vx * dt, track.vy * dt
    return Place(x0 + dx, y0 + dy, x1 + dx, y1 + dy, area, sides)


def _far(a: Place, b: Place) -> bool:
    """Tell cheaply that two boxes neither overlap nor lie within reach."""
    reach = a.sides + b.sides  # more than enough: twice the reach is half of it
    return abs(a.x0 + a.x1 - b.x0 - b.x1) > reach or abs(a.y0 + a.y1 - b.y0 - b.y1) > reach


def _overlap(a: Place, b: Place) -> float:
    """Return intersection over union, 0..1."""
    if a.x0 >= b.x1 or b.x0 >= a.x1 or a.y0 >= b.y1 or b.y0 >= a.y1:
        return 0.0
    inner = (min(a.x1, b.x1) - max(a.x0, b.x0)) * (min(a.y1, b.y1) - max(a.y0, b.y0))
    return inner / (a.area + b.area - inner)
