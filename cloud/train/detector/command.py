"""From folders of scenes and signs to a detector's model file. Shell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console

from agent.contract.errors import BadContentError
from agent.vision.preprocess import PixelTable, fill_input
from agent.vision.types import Image, whole
from cloud.data import TRAIN, VAL
from cloud.scenes import Scene, SceneFolder, pictures, read_scenes, with_splits
from cloud.train.detector.compose import Material
from cloud.train.detector.export import Held, detector_tflite, finish_detector
from cloud.train.detector.fit import DetectorEpoch, fit_detector
from cloud.train.detector.material import as_array, load_material
from cloud.train.detector.recipe import DetectorRecipe
from cloud.train.detector.targets import TrainingScene
from cloud.train.export import Provenance
from cloud.train.files import PLAIN, beside, check_place, need, training_bar, write
from cloud.train.recipe import make_recipe

_AS_IT_IS: Final = PixelTable(np.arange(256, dtype=np.uint8), 0)
MIN_FRAMES: Final = 2
"""Scenes to learn from, at least."""


@dataclass(frozen=True, slots=True)
class TrainedDetector:
    """What a training run made."""

    model: Path
    metrics: dict[str, int]
    """On the held-back scenes, by the device's engine: counts and basis points."""
    history: tuple[DetectorEpoch, ...]
    refused: tuple[str, ...]
    """Pictures that could not be used, and why."""


def train_detector(
    scenes: Path,
    out: Path,
    signs: Path | None = None,
    ignored: Sequence[str] = (),
    *,
    name: str = "sign-detector",
    version: str = "1",
    terms: str = "",
    console: Console | None = None,
    changes: Mapping[str, object] | None = None,
) -> TrainedDetector:
    """Train a detector of one class and write its model file.

    Beside `out` is the folder `NAME.checkpoint`, from which an interrupted run goes on.

    Args:
        scenes: See `cloud.scenes.read_scenes`. The folder's own split `train` is learned from and
            `val` held back; without splits, `cloud.scenes.held_back` chooses.
        out: The model file to write.
        signs: Folder of sign crops, see `cloud.data.read_folder`; None: none are pasted.
        ignored: Labels in the scenes that are no signs.
        name: Model name in the manifest.
        version: Version in the manifest.
        terms: Licence of the weights, in the manifest.
        console: Where progress is shown.
        changes: Of `DetectorRecipe`, by field; None is no change.

    Raises:
        BadContentError: recipe or data are wrong.
        UnavailableError: a file cannot be read, or the `train` extra is not installed.
    """
    console = console or Console()
    need("tensorflow", "keras")
    check_place(out)
    chosen = make_recipe(DetectorRecipe, changes or {})
    folder = with_splits(read_scenes(scenes))
    _check_labels(folder, ignored)
    material, refused = load_material(_of(folder, TRAIN), ignored, signs, chosen)
    held, also_refused = _load_held(_of(folder, VAL))
    refused = (*refused, *also_refused)
    _tell(material, held, refused, folder, console)
    trained_on = f"{scenes.resolve().name} (not held back), sha256 {folder.sha256}"
    if signs:
        trained_on += f"; sign crops of {signs.resolve().name}"
    # Other signs or other labels make other scenes: such a run does not go on from here.
    data = f"{trained_on}; {len(material.signs)} crops; ignored {sorted(ignored)}"
    checks = tuple(_as_input(scene, image, chosen.side, ignored) for scene, image in held)
    model, history = _fit_shown(material, checks, chosen, beside(out, ".checkpoint"), data, console)
    content = detector_tflite(model, material, chosen)
    source = Provenance(name, version, "", trained_on, folder.sha256, terms)
    made = finish_detector(content, held, chosen, source, tuple(sorted(ignored)))
    write(out, made.content)
    figures = ", ".join(f"{key} {value}" for key, value in made.metrics.items())
    console.print(f"wrote {out}: {len(made.content)} bytes, {figures}", **PLAIN)
    return TrainedDetector(out, made.metrics, history, refused)


def _check_labels(folder: SceneFolder, ignored: Sequence[str]) -> None:
    unknown = sorted(set(ignored) - set(folder.labels))
    if unknown:
        raise BadContentError(
            f"{folder.root}: no label {unknown[0]!r} to ignore; it has {', '.join(folder.labels)}"
        )


def _of(folder: SceneFolder, split: str) -> tuple[Scene, ...]:
    """Return the scenes of a split; none where there is no such split: `_tell` refuses that."""
    return folder.of(split) if split in folder.splits else ()


def _load_held(scenes: tuple[Scene, ...]) -> tuple[Held, tuple[str, ...]]:
    held, refused = [], []
    for scene, image in pictures(scenes):
        if isinstance(image, str):
            refused.append(image)
        else:
            held.append((scene, image))
    return tuple(held), tuple(refused)


def _tell(
    material: Material,
    held: Held,
    refused: tuple[str, ...],
    folder: SceneFolder,
    console: Console,
) -> None:
    for line in refused:
        console.print(f"refused {line}", style="yellow", **PLAIN)
    if len(material.frames) < MIN_FRAMES or not held:
        raise BadContentError(
            f"{folder.root}: {len(material.frames)} scenes to learn from and {len(held)} held"
            f" back; need {MIN_FRAMES} and 1, or a split column that says which"
        )
    console.print(
        f"{len(material.frames)} scenes with {sum(len(b) for b in material.boxes)} signs and"
        f" {len(material.signs)} sign crops to learn from, {len(held)} scenes held back"
    )


def _as_input(scene: Scene, image: Image, side: int, ignored: Sequence[str]) -> TrainingScene:
    """Return a held-back scene as the device would squash it."""
    pixels = np.empty((1, side, side, 3), np.uint8)
    fill_input(pixels, image, whole(image), _AS_IT_IS, rgb=False)
    scale = np.array([side / image.shape[1], side / image.shape[0]] * 2, np.float32)
    boxes = as_array(scene.objects, ignored) * scale
    return TrainingScene(pixels[0], boxes, np.empty((0, 4), np.float32), complete=False)


def _fit_shown(
    material: Material,
    held: tuple[TrainingScene, ...],
    recipe: DetectorRecipe,
    checkpoint: Path,
    data: str,
    console: Console,
) -> tuple[Any, tuple[DetectorEpoch, ...]]:
    """Train under a progress bar with the time left, and one line an epoch for the log."""

    def on_epoch(epoch: DetectorEpoch) -> None:
        console.print(
            f"epoch {epoch.number}: loss {epoch.loss:.4f}, held back {epoch.held_loss:.4f}"
        )

    with training_bar(console, checkpoint, recipe.epochs) as on_step:
        return fit_detector(material, held, recipe, checkpoint, data, on_step, on_epoch)
