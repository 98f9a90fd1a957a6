"""One physical object over consecutive frames: predictions to sightings. Pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from agent.contract.ids import new_id
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
MAX_GAP_S: Final = 1.5
MAX_MISSES: Final = 4
MAX_TRACKS: Final = 64
SURE_BOX: Final = 0.65
LIKELY_BOX: Final = 0.5
"""A detector's boxes are a sighting when the best and the mean score reach these."""

State = Literal["tentative", "provisional"]


@dataclass(frozen=True, slots=True)
class Sighting:
    """What is known about one object so far."""

    sighting_id: str
    camera: str
    label: str
    """Class with the most evidence; empty: nothing of the profile."""
    score: float
    """Mean probability of that class over the frames, 0..1."""
    margin: float
    """Best margin of any frame, 0..1."""
    first_seen: float
    """Unix seconds."""
    last_seen: float
    frames: int
    box: Box
    """Where it was last."""
    state: State
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Tracked:
    """What one frame did."""

    pairs: tuple[tuple[Prediction, Sighting], ...]
    """Each prediction with its sighting, in the order given; tentative sightings too."""
    opened: tuple[Sighting, ...] = ()
    """Those that became provisional with this frame."""
    closed: tuple[Sighting, ...] = ()
    """Provisional ones that ended; tentative ones end silently."""


class _Track:
    """One object; mutable, seen by `Tracker` only."""

    __slots__ = (
        "box", "camera", "clear", "evidence", "first_seen", "frames", "labels", "last_seen",
        "margin", "misses", "opened", "sighting_id", "vx", "vy",
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
        self.opened = False

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

    def sighting(self, closed: bool = False) -> Sighting:
        """Return the values of now."""
        label, score = "", 0.0
        for index, name in self.labels.items():
            if index >= 0 and self.evidence[index] > score:
                label, score = name, float(self.evidence[index])
        return Sighting(
            self.sighting_id, self.camera, label, min(1.0, score / self.frames), self.margin,
            self.first_seen, self.last_seen, self.frames, self.box,
            "provisional" if self.opened else "tentative", closed,
        )  # fmt: skip


class Tracker:
    """Associates the predictions of one camera's frames. Not thread-safe.

    Greedy by overlap and centre distance, after moving each track on at its mean speed. Classes
    do not gate: a van that flickers between car and truck stays one sighting, and the sum of the
    class probabilities over its frames decides. Of boxes that show the same thing in one frame,
    the surest counts; the others continue a half hidden object or belong to the sighting of the
    surest, and open none. An index below 0 or an empty label marks a prediction that is nothing
    of the profile: it is tracked apart and never becomes a sighting.

    Args:
        random_bytes: Gives so many random bytes (`os.urandom`), for sighting ids.
        min_hits: Frames an object must stand clear in before it is a sighting (stills: 1).
            May be set later.
        min_margin: A sighting needs one prediction with at least this margin, 0..1. For
            detectors: weak boxes continue a sighting but never make one on their own.
        min_score: A sighting needs at least this mean probability of its class, 0..1.
        max_gap_s: A track ends when unseen for longer than this ...
        max_misses: ... and for more frames than this.
        max_tracks: Bound of memory; the track unseen longest goes first.
    """

    def __init__(
        self,
        random_bytes: Callable[[int], bytes],
        min_hits: int = 2,
        min_margin: float = 0.0,
        min_score: float = 0.0,
        max_gap_s: float = MAX_GAP_S,
        max_misses: int = MAX_MISSES,
        max_tracks: int = MAX_TRACKS,
    ) -> None:
        self.min_hits = min_hits
        self.min_margin = min_margin
        self.min_score = min_score
        self._random_bytes = random_bytes
        self._max_gap_s = max_gap_s
        self._max_misses = max_misses
        self._max_tracks = max_tracks
        self._tracks: list[_Track] = []
        self._number = -1

    def update(self, frame: Frame, predictions: Sequence[Prediction]) -> Tracked:
        """Take the predictions of the next frame, in any order.

        A frame whose number does not rise comes from a source opened anew (or looped): what
        was tracked ends first. A still's predictions are sightings of their own, closed at once.
        """
        closed: tuple[Sighting, ...] = ()
        if frame.still or frame.number <= self._number:
            closed = self.flush()
        self._number = frame.number
        owners = self._owners(frame, predictions)
        opened = self._open_sightings(owners, 1 if frame.still else self.min_hits)
        pairs = tuple((p, t.sighting()) for p, t in zip(predictions, owners, strict=True))
        if frame.still:
            return Tracked(pairs, opened, closed + self.flush())
        return Tracked(pairs, opened, closed + self._end(frame.captured_at, owners))

    def flush(self) -> tuple[Sighting, ...]:
        """End all tracks (the source ended); return the sightings among them."""
        ended = tuple(t.sighting(closed=True) for t in self._tracks if t.opened)
        self._tracks.clear()
        self._number = -1
        return ended

    def _owners(self, frame: Frame, predictions: Sequence[Prediction]) -> list[_Track]:
        """Return the track of each prediction: old, new, or that of the surer twin."""
        if frame.still:
            tracks = [self._track(frame, p) for p in predictions]
            for track in tracks:
                track.clear = 1
            return tracks
        order = sorted(range(len(predictions)), key=lambda i: -predictions[i].score)
        twins = _twins(predictions, order)
        owners: dict[int, _Track] = {}
        free = list(self._tracks)
        # Boxes that stand clear choose first; a twin may still be somebody half hidden.
        for group in ([i for i in order if i not in twins], list(twins)):
            for i, track in _pairs(free, predictions, group, frame.captured_at):
                track.add(frame.captured_at, predictions[i])
                owners[i] = track
                free.remove(track)
        for i in order:
            if i not in owners:
                twin = twins.get(i)
                owners[i] = self._track(frame, predictions[i]) if twin is None else owners[twin]
            if i not in twins:
                owners[i].clear += 1
        return [owners[i] for i in range(len(predictions))]

    def _track(self, frame: Frame, prediction: Prediction) -> _Track:
        track = _Track(new_id(frame.captured_at, self._random_bytes(10)), frame, prediction)
        self._tracks.append(track)
        return track

    def _open_sightings(self, owners: list[_Track], min_hits: int) -> tuple[Sighting, ...]:
        opened = []
        for track in owners:
            if track.opened or track.clear < min_hits or track.margin < self.min_margin:
                continue
            sighting = track.sighting()
            if sighting.label and sighting.score >= self.min_score:
                track.opened = True
                opened.append(replace(sighting, state="provisional"))
        return tuple(opened)

    def _end(self, now: float, owners: list[_Track]) -> tuple[Sighting, ...]:
        kept: list[_Track] = []
        ended: list[_Track] = []
        seen = {id(t) for t in owners}
        for track in self._tracks:
            if id(track) not in seen:
                track.misses += 1
            late = now - track.last_seen > self._max_gap_s and track.misses > self._max_misses
            (ended if late else kept).append(track)
        if len(kept) > self._max_tracks:
            kept.sort(key=lambda t: t.last_seen)
            ended += kept[: -self._max_tracks]
            kept = kept[-self._max_tracks :]
        self._tracks = kept
        return tuple(t.sighting(closed=True) for t in ended if t.opened)


def detector_tracker(random_bytes: Callable[[int], bytes], min_hits: int) -> Tracker:
    """Return a tracker for predictions that are a detector's own boxes.

    Weak boxes continue a sighting and are worth asking about; alone they are none.
    """
    return Tracker(random_bytes, min_hits, SURE_BOX, LIKELY_BOX)


def _pairs(
    tracks: list[_Track], predictions: Sequence[Prediction], group: list[int], now: float
) -> list[tuple[int, _Track]]:
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


def _affinity(track: _Track, prediction: Prediction, now: float) -> float:
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


def _twins(predictions: Sequence[Prediction], order: list[int]) -> dict[int, int]:
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
