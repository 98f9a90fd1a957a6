"""Decoded images to an endless variety of training batches, the same for the same seed. Shell."""

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from agent.contract.profile import Augmentation, Symmetry
from agent.vision.preprocess import PixelTable, fill_input
from agent.vision.types import Box, FloatArray, Image
from cloud.train.augment import Cut, flipped, training_input
from cloud.train.recipe import Recipe

IntArray = npt.NDArray[np.int64]
T = TypeVar("T")
Batch = tuple[FloatArray, FloatArray]
"""Inputs (batch, side, side, 3), RGB in 0..1, and one-hot classes (batch, classes)."""

AHEAD: Final = 6
"""Batches prepared while the network works."""
WORKERS: Final = 2
UNIT: Final = PixelTable((np.arange(256) / 255).astype(np.float32), None)
"""Pixels as the network is trained on them: 0..1."""


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Decoded images of one split.

    Where the last label is "none of these", its images show nothing of the task.
    """

    images: tuple[Image, ...]
    boxes: tuple[Box, ...]
    classes: IntArray
    """Class index of each image."""
    labels: tuple[str, ...]
    symmetries: tuple[Symmetry, ...]
    """Of each class."""
    mirrors: tuple[int, ...]
    """Class that a left-right flip turns each class into; -1: none."""

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def joined(self, other: "Examples") -> "Examples":
        """Return these examples followed by others of the same classes."""
        return replace(
            self,
            images=self.images + other.images,
            boxes=self.boxes + other.boxes,
            classes=np.concatenate([self.classes, other.classes]),
        )


def epoch_order(classes: IntArray, balance: float, rng: np.random.Generator) -> IntArray:
    """Draw as many images as there are, in random order, rare classes more often.

    Systematic sampling: an image's count differs from its expectation by less than one.

    Args:
        classes: Class index of each image.
        balance: 0: every image as often; 1: every class as often.
        rng: The only source of chance.
    """
    counts = np.bincount(classes)
    weights = counts[classes] ** -float(balance)
    shuffled = rng.permutation(len(classes))
    edges = np.cumsum(weights[shuffled])
    points = (np.arange(len(classes)) + rng.random()) * (edges[-1] / len(classes))
    drawn = shuffled[np.minimum(np.searchsorted(edges, points), len(classes) - 1)]
    return rng.permutation(drawn).astype(np.int64)


def make_batch(
    examples: Examples,
    rows: IntArray,
    recipe: Recipe,
    limits: Augmentation,
    rng: np.random.Generator,
) -> Batch:
    """Return one batch of distorted inputs."""
    side = recipe.side
    pixels = np.empty((len(rows), side, side, 3), np.uint8)
    targets = np.zeros((len(rows), len(examples.labels)), np.float32)
    cut = Cut(side, recipe.margin, recipe.whole_share)
    for n, row in enumerate(rows):
        index = int(examples.classes[row])
        small = training_input(examples.images[row], examples.boxes[row], cut, limits, rng)
        mirror = examples.mirrors[index]
        small, mirrored = flipped(small, examples.symmetries[index], mirror >= 0, rng)
        pixels[n] = small[..., ::-1]
        targets[n, mirror if mirrored else index] = 1.0
    return UNIT.values[pixels].astype(np.float32, copy=False), targets


def epoch_rows(examples: Examples, recipe: Recipe, epoch: int, new: int | None = None) -> IntArray:
    """Return the images of one epoch, in order.

    Args:
        examples: All there are.
        recipe: Its `balance`, `replay_share` and `seed` are used.
        epoch: From 1.
        new: Where a trained model learns more: so many examples, the first, are new to it, and
            of the others only `replay_share` of the epoch is drawn. None: all are new.
    """
    rng = np.random.default_rng([recipe.seed, epoch])
    if new is None:
        return epoch_order(examples.classes, recipe.balance, rng)
    fresh = epoch_order(examples.classes[:new], recipe.balance, rng)
    if new == len(examples):
        return fresh
    old = new + epoch_order(examples.classes[new:], recipe.balance, rng)
    replayed = round(len(fresh) * recipe.replay_share / (1 - recipe.replay_share))
    return rng.permutation(np.concatenate([fresh, np.resize(old, replayed)]))


def epoch_batches(
    examples: Examples,
    recipe: Recipe,
    limits: Augmentation,
    epoch: int,
    new: int | None = None,
) -> Iterator[Batch]:
    """Yield one epoch's batches, prepared by threads beside the network.

    Each batch has its own seed, so the threads' timing changes nothing.
    """
    order = epoch_rows(examples, recipe, epoch, new)
    rows = [order[i : i + recipe.batch] for i in range(0, len(order), recipe.batch)]

    def make(n: int) -> Batch:
        rng = np.random.default_rng([recipe.seed, epoch, n])
        return make_batch(examples, rows[n], recipe, limits, rng)

    return prepared_ahead(make, len(rows))


def prepared_ahead(make: Callable[[int], T], count: int) -> Iterator[T]:
    """Yield `make(0)`, `make(1)` ... in order, made by threads some steps ahead of their use."""
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="prepare") as pool:
        jobs = (pool.submit(make, n) for n in range(count))
        waiting: deque[Future[T]] = deque(itertools.islice(jobs, AHEAD))
        while waiting:
            ready = waiting.popleft().result()
            waiting.extend(itertools.islice(jobs, 1))
            yield ready


def plain_inputs(examples: Examples, recipe: Recipe) -> Iterator[Batch]:
    """Yield all images undistorted, cut as the device cuts them, in batches."""
    for start in range(0, len(examples), recipe.batch):
        rows = range(start, min(start + recipe.batch, len(examples)))
        pixels = np.empty((len(rows), recipe.side, recipe.side, 3), np.float32)
        for n, row in enumerate(rows):
            image = examples.images[row]
            box = examples.boxes[row].widened(recipe.margin, image.shape[1], image.shape[0])
            fill_input(pixels[n : n + 1], image, box, UNIT, rgb=True)
        yield pixels, np.eye(len(examples.labels), dtype=np.float32)[examples.classes[list(rows)]]
