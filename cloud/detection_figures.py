"""How good boxes are: matching, average precision, recall at a rate of false alarms. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agent.vision.types import Box, Detection

HIT_IOU: Final = 0.5
RESAMPLES: Final = 1000
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """All detections of all frames, best first, and all objects."""

    frames: int
    scores: npt.NDArray[np.float64]
    """Of each detection, shape (n,)."""
    hits: BoolArray
    """It is the first on an object, shape (n,)."""
    places: npt.NDArray[np.int64]
    """Its frame, shape (n,)."""
    found: npt.NDArray[np.float64]
    """Score of each object's detection, -1: it has none, shape (objects,)."""
    homes: npt.NDArray[np.int64]
    """Frame of each object, shape (objects,)."""


@dataclass(frozen=True, slots=True)
class FrameResult:
    """One frame: what was found and what is there."""

    detections: tuple[Detection, ...]
    objects: tuple[Box, ...]
    ignored: tuple[Box, ...]
    """Detections on these count neither way."""


def match(frames: Iterable[FrameResult]) -> Matched:
    """Pair detections with objects: best first, each takes the free object it overlaps most.

    A pair overlaps by `HIT_IOU` or more. A detection without an object is left out where it
    overlaps an ignored box so much, or lies mostly inside one.
    """
    rows: list[tuple[float, bool, int]] = []
    found: list[float] = []
    homes: list[int] = []
    count = 0
    for place, frame in enumerate(frames):
        count += 1
        scores = [-1.0] * len(frame.objects)
        for detection in sorted(frame.detections, key=lambda d: -d.score):
            overlaps = [
                box.overlap(detection.box) if score < 0 else 0.0
                for box, score in zip(frame.objects, scores, strict=True)
            ]
            best = int(np.argmax(overlaps)) if overlaps else -1
            if best >= 0 and overlaps[best] >= HIT_IOU:
                scores[best] = detection.score
                rows.append((detection.score, True, place))
            elif not any(_lies_on(detection.box, box) for box in frame.ignored):
                rows.append((detection.score, False, place))
        found += scores
        homes += [place] * len(scores)
    rows.sort(key=lambda row: -row[0])
    return Matched(
        count,
        np.array([r[0] for r in rows], np.float64),
        np.array([r[1] for r in rows], bool),
        np.array([r[2] for r in rows], np.int64),
        np.array(found, np.float64),
        np.array(homes, np.int64),
    )


def average_precision(matched: Matched, counts: npt.NDArray[np.int64] | None = None) -> float:
    """Return the area under precision over recall, all-point interpolation, 0..1.

    Args:
        matched: From `match`.
        counts: How often each frame counts, shape (frames,); None: once.
    """
    if counts is None:
        counts = np.ones(matched.frames, np.int64)
    objects = int(counts[matched.homes].sum())
    if not objects or not len(matched.scores):
        return 0.0
    weights = counts[matched.places]
    hits = np.cumsum(weights * matched.hits)
    all_of_them = np.cumsum(weights)
    # Detections of one score stand or fall together.
    last = np.append(matched.scores[1:] != matched.scores[:-1], True) & (all_of_them > 0)
    hits, all_of_them = hits[last], all_of_them[last]
    precision = np.maximum.accumulate((hits / all_of_them)[::-1])[::-1]
    steps = np.diff(hits / objects, prepend=0.0)
    return float((steps * precision).sum())


def threshold_at(matched: Matched, alarms_per_frame: float) -> float:
    """Return the lowest score from which on there are so many false alarms per frame at most.

    1.0 where even the best detections are more.
    """
    threshold = 1.0
    alarms = np.cumsum(~matched.hits)
    for n, score in enumerate(matched.scores):
        tied = n + 1 < len(matched.scores) and matched.scores[n + 1] == score
        if tied:
            continue
        if alarms[n] > alarms_per_frame * matched.frames:
            break
        threshold = float(score)
    return threshold


def ap_interval(matched: Matched, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of the average precision, by drawing frames with replacement."""
    rng = np.random.default_rng(seed)
    drawn = [
        average_precision(
            matched, np.bincount(rng.integers(0, matched.frames, matched.frames),
                                 minlength=matched.frames)
        )
        for _ in range(RESAMPLES)
    ]  # fmt: skip
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def _lies_on(box: Box, other: Box) -> bool:
    width = min(box.x1, other.x1) - max(box.x0, other.x0)
    height = min(box.y1, other.y1) - max(box.y0, other.y0)
    inner = max(0, width) * max(0, height)
    return box.overlap(other) >= HIT_IOU or 2 * inner > box.area
