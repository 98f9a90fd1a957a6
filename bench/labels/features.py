"""What the first model sees in every frame of a field: trained once, kept by hash."""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from agent.contract.errors import BadContentError
from agent.contract.profile import Profile
from agent.crops import sharpness
from agent.vision.preprocess import fill_input, region_hash
from agent.vision.shipped import load_profile
from agent.vision.types import FloatArray, Image
from bench.labels.stream import Field, Ints, Plan, Sighting
from cloud.annotations import Sample
from cloud.corrupt import corrupt, rng_of
from cloud.data import DataFolder, decode
from cloud.train.augment import Cut, training_input
from cloud.train.backend import keras
from cloud.train.batches import UNIT, Examples
from cloud.train.fit import Course, fit
from cloud.train.recipe import Recipe

Picture = tuple[Sample, Image]
BATCH: Final = 256
DISTORTED: Final = 2
"""Distorted copies of each picture that the head learns from, beside itself."""
FORM: Final = 2
"""Raised when this file computes something else from the same field."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Frames as the model sees them, n rows."""

    features: FloatArray
    """Of the layer before the logits, shape (n, width)."""
    distorted: FloatArray
    """Of the same pictures as the trainer distorts them, shape (n, DISTORTED, width)."""
    truth: Ints
    sighting: Ints
    """Which sighting (of the stream or the test), or place (of the first set), rows are of."""
    side: Ints
    """Shorter side of the object in pixels."""
    sharpness: FloatArray
    hashes: npt.NDArray[np.uint64]


def recipe_of(seed: int) -> Recipe:
    """Return how the first model is trained: half as wide as the product's."""
    return Recipe(width=0.5, epochs=60, batch=32, average=0.05, seed=seed)


def examples_of(shown: Sequence[Picture], classes: Sequence[int], profile: Profile) -> Examples:
    """Return pictures as the trainer takes them, each as the class that it is taken for."""
    labels = profile.labels
    return Examples(
        tuple(image for _, image in shown),
        tuple(sample.box(image) for sample, image in shown),
        np.array(classes, np.int64),
        labels,
        tuple(c.symmetry for c in profile.classes),
        tuple(labels.index(c.mirror) if c.mirror else -1 for c in profile.classes),
    )


class Pictures:
    """Decoded once, when they are needed, and spoilt on demand."""

    def __init__(self, folder: DataFolder, field: Field, seed: int) -> None:
        self._folder = folder
        self._field = field
        self._seed = seed
        shown = [
            (field.places[s.place].key, s.day, s.at, s.frames, s.weather)
            for s in (*field.stream, *field.test)
        ]
        first = [field.places[p].key for p in field.first]
        what = repr((folder.sha256, seed, first, shown))
        self.name = hashlib.sha256(what.encode()).hexdigest()
        """The same for the same pictures, however long each stays in sight."""

    @cached_property
    def _images(self) -> dict[Sample, Image]:
        places = self._field.places
        wanted = {
            places[s.place].samples[frame]
            for s in (*self._field.stream, *self._field.test)
            for frame in s.frames
        }
        wanted |= {sample for place in self._field.first for sample in places[place].samples}
        images = {}
        in_order = sorted(wanted, key=lambda s: (s.archive, s.path))
        for sample, image in decode(self._folder, in_order):
            if isinstance(image, str):
                raise BadContentError(f"{sample.name}: {image}")
            images[sample] = image
        return images

    def frame(self, sighting: Sighting, frame: int) -> Picture:
        """Return a frame of a sighting in its weather."""
        sample = self._field.places[sighting.place].samples[frame]
        image = self._images[sample]
        if sighting.weather is None:
            return sample, image
        kind, severity = sighting.weather
        name = f"{sample.path}/{sighting.day}/{sighting.at:.6f}"
        rng = rng_of(self._seed, name, kind, severity)
        return sample, corrupt(image, sample.box(image), kind, severity, rng)

    def first(self, plan: Plan) -> list[Picture]:
        """Return the pictures that the first model learns from."""
        found = []
        for place in self._field.first:
            samples = self._field.places[place].samples
            steps = np.linspace(0, len(samples) - 1, plan.first_frames).round().astype(int)
            found += [(samples[n], self._images[samples[n]]) for n in steps]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """A whole field through the first model's eyes."""

    first: Seen
    stream: Seen
    test: Seen


def embedded(pictures: Pictures, field: Field, plan: Plan, seed: int, cache: Path) -> Embedded:
    """Train the first model and embed everything, or take it from the cache."""
    what = repr((FORM, recipe_of(seed), pictures.name, plan.first_frames))

    def compute() -> dict[str, npt.NDArray[Any]]:
        return _compute(pictures, field, plan, seed, cache)

    stored = cached(cache, "seen", what, compute)
    parts = [
        Seen(**{key: stored[f"{part}_{key}"] for key in Seen.__dataclass_fields__})
        for part in ("first", "stream", "test")
    ]
    return Embedded(*parts)


def cached(
    cache: Path, kind: str, what: str, compute: Callable[[], Mapping[str, npt.NDArray[Any]]]
) -> dict[str, npt.NDArray[Any]]:
    """Return arrays from the cache, where the same was computed before."""
    digest = hashlib.sha256(what.encode()).hexdigest()[:16]
    path = cache / f"{kind}-{digest}.npz"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        arrays = compute()
        temporary = path.with_suffix(".new.npz")
        np.savez(temporary, **arrays)  # type: ignore[arg-type]
        temporary.replace(path)
    with np.load(path) as stored:
        return dict(stored)


def _compute(
    pictures: Pictures, field: Field, plan: Plan, seed: int, cache: Path
) -> dict[str, npt.NDArray[Any]]:
    shown = pictures.first(plan)
    network = first_network(shown, seed, cache)
    eye = keras().Model(network.inputs, network.get_layer("average").output)
    arrays: dict[str, npt.NDArray[Any]] = {}
    places = np.repeat(field.first, plan.first_frames)
    for part, seen in (
        ("first", look(eye, shown, places, DISTORTED)),
        ("stream", look(eye, *_frames(pictures, field.stream), DISTORTED)),
        ("test", look(eye, *_frames(pictures, field.test), 0)),
    ):
        arrays |= {f"{part}_{key}": getattr(seen, key) for key in Seen.__dataclass_fields__}
    return arrays


def first_network(shown: Sequence[Picture], seed: int, cache: Path) -> Any:  # noqa: ANN401 - a keras.Model
    """Train the first model; an interrupted run goes on, a finished one is read."""
    profile = load_profile("traffic-signs")
    train = examples_of(shown, [s.index for s, _ in shown], profile)
    recipe = recipe_of(seed)
    what = repr((recipe, [sample.path for sample, _ in shown], profile.augmentation))
    name = hashlib.sha256(what.encode()).hexdigest()[:16]
    course = Course(train, None, recipe, profile.augmentation, cache / f"first-{name}", name)
    network, _ = fit(course, lambda *_: None, lambda _: None)
    return network


def _frames(pictures: Pictures, sightings: Sequence[Sighting]) -> tuple[Iterator[Picture], Ints]:
    of = np.repeat(np.arange(len(sightings)), [len(s.frames) for s in sightings])
    return (pictures.frame(s, f) for s in sightings for f in s.frames), of


def frames_of(sightings: Sequence[Sighting], pictures: Pictures, row: int) -> Picture:
    """Return the frame of a row, where all sightings have as many frames."""
    number, frame = divmod(row, len(sightings[0].frames))
    return pictures.frame(sightings[number], sightings[number].frames[frame])


def inputs_of(shown: Iterable[Picture]) -> Iterator[FloatArray]:
    """Yield batches of pictures cut as the device cuts them; the last is smaller."""
    recipe = recipe_of(0)

    def cuts() -> Iterator[FloatArray]:
        for sample, image in shown:
            box = sample.box(image).widened(recipe.margin, image.shape[1], image.shape[0])
            cut = np.empty((1, recipe.side, recipe.side, 3), np.float32)
            fill_input(cut, image, box, UNIT, rgb=True)
            yield cut

    return batches(cuts())


def distorted_inputs(shown: Iterable[Picture], copies: int) -> Iterator[FloatArray]:
    """Yield batches of distorted copies, those of a picture one after the other."""
    recipe, limits = recipe_of(0), load_profile("traffic-signs").augmentation
    cut = Cut(recipe.side, recipe.margin, recipe.whole_share)

    def cuts() -> Iterator[FloatArray]:
        for number, (sample, image) in enumerate(shown):
            rng = np.random.default_rng([number, *sample.path.encode()])
            for _ in range(copies):
                small = training_input(image, sample.box(image), cut, limits, rng)
                yield UNIT.values[small[None, ..., ::-1]].astype(np.float32, copy=False)

    return batches(cuts())


def batches(cuts: Iterator[FloatArray]) -> Iterator[FloatArray]:
    """Yield inputs of shape (1, side, side, 3) in batches."""
    while some := list(itertools.islice(cuts, BATCH)):
        yield np.concatenate(some)


def look(eye: Any, shown: Iterable[Picture], of: Ints, copies: int) -> Seen:  # noqa: ANN401 - a keras.Model
    """Embed pictures, and note what the device measures on them."""
    truth, sides, sharp, hashes, features = [], [], [], [], []
    distorted: list[FloatArray] = []
    shown = iter(shown)
    while some := list(itertools.islice(shown, BATCH)):
        for sample, image in some:
            box = sample.box(image)
            truth.append(sample.index)
            sides.append(min(box.width, box.height))
            sharp.append(sharpness(image, box))
            hashes.append(region_hash(image, box))
        features += [np.asarray(eye.predict_on_batch(b), np.float32) for b in inputs_of(some)]
        distorted += [
            np.asarray(eye.predict_on_batch(b), np.float32) for b in distorted_inputs(some, copies)
        ]
    seen = np.concatenate(features)
    other = np.concatenate(distorted) if copies else np.empty(0, np.float32)
    return Seen(
        seen, other.reshape(len(seen), copies, seen.shape[1]), np.array(truth, np.int64),
        np.asarray(of, np.int64), np.array(sides, np.int64), np.array(sharp, np.float32),
        np.array(hashes, np.uint64),
    )  # fmt: skip
