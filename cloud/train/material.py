"""What a training run learns from: folders to examples, with everything refused said. Shell."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console

from agent.contract.errors import BadContentError
from agent.contract.messages import NONE_OF_THESE
from agent.contract.profile import Profile
from cloud.data import (
    TRAIN,
    VAL,
    DataFolder,
    decode,
    read_folder,
    split_by_image,
    split_by_track,
)
from cloud.naming import with_names
from cloud.scenes import pictures, read_scenes, with_splits
from cloud.train.background import Patch, background_patches
from cloud.train.batches import Examples
from cloud.train.files import PLAIN

MIN_IMAGES: Final = 4
"""Training images that each class needs at least."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a training run learns from."""

    data: Path
    """See `cloud.data.read_folder`; classes are named by labels or aliases of the profile."""
    background: Path | None = None
    """Road scenes (see `cloud.scenes`): what is no object, for the answer "none of these"."""
    replay: Path | None = None
    """Where a trained network learns more: a folder like `data` of what it knew before."""
    everything: bool = False
    """True: learn from the images that were held back, too, when nothing is left to choose."""


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Decoded examples, and where they come from."""

    train: Examples
    """Of `data`, then of `replay`, then of `background`."""
    val: Examples
    """Held-back images in the same order; with `everything` the training has seen them."""
    new: int
    """How many of `train`, the first, are of `data`."""
    val_new: int
    """The same for `val`."""
    refused: tuple[str, ...]
    """Images that could not be used, and why."""
    origin: str
    """For the manifest."""
    sha256: str
    """Of the annotations of `data`."""

    def digest(self) -> str:
        """Return the hash of everything that training sees: pixels, boxes, classes and flips."""
        train = self.train
        seen = hashlib.sha256(repr((train.labels, train.symmetries, train.mirrors)).encode())
        seen.update(train.classes.tobytes())
        for image, box in zip(train.images, train.boxes, strict=True):
            seen.update(repr((image.shape, box.as_tuple())).encode())
            seen.update(image.tobytes())
        return seen.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """What one folder gives."""

    train: Examples
    val: Examples
    refused: tuple[str, ...]
    origin: str
    sha256: str


def gather(
    sources: Sources,
    task: Profile,
    console: Console,
    known: tuple[str, ...] = (),
) -> Material:
    """Read and decode all that a run learns from.

    Args:
        sources: The folders.
        task: Names the classes.
        console: Where refused images are named.
        known: Answers of the trained network that goes on; classes that it knows need no images.

    Raises:
        BadContentError: a folder is wrong, or holds too little.
        UnavailableError: a file cannot be read.
    """
    folders = [
        with_names(prepared(read_folder(root), console), task)
        for root in (sources.data, sources.replay)
        if root
    ]
    with_none = (
        sources.background is not None
        or NONE_OF_THESE in known
        or any(NONE_OF_THESE in folder.labels for folder in folders)
    )
    parts = [_labelled(f, task, with_none, everything=sources.everything) for f in folders]
    new, val_new = len(parts[0].train), len(parts[0].val)
    if sources.background:
        parts.append(load_background(sources.background, parts[0].train))
    train, val = (_joined([getattr(p, side) for p in parts]) for side in ("train", "val"))
    _refuse_poor(train, sources.data, known)
    refused = tuple(line for part in parts for line in part.refused)
    for line in refused:
        console.print(f"refused {line}", style="yellow", **PLAIN)
    where = "seen in training as well" if sources.everything else "held back"
    console.print(f"{len(train)} images to learn from, {len(val)} {where},"
                  f" {len(train.labels)} answers")  # fmt: skip
    return Material(
        train, val, new, val_new, refused, "; ".join(p.origin for p in parts),
        parts[0].sha256,
    )  # fmt: skip


def _labelled(folder: DataFolder, task: Profile, with_none: bool, *, everything: bool) -> _Part:
    kept, refused = load_examples(folder, task, TRAIN, with_none)
    held, also_refused = load_examples(folder, task, VAL, with_none)
    if not len(held):
        raise BadContentError(f"{folder.root}: no readable image in split {VAL!r}")
    missing = tuple(f"{name}: not in the folder" for name in folder.missing)
    splits = f"{TRAIN} and {VAL}" if everything else TRAIN
    return _Part(
        kept.joined(held) if everything else kept, held, (*missing, *refused, *also_refused),
        f"{folder.name} {splits}", folder.sha256,
    )  # fmt: skip


def _joined(examples: list[Examples]) -> Examples:
    whole = examples[0]
    for other in examples[1:]:
        whole = whole.joined(other)
    return whole


def prepared(folder: DataFolder, console: Console) -> DataFolder:
    """Return the folder with splits, and say so where they had to be made.

    Always the same ones, whatever the recipe's seed: `evaluate` must find them again.
    """
    if folder.splits:
        return folder
    by_track = split_by_track(folder)
    if by_track.splits:
        console.print(
            f"no split column: about a fifth of each class's tracks are held back as {VAL}"
        )
        return by_track
    console.print(
        f"no split and no track column: images are held back as {VAL} one by one; if several show"
        " the same object, its figures are too good",
        style="yellow",
    )
    return split_by_image(folder)


def load_examples(
    folder: DataFolder, profile: Profile, split: str, with_none: bool = False
) -> tuple[Examples, tuple[str, ...]]:
    """Decode a split, with classes in the profile's order.

    Args:
        folder: With splits.
        profile: Names the classes.
        split: Which images.
        with_none: True: "none of these" is the last answer.

    Returns:
        The examples, and the names of images that could not be used with the reason.

    Raises:
        BadContentError: class names are not the profile's labels, or there is no such split.
    """
    unknown = sorted(set(folder.labels) - set(profile.labels) - {NONE_OF_THESE})
    if unknown:
        raise BadContentError(
            f"{folder.root}: class {unknown[0]!r} is not in profile {profile.name}: no label or"
            " alias; rename the class, or add its name to the aliases of one"
        )
    found = list(decode(folder, folder.of(split)))
    kept = [(sample, image) for sample, image in found if not isinstance(image, str)]
    refused = tuple(f"{sample.name}: {why}" for sample, why in found if isinstance(why, str))
    labels = (*profile.labels, NONE_OF_THESE) if with_none else profile.labels
    mirrors = [labels.index(c.mirror) if c.mirror else -1 for c in profile.classes]
    examples = Examples(
        tuple(image for _, image in kept),
        tuple(sample.box(image) for sample, image in kept),
        np.array([labels.index(folder.labels[sample.index]) for sample, _ in kept], np.int64),
        labels,
        # What is nothing stays nothing, whatever way it is turned.
        (*(c.symmetry for c in profile.classes), "both"),
        (*mirrors, -1),
    )
    return examples, refused


def load_background(root: Path, like: Examples) -> _Part:
    """Cut what is no object out of road scenes, apart for those that training may see.

    Args:
        root: See `cloud.scenes.read_scenes`; only splits `train` and `val` are used.
        like: Gives the classes.

    Raises:
        BadContentError: the folder is wrong, or nothing in it is for training.
        UnavailableError: the folder cannot be read.
    """
    folder = with_splits(read_scenes(root))
    sides: dict[str, list[Patch]] = {TRAIN: [], VAL: []}
    refused = []
    held = folder.of(VAL) if VAL in folder.splits else ()
    for scene, image in pictures((*folder.of(TRAIN), *held)):
        if isinstance(image, str):
            refused.append(image)
            continue
        # Each scene has its own chance: what is cut from it does not depend on the others.
        rng = np.random.default_rng(list(scene.name.encode()))
        boxes = tuple(marked.box for marked in scene.objects)
        sides[scene.split] += background_patches(image, boxes, rng)
    return _Part(
        _nothing(sides[TRAIN], like), _nothing(sides[VAL], like), tuple(refused),
        f"none of these: {root.resolve().name}", folder.sha256,
    )  # fmt: skip


def _nothing(patches: list[Patch], like: Examples) -> Examples:
    classes = np.full(len(patches), like.labels.index(NONE_OF_THESE), np.int64)
    return replace(
        like, images=tuple(p.image for p in patches), boxes=tuple(p.box for p in patches),
        classes=classes,
    )  # fmt: skip


def _refuse_poor(examples: Examples, data: Path, known: tuple[str, ...]) -> None:
    counts = np.bincount(examples.classes, minlength=len(examples.labels))
    poor = [
        f"{label!r} {n}"
        for label, n in zip(examples.labels, counts, strict=True)
        if n < MIN_IMAGES and label != NONE_OF_THESE and not (n == 0 and label in known)
    ]
    if poor:
        raise BadContentError(
            f"{data}: too few images to learn from (need {MIN_IMAGES} a class): {', '.join(poor)}"
        )
