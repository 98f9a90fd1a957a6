"""Ways to spend labels: ours, as the device chooses, and what it is compared with.

An arm sees one day of sightings, the head of that morning and what it asked before, and names the
frames to be labelled. Ours decides sighting by sighting as they pass; the others may rank the
whole day. All but plain random look at one frame a sighting, drawn by chance: so they are spared
near-duplicates, which is more than their names promise.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from agent.vision.scores import best_two, calibrated
from agent.vision.types import Box, FloatArray, Prediction, Region
from bench.labels.device import Device, Fate, Shot
from bench.labels.features import Embedded, Seen
from bench.labels.head import Head, learn
from bench.labels.stream import Field, Ints, Plan, label_of
from cloud.train.export import BASIS_POINTS, KEPT

Rng = np.random.Generator
FIRST_WEIGHT: Final = 0.3
"""Of an image of the first set: ten of them are of one sign, a label from the field of one."""

REPEATS: Final = 4
"""Draws of an arm that chooses by chance: what is wanted is what it reaches on average."""


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """A field and all that is known of its frames."""

    plan: Plan
    seed: int
    field: Field
    seen: Embedded
    classes: int

    def rows(self, sightings: Ints) -> Ints:
        """Return the rows of the sightings' frames, shape (n, frames)."""
        return sightings[:, None] * self.plan.frames + np.arange(self.plan.frames)

    def days(self) -> list[Ints]:
        """Return the sightings of each day."""
        of = np.array([s.day for s in self.field.stream])
        return [np.flatnonzero(of == day) for day in range(self.plan.days)]

    def labels(self, rows: Ints) -> Ints:
        """Return what the labeller says to frames."""
        truth, error = self.seen.stream.truth, self.plan.label_error
        return np.array(
            [label_of(int(truth[r]), self.seed, str(r), self.classes, error) for r in rows],
            np.int64,
        )

    def taught(self, rows: Ints) -> Head:
        """Return the head learned from the first set and labels of some frames."""
        first, stream = self.seen.first, self.seen.stream
        weights = np.ones(len(first.truth) + len(rows), np.float32)
        weights[: len(first.truth)] = FIRST_WEIGHT
        labels = np.concatenate([first.truth, self.labels(rows)])
        plain = np.concatenate([first.features, stream.features[rows]])
        copies = np.concatenate([first.distorted, stream.distorted[rows]])
        every = np.concatenate([plain[:, None], copies], axis=1)
        times = every.shape[1]
        return learn(
            every.reshape(len(labels) * times, -1), np.repeat(labels, times),
            np.repeat(weights, times), self.classes,
        )  # fmt: skip


@dataclass(slots=True)
class State:
    """What an arm goes by on a day."""

    rng: Rng
    head: Head
    rows: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    """Asked so far."""
    fates: dict[int, Fate] = field(default_factory=dict)
    """Of ours, by sighting."""
    device: Device | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One arm over one field; all but `rows` have a value before the first day and after each."""

    labels: Ints
    """Spent so far."""
    accuracy: FloatArray
    """Of single frames of the test."""
    of_sightings: FloatArray
    """Of whole sightings of the test, by the mean of their frames' scores."""
    of_new: FloatArray
    """Of frames of the classes that the first model did not know."""
    rows: Ints
    fates: Mapping[int, Fate]


Chosen = Ints
Arm = Callable[[World, Ints, int, State], Chosen]
"""World, sightings of the day, how many labels (ours: is not asked), state -> rows."""


def ours(world: World, sightings: Ints, _count: int, state: State) -> Chosen:
    """Ask as the device does: by sighting, as they pass, with its own bar and budget."""
    device = state.device = state.device or Device(world.plan.labels)
    device.know(unknown_threshold(world, state.head))
    rows = world.rows(sightings)
    logits = state.head.logits(world.seen.stream.features[rows.ravel()])
    logits = logits.reshape(*rows.shape, -1)
    chosen = []
    for n, sighting in enumerate(sightings.tolist()):
        shots = [shot(world.seen.stream, int(r), logits[n, k]) for k, r in enumerate(rows[n])]
        passed = world.field.stream[sighting]
        fate = device.see(id_of(world.seed, sighting), shots, passed.day + passed.at)
        state.fates[sighting] = fate
        if fate.asked:
            chosen.append(int(rows[n, fate.shot]))
    return np.array(chosen, np.int64)


def shot(seen: Seen, row: int, logits: FloatArray) -> Shot:
    """Return a frame as the device sees it."""
    scores, energy = calibrated(logits, 1.0)
    index, score, margin = best_two(scores)
    side = int(seen.side[row])
    region = Region(Box(0, 0, side, side))
    said = Prediction(region, index, str(index), score, margin, energy, scores)
    return Shot(said, int(seen.hashes[row]), float(seen.sharpness[row]))


def unknown_threshold(world: World, head: Head) -> float:
    """Return the energy that the model's file would call unknown: few of the known are above."""
    logits = head.logits(world.seen.first.features)
    energies = [calibrated(row, 1.0)[1] for row in logits]
    return float(np.quantile(energies, KEPT / BASIS_POINTS))


def id_of(seed: int, sighting: int) -> str:
    """Return a sighting's id: 32 hexadecimal digits."""
    return hashlib.sha256(f"{seed}/sighting/{sighting}".encode()).hexdigest()[:32]


def plain(world: World, sightings: Ints, count: int, state: State) -> Chosen:
    """Draw uniformly over all frames of the day; near-identical ones are one row here."""
    rows = world.rows(sightings).ravel()
    dwell = np.array([n for s in sightings for n in world.field.stream[s].dwell], np.float64)
    return state.rng.choice(rows, count, replace=False, p=dwell / dwell.sum())


def one_each(world: World, sightings: Ints, state: State) -> Ints:
    """Return a random frame of each sighting."""
    rows = world.rows(sightings)
    return rows[np.arange(len(rows)), state.rng.integers(0, rows.shape[1], len(rows))]


def deduped(world: World, sightings: Ints, count: int, state: State) -> Chosen:
    """Draw sightings, then a frame of each."""
    return state.rng.choice(one_each(world, sightings, state), count, replace=False)


def by_entropy(world: World, sightings: Ints, count: int, state: State) -> Chosen:
    """Take the highest entropy of the day."""
    rows = one_each(world, sightings, state)
    scores = state.head.scores(world.seen.stream.features[rows]).astype(np.float64)
    entropy = -(scores * np.log(scores + 1e-12)).sum(axis=1)
    return rows[np.argsort(-entropy, kind="stable")[:count]]


def by_margin(world: World, sightings: Ints, count: int, state: State) -> Chosen:
    """Take the smallest margins of the day."""
    rows = one_each(world, sightings, state)
    best = np.sort(state.head.scores(world.seen.stream.features[rows]), axis=1)
    return rows[np.argsort(best[:, -1] - best[:, -2], kind="stable")[:count]]


def k_center(world: World, sightings: Ints, count: int, state: State) -> Chosen:
    """Take what lies farthest from all that is labelled, one by one (Sener and Savarese 2018)."""
    rows = one_each(world, sightings, state)
    inputs = world.seen.stream.features[rows]
    known = np.concatenate([world.seen.first.features, world.seen.stream.features[state.rows]])
    far = squared(inputs, known).min(axis=1)
    chosen = []
    for _ in range(count):
        n = int(far.argmax())
        chosen.append(int(rows[n]))
        far = np.minimum(far, squared(inputs, inputs[n : n + 1])[:, 0])
        far[n] = -math.inf
    return np.array(chosen, np.int64)


def squared(a: FloatArray, b: FloatArray) -> npt.NDArray[np.float64]:
    """Return squared distances of rows, shape (len(a), len(b))."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    return np.asarray((x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * x @ y.T)


OURS: Final = "ours"
RANDOM: Final = "random"
DEDUPE: Final = "random + dedupe"
ARMS: Final[Mapping[str, Arm]] = {
    OURS: ours,
    RANDOM: plain,
    DEDUPE: deduped,
    "entropy": by_entropy,
    "margin": by_margin,
    "k-center": k_center,
}


def run(world: World, arm: str, counts: Ints | None = None, repeat: int = 0) -> Run:
    """Let an arm choose day by day; the head learns at night.

    Args:
        world: The field.
        arm: Of `ARMS`.
        counts: Labels that may be spent each day, those that ours spent; None: for ours itself.
        repeat: Another number, another draw.
    """
    rng = np.random.default_rng([world.seed, sorted(ARMS).index(arm), repeat])
    state = State(rng, world.taught(np.empty(0, np.int64)))
    figures, spent = [judged(world, state.head)], [0]
    for day, sightings in enumerate(world.days()):
        count = 0 if counts is None else int(counts[day])
        chosen = ARMS[arm](world, sightings, count, state)
        state.rows = np.concatenate([state.rows, chosen])
        state.head = world.taught(state.rows)
        figures.append(judged(world, state.head))
        spent.append(len(state.rows))
    accuracy, of_sightings, of_new = np.array(figures, np.float32).T
    return Run(np.array(spent), accuracy, of_sightings, of_new, state.rows, state.fates)


def judged(world: World, head: Head) -> tuple[float, float, float]:
    """Return accuracy of test frames, of test sightings, and of frames of new classes."""
    return judge(world, head.scores(world.seen.test.features))


def judge(world: World, scores: FloatArray) -> tuple[float, float, float]:
    """Return the same of anybody's scores of the test's frames."""
    test = world.seen.test
    right = scores.argmax(axis=1) == test.truth
    pooled = np.zeros((len(world.field.test), world.classes), np.float64)
    np.add.at(pooled, test.sighting, scores)
    truth = np.zeros(len(pooled), np.int64)
    truth[test.sighting] = test.truth
    is_new = np.isin(test.truth, world.field.held_out)
    return (
        float(right.mean()),
        float((pooled.argmax(axis=1) == truth).mean()),
        float(right[is_new].mean()),
    )


def run_all(world: World, arms: tuple[str, ...], repeats: int = REPEATS) -> dict[str, Run]:
    """Run ours, then the others with as many labels on each day as ours spent.

    Args:
        world: The field.
        arms: Of `ARMS`.
        repeats: How often arms of chance are drawn; their curves are the mean of all.
    """
    first = run(world, OURS)
    counts = np.diff(first.labels)
    found = {OURS: first}
    for arm in arms:
        if arm != OURS:
            times = repeats if arm in (RANDOM, DEDUPE) else 1
            found[arm] = mean_of([run(world, arm, counts, n) for n in range(times)])
    return found


def mean_of(runs: list[Run]) -> Run:
    """Return the mean of an arm's draws; the rows are those of the first."""
    accuracy, of_sightings, of_new = (
        np.asarray(np.mean([getattr(of, kind) for of in runs], axis=0), np.float32)
        for kind in ("accuracy", "of_sightings", "of_new")
    )
    return Run(runs[0].labels, accuracy, of_sightings, of_new, runs[0].rows, runs[0].fates)
