"""A field that drifts, drawn from real tracks: who is where, when, in which weather, how long.

One device drives for some days. Every day it passes the places of its route, there and back, and
places that it never saw before; what stands there is a real track, a third of a second or minutes
of near-identical frames. Morning fog, rain, dusk and night spoil the frames in blocks; the mix of
classes moves from one half of the classes to the other; some classes were not in the set that the
first model learned from and appear one by one.
"""

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from cloud.annotations import Sample
from cloud.corrupt import Kind

Ints = npt.NDArray[np.int64]
Rng = np.random.Generator
LOOKALIKES: Final = (
    (0, 1, 2, 3, 4, 5, 7, 8),
    (6, 32, 41, 42),
    (9, 10, 15, 16, 17, 14),
    (11, 13, *range(18, 32)),
    tuple(range(33, 41)),
    (12, 13),
)
"""GTSRB's class ids by shape and colour: what a hasty labeller takes for each other."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How large everything is."""

    days: int = 8
    """Rounds: labels come and the model learns at night."""
    labels: int = 50
    """Labels a day."""
    route: int = 80
    """Places that are passed every day, there and back."""
    fresh: int = 90
    """New places a day."""
    frames: int = 6
    """Distinct frames of a sighting that are kept to be looked at."""
    held_out: int = 9
    """Classes that the first model never saw."""
    test_share: float = 0.25
    first_share: float = 0.1
    """Share of a known class's tracks that the first model learns from; two at least."""
    first_frames: int = 10
    passes: int = 2
    """Sightings of each test track."""
    test_frames: int = 3
    stand_share: float = 0.1
    """Share of the places where the car stands, at lights or in a queue."""
    stand_frames: float = 600.0
    """Mean number of frames while it stands: twenty seconds."""
    stop_frames: float = 9_000.0
    """Mean number of frames while it stops once a day: five minutes."""
    label_error: float = 0.07


@dataclass(frozen=True, slots=True)
class Place:
    """One physical sign: a track."""

    index: int
    """Class."""
    samples: tuple[Sample, ...]
    """Its frames from far to near."""

    @property
    def key(self) -> tuple[int, str]:
        """What no two places share."""
        return self.index, self.samples[0].track


@dataclass(frozen=True, slots=True)
class Sighting:
    """A place passed once."""

    day: int
    at: float
    """Time of day, 0..1."""
    place: int
    """Position in the list of places."""
    frames: tuple[int, ...]
    """Positions of the distinct frames in the place's samples, rising."""
    dwell: tuple[int, ...]
    """How many near-identical frames each of them stands for."""
    weather: tuple[Kind, int] | None
    """Kind and severity of what spoils it."""


@dataclass(frozen=True, slots=True)
class Field:
    """Everything that a seed draws."""

    places: tuple[Place, ...]
    first: Ints
    """Places that the first model learned from."""
    stream: tuple[Sighting, ...]
    """In order of time."""
    test: tuple[Sighting, ...]
    held_out: tuple[int, ...]
    """Classes that are new in the field."""


def places_of(samples: Iterable[Sample]) -> tuple[Place, ...]:
    """Return the tracks, frames in order."""
    tracks: dict[tuple[int, str], list[Sample]] = {}
    for sample in samples:
        tracks.setdefault((sample.index, sample.track), []).append(sample)
    return tuple(
        Place(index, tuple(sorted(found, key=lambda s: s.path)))
        for (index, _), found in sorted(tracks.items())
    )


def draw_field(places: Sequence[Place], plan: Plan, seed: int) -> Field:
    """Draw first set, stream and test; they share no place."""
    rng = np.random.default_rng([seed, 4])
    classes = np.array([p.index for p in places])
    count = int(classes.max()) + 1
    held_out = np.sort(rng.choice(count, plan.held_out, replace=False))
    first, stream, test = [], [], []
    for index in range(count):
        own = rng.permutation(np.flatnonzero(classes == index))
        n_test = max(2, round(plan.test_share * len(own)))
        n_first = 0 if index in held_out else max(2, round(plan.first_share * len(own)))
        test += own[:n_test].tolist()
        first += own[n_test : n_test + n_first].tolist()
        stream += own[n_test + n_first :].tolist()
    mix = _mix(count, held_out, plan, rng)
    weather = _calendar(plan, rng)
    return Field(
        tuple(places),
        np.array(sorted(first), np.int64),
        _stream(places, stream, mix, weather, plan, rng),
        _test(places, test, mix, weather, plan, rng),
        tuple(int(n) for n in held_out),
    )


def label_of(truth: int, seed: int, name: str, classes: int, error: float) -> int:
    """Return what the labeller says: wrong at a known rate, half of that for a look-alike.

    The same picture gets the same answer, whoever asks.
    """
    digest = hashlib.sha256(f"{seed}/label/{name}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    if rng.random() >= error:
        return truth
    alike = [n for group in LOOKALIKES if truth in group for n in group if n != truth]
    others = [n for n in range(classes) if n != truth]
    pool = alike if alike and max(alike) < classes and rng.random() < 0.5 else others
    return int(rng.choice(pool))


def _mix(classes: int, held_out: Ints, plan: Plan, rng: Rng) -> npt.NDArray[np.float64]:
    """Return how common each class is on each day, shape (days, classes)."""
    days = np.arange(plan.days)
    sides = rng.integers(0, 2, classes)
    swing = np.cos(np.pi * days[:, None] / max(1, plan.days - 1) + np.pi * sides[None])
    mix = 1 + 0.8 * swing
    arrivals = np.arange(len(held_out)) * max(1, plan.days // 2) // max(1, len(held_out))
    for index, day in zip(rng.permutation(held_out), arrivals, strict=True):
        mix[:day, index] = 0.0
    return np.asarray(mix)


def _calendar(plan: Plan, rng: Rng) -> list[list[tuple[float, tuple[Kind, int] | None]]]:
    """Return for each day the blocks of its weather: until when, what."""
    calendar: list[list[tuple[float, tuple[Kind, int] | None]]] = []
    third = plan.days / 3
    for day in range(plan.days):
        strength = [int(n) for n in rng.integers(2, 5, 5)]
        foggy, rainy = third <= day < 2 * third, day >= 2 * third - 1
        calendar.append(
            [
                (0.15, ("night", strength[0])),
                (0.40, ("fog", strength[1]) if foggy else None),
                (0.70, ("rain", min(3, strength[2])) if rainy else None),
                (0.85, ("motion", strength[3])),
                (1.00, ("night", strength[4])),
            ]
        )
    return calendar


def _stream(
    places: Sequence[Place],
    pool: Sequence[int],
    mix: npt.NDArray[np.float64],
    weather: Sequence[Sequence[tuple[float, tuple[Kind, int] | None]]],
    plan: Plan,
    rng: Rng,
) -> tuple[Sighting, ...]:
    stands = {place for place in pool if rng.random() < plan.stand_share}
    left = np.array(pool)
    found: list[Sighting] = []
    route = np.empty(0, np.int64)
    for day in range(plan.days):
        weights = mix[day][[places[p].index for p in left]]
        if day == 0:
            route, left, weights = _taken(left, weights, plan.route, rng)
        fresh, left, _ = _taken(left, weights, plan.fresh, rng)
        today = np.concatenate([fresh, route, route])
        times = np.sort(rng.random(len(today)))
        stop = int(rng.integers(len(today)))
        for n, (at, place) in enumerate(zip(times, rng.permutation(today).tolist(), strict=True)):
            mean = plan.stop_frames if n == stop else plan.stand_frames * (place in stands)
            shown = _weather(weather[day], float(at))
            passed = _sighting(places, place, day, float(at), shown, plan.frames, rng)
            found.append(_stood(passed, int(mean * rng.exponential()), rng))
    return tuple(found)


def _taken(
    left: Ints, weights: npt.NDArray[np.float64], count: int, rng: Rng
) -> tuple[Ints, Ints, npt.NDArray[np.float64]]:
    """Draw some without replacement; return them, the rest, and the weights of the rest."""
    able = int((weights > 0).sum())
    drawn = rng.choice(len(left), min(count, able), replace=False, p=weights / weights.sum())
    rest = np.setdiff1d(np.arange(len(left)), drawn)
    return left[drawn], left[rest], weights[rest]


def _test(
    places: Sequence[Place],
    pool: Sequence[int],
    mix: npt.NDArray[np.float64],
    weather: Sequence[Sequence[tuple[float, tuple[Kind, int] | None]]],
    plan: Plan,
    rng: Rng,
) -> tuple[Sighting, ...]:
    found = []
    for place in pool:
        chances = mix[:, places[place].index]
        days = rng.choice(plan.days, plan.passes, p=chances / chances.sum())
        for day in days.tolist():
            at = float(rng.random())
            shown = _weather(weather[day], at)
            found.append(_sighting(places, place, day, at, shown, plan.test_frames, rng))
    return tuple(found)


def _weather(
    blocks: Sequence[tuple[float, tuple[Kind, int] | None]], at: float
) -> tuple[Kind, int] | None:
    return next(shown for until, shown in blocks if at < until)


def _sighting(
    places: Sequence[Place],
    place: int,
    day: int,
    at: float,
    shown: tuple[Kind, int] | None,
    frames: int,
    rng: Rng,
) -> Sighting:
    """Pass a place: each distinct frame stands for its neighbours."""
    total = len(places[place].samples)
    edges = np.linspace(0, total, frames + 1).round().astype(int)
    chosen = tuple(int(rng.integers(a, b)) for a, b in itertools.pairwise(edges))
    dwell = tuple(int(n) for n in np.diff(edges))
    return Sighting(day, at, place, chosen, dwell, shown)


def _stood(sighting: Sighting, frames: int, rng: Rng) -> Sighting:
    """Let one of a sighting's frames stand for so many more."""
    dwell = list(sighting.dwell)
    dwell[int(rng.integers(len(dwell)))] += frames
    return replace(sighting, dwell=tuple(dwell))
