"""From a data folder to a model file, with everything said on the way. Shell."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.progress import Progress

from agent.contract.errors import BadContentError
from agent.contract.profile import Profile
from agent.vision.shipped import load_profile
from cloud.data import (
    TRAIN,
    VAL,
    DataFolder,
    decode,
    read_folder,
    split_by_image,
    split_by_track,
)
from cloud.train.batches import Examples
from cloud.train.export import Precision, Provenance, finish, to_tflite
from cloud.train.files import beside, check_place, need, progress_columns, write
from cloud.train.fit import STATE, Epoch, fit
from cloud.train.plots import save_confusion, save_curves
from cloud.train.recipe import Recipe, make_recipe

MIN_IMAGES: Final = 4
"""Training images that each class needs at least."""
_PLAIN: Final[dict[str, Any]] = {"markup": False, "soft_wrap": True}
"""For lines with file names: brackets are theirs, and logs keep them whole."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training run made."""

    model: Path
    metrics: dict[str, int]
    """On the held-back split, by the device's engine: counts and basis points."""
    history: tuple[Epoch, ...]
    refused: tuple[str, ...]
    """Images that could not be used, and why."""


def train(
    profile: str,
    data: Path,
    out: Path,
    *,
    precision: Precision = "int8",
    name: str = "",
    version: str = "1",
    terms: str = "",
    console: Console | None = None,
    **recipe: object,
) -> Trained:
    """Train a classifier and write its model file.

    Beside `out`: `NAME.curves.png`, `NAME.confusion.png` and the folder `NAME.checkpoint`, from
    which an interrupted run goes on.

    Args:
        profile: Name of a shipped profile, or path of a TOML file.
        data: See `cloud.data.read_folder`; class names must be the profile's labels.
        out: The model file to write.
        precision: int8 for devices; float16 for a large reference model.
        name: Model name in the manifest; empty: the profile's.
        version: Version in the manifest.
        terms: Licence of the weights, in the manifest.
        console: Where progress is shown.
        recipe: Changes to `cloud.train.recipe.Recipe`, by field; None is no change.

    Raises:
        BadContentError: profile, recipe or data are wrong.
        UnavailableError: a file cannot be read, or the `train` extra is not installed.
    """
    console = console or Console()
    need("tensorflow", "keras", "matplotlib")
    check_place(out)
    task, chosen = load_profile(profile), make_recipe(recipe)
    folder = prepared(read_folder(data), chosen.seed, console)
    kept, held, refused = _load_shown(folder, task, console)
    model, history = _fit_shown(
        kept, held, chosen, task, beside(out, ".checkpoint"), folder.sha256, console
    )
    content = to_tflite(model, kept, chosen, task.augmentation, precision)
    trained_on = f"{data.resolve().name} {TRAIN}, {folder.annotations} sha256 {folder.sha256}"
    source = Provenance(name or task.name, version, task.name, trained_on, terms)
    made = finish(content, held, chosen, source, precision)
    write(out, made.content)
    save_curves(beside(out, ".curves.png"), history)
    save_confusion(beside(out, ".confusion.png"), task.labels, held.classes, made.guesses)
    figures = ", ".join(f"{key} {value}" for key, value in made.metrics.items())
    console.print(f"wrote {out}: {len(made.content)} bytes, {figures}", **_PLAIN)
    return Trained(out, made.metrics, history, refused)


def prepared(folder: DataFolder, seed: int, console: Console) -> DataFolder:
    """Return the folder with splits, and say so where they had to be made."""
    if folder.splits:
        return folder
    by_track = split_by_track(folder, seed)
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
    return split_by_image(folder, seed)


def load_examples(
    folder: DataFolder, profile: Profile, split: str
) -> tuple[Examples, tuple[str, ...]]:
    """Decode a split, with classes in the profile's order.

    Returns:
        The examples, and the names of images that could not be used with the reason.

    Raises:
        BadContentError: class names are not the profile's labels, or there is no such split.
    """
    unknown = sorted(set(folder.labels) - set(profile.labels))
    if unknown:
        raise BadContentError(
            f"{folder.root}: class {unknown[0]!r} is not in profile {profile.name}; names in"
            " classes.csv and labels of the profile must be the same"
        )
    found = list(decode(folder, folder.of(split)))
    kept = [(sample, image) for sample, image in found if not isinstance(image, str)]
    refused = tuple(f"{sample.name}: {why}" for sample, why in found if isinstance(why, str))
    labels = profile.labels
    examples = Examples(
        tuple(image for _, image in kept),
        tuple(sample.box(image) for sample, image in kept),
        np.array([labels.index(folder.labels[sample.index]) for sample, _ in kept], np.int64),
        labels,
        tuple(c.symmetry for c in profile.classes),
        tuple(labels.index(c.mirror) if c.mirror else -1 for c in profile.classes),
    )
    return examples, refused


def _load_shown(
    folder: DataFolder, task: Profile, console: Console
) -> tuple[Examples, Examples, tuple[str, ...]]:
    """Decode both splits; say what is refused and what is left."""
    kept, refused = load_examples(folder, task, TRAIN)
    held, also_refused = load_examples(folder, task, VAL)
    missing = tuple(f"{name}: not in the folder" for name in folder.missing)
    refused = (*missing, *refused, *also_refused)
    for line in refused:
        console.print(f"refused {line}", style="yellow", **_PLAIN)
    _refuse_poor(kept, folder.root)
    if not len(held):
        raise BadContentError(f"{folder.root}: no readable image in split {VAL!r}")
    console.print(
        f"{len(kept)} images to learn from, {len(held)} held back, {len(task.labels)} classes"
    )
    return kept, held, refused


def _refuse_poor(examples: Examples, data: Path) -> None:
    counts = np.bincount(examples.classes, minlength=len(examples.labels))
    poor = [f"{examples.labels[i]!r} {n}" for i, n in enumerate(counts) if n < MIN_IMAGES]
    if poor:
        raise BadContentError(
            f"{data}: too few images to learn from (need {MIN_IMAGES} a class): {', '.join(poor)}"
        )


def _fit_shown(
    kept: Examples,
    held: Examples,
    recipe: Recipe,
    task: Profile,
    checkpoint: Path,
    digest: str,
    console: Console,
) -> tuple[Any, tuple[Epoch, ...]]:
    """Train under a progress bar with the time left, and one line an epoch for the log."""
    if (checkpoint / STATE).is_file():
        console.print(f"going on from {checkpoint}; remove it to start afresh", **_PLAIN)
    with Progress(*progress_columns(), console=console) as progress:
        bar = progress.add_task("training")

        def on_step(epoch: int, step: int, steps: int) -> None:
            done = (epoch - 1) * steps + step
            text = f"epoch {epoch}/{recipe.epochs}"
            progress.update(bar, description=text, completed=done, total=steps * recipe.epochs)

        def on_epoch(epoch: Epoch) -> None:
            console.print(
                f"epoch {epoch.number}: loss {epoch.loss:.4f}, held back: accuracy"
                f" {epoch.val_accuracy:.4f}, -log likelihood {epoch.val_nll:.4f}"
            )

        return fit(kept, held, recipe, task.augmentation, checkpoint, digest, on_step, on_epoch)
