"""One physical object over consecutive frames: predictions to sightings. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from agent.contract.ids import new_id
from agent.vision.track import Track, find_twins, pair
from agent.vision.types import Box, Frame, Prediction

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
        fixed: True where regions are places, not objects (whole frame, zones): another class for
            `min_hits` frames in a row is then another object.
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
        fixed: bool = False,
        max_gap_s: float = MAX_GAP_S,
        max_misses: int = MAX_MISSES,
        max_tracks: int = MAX_TRACKS,
    ) -> None:
        self.min_hits = min_hits
        self.min_margin = min_margin
        self.min_score = min_score
        self._random_bytes = random_bytes
        self._fixed = fixed
        self._max_gap_s = max_gap_s
        self._max_misses = max_misses
        self._max_tracks = max_tracks
        self._tracks: list[Track] = []
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
        pairs = tuple((p, _sighting(t)) for p, t in zip(predictions, owners, strict=True))
        if frame.still:
            return Tracked(pairs, opened, closed + self.flush())
        return Tracked(pairs, opened, closed + self._end(frame.moment, owners))

    def flush(self) -> tuple[Sighting, ...]:
        """End all tracks (the source ended); return the sightings among them."""
        ended = tuple(_sighting(t, closed=True) for t in self._tracks if t.opened)
        self._tracks.clear()
        self._number = -1
        return ended

    def _owners(self, frame: Frame, predictions: Sequence[Prediction]) -> list[Track]:
        """Return the track of each prediction: old, new, or that of the surer twin."""
        if frame.still:
            tracks = [self._track(frame, p) for p in predictions]
            for track in tracks:
                track.clear = 1
            return tracks
        order = sorted(range(len(predictions)), key=lambda i: -predictions[i].score)
        twins = find_twins(predictions, order)
        owners: dict[int, Track] = {}
        free = list(self._tracks)
        # Boxes that stand clear choose first; a twin may still be somebody half hidden.
        for group in ([i for i in order if i not in twins], list(twins)):
            for i, track in pair(free, predictions, group, frame.moment):
                free.remove(track)
                if self._fixed and track.turned(predictions[i], self.min_hits):
                    continue
                track.add(frame, predictions[i])
                owners[i] = track
        for i in order:
            if i not in owners:
                twin = twins.get(i)
                owners[i] = self._track(frame, predictions[i]) if twin is None else owners[twin]
            if i not in twins:
                owners[i].clear += 1
        return [owners[i] for i in range(len(predictions))]

    def _track(self, frame: Frame, prediction: Prediction) -> Track:
        track = Track(new_id(frame.captured_at, self._random_bytes(10)), frame, prediction)
        self._tracks.append(track)
        return track

    def _open_sightings(self, owners: list[Track], min_hits: int) -> tuple[Sighting, ...]:
        opened = []
        for track in owners:
            if track.opened or track.clear < min_hits or track.margin < self.min_margin:
                continue
            sighting = _sighting(track)
            if sighting.label and sighting.score >= self.min_score:
                track.opened = True
                opened.append(replace(sighting, state="provisional"))
        return tuple(opened)

    def _end(self, now: float, owners: list[Track]) -> tuple[Sighting, ...]:
        kept: list[Track] = []
        ended: list[Track] = []
        seen = {id(t) for t in owners}
        for track in self._tracks:
            if id(track) not in seen:
                track.misses += 1
            late = now - track.moment > self._max_gap_s and track.misses > self._max_misses
            (ended if late or track.over else kept).append(track)
        if len(kept) > self._max_tracks:
            kept.sort(key=lambda t: t.moment)
            ended += kept[: -self._max_tracks]
            kept = kept[-self._max_tracks :]
        self._tracks = kept
        return tuple(_sighting(t, closed=True) for t in ended if t.opened)


def detector_tracker(random_bytes: Callable[[int], bytes], min_hits: int) -> Tracker:
    """Return a tracker for predictions that are a detector's own boxes.

    Weak boxes continue a sighting and are worth asking about; alone they are none.
    """
    return Tracker(random_bytes, min_hits, SURE_BOX, LIKELY_BOX)


def _sighting(track: Track, closed: bool = False) -> Sighting:
    label, score = track.best()
    return Sighting(
        track.sighting_id, track.camera, label, score, track.margin,
        track.first_seen, track.last_seen, track.frames, track.box,
        "provisional" if track.opened else "tentative", closed,
    )  # fmt: skip
