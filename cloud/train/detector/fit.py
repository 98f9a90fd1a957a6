"""The detector's training loop: AdamW, warm-up and cosine, one checkpoint an epoch. Shell."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ConfigDict

from agent.vision.types import FloatArray
from cloud.train.backend import keras, make_repeatable, warm_cosine
from cloud.train.batches import UNIT, prepared_ahead
from cloud.train.checkpoint import RunState, interrupted, restore, save
from cloud.train.detector.compose import Material, compose
from cloud.train.detector.network import STRIDE, box_loss, build_detector, score_loss
from cloud.train.detector.recipe import DetectorRecipe
from cloud.train.detector.targets import TrainingScene, box_target, score_target

Batch = tuple[FloatArray, dict[str, FloatArray]]
"""Inputs (batch, side, side, 3), RGB in 0..1, and the targets of both outputs."""
SCORES: Final = "scores"
BOXES: Final = "boxes"


@dataclass(frozen=True, slots=True)
class DetectorEpoch:
    """Figures of one epoch, of the float model."""

    number: int
    """From 1."""
    loss: float
    """Mean training loss on composed scenes."""
    held_loss: float
    """The same on the held-back scenes as they are."""


class _State(RunState):
    model_config = ConfigDict(extra="forbid")
    recipe: DetectorRecipe
    history: tuple[DetectorEpoch, ...]


OnStep = Callable[[int, int, int], None]
"""Called after each step with epoch (from 1), step (from 1) and steps in an epoch."""


def fit_detector(
    material: Material,
    held: tuple[TrainingScene, ...],
    recipe: DetectorRecipe,
    folder: Path,
    data: str,
    on_step: OnStep,
    on_epoch: Callable[[DetectorEpoch], None],
) -> tuple[Any, tuple[DetectorEpoch, ...]]:
    """Train, or go on where an interrupted run of the same recipe and data stopped.

    Args:
        material: What scenes are composed of.
        held: Held-back scenes; they are only looked at, never chosen by.
        recipe: How.
        folder: Holds the checkpoint.
        data: Hash of the data, so that a checkpoint of other data is not taken up.
        on_step: Told about every step.
        on_epoch: Told about every epoch.

    Returns:
        The Keras model after the last epoch, and the figures of all epochs.

    Raises:
        BadContentError: the checkpoint is of another recipe or other data.
    """
    make_repeatable(recipe.seed)
    folder.mkdir(parents=True, exist_ok=True)
    steps = -(-recipe.scenes_per_epoch // recipe.batch)
    state = interrupted(folder, _State, recipe, data)
    model = build_detector(recipe.side, recipe.width)
    _compile(model, recipe, steps)
    history = list(state.history) if state else []
    if state:
        restore(folder, model, state)
    for number in range(len(history) + 1, recipe.epochs + 1):
        losses = []
        for step, (pixels, targets) in enumerate(epoch_scenes(material, recipe, number), 1):
            model.reset_metrics()
            losses.append(_total(model.train_on_batch(pixels, targets)))
            on_step(number, step, steps)
        history.append(DetectorEpoch(number, float(np.mean(losses)), _measure(model, held)))
        save(folder, model, _State(data=data, recipe=recipe, history=tuple(history)), number)
        on_epoch(history[-1])
    return model, tuple(history)


def epoch_scenes(material: Material, recipe: DetectorRecipe, epoch: int) -> Iterator[Batch]:
    """Yield one epoch's batches, composed by threads beside the network.

    Each batch has its own seed, so the threads' timing changes nothing.
    """
    counts = [
        min(recipe.batch, recipe.scenes_per_epoch - n)
        for n in range(0, recipe.scenes_per_epoch, recipe.batch)
    ]

    def make(n: int) -> Batch:
        rng = np.random.default_rng([recipe.seed, epoch, n])
        return as_batch([compose(material, recipe, rng) for _ in range(counts[n])])

    return prepared_ahead(make, len(counts))


def as_batch(scenes: list[TrainingScene]) -> Batch:
    """Return scenes as the network takes them."""
    pixels = np.stack([scene.pixels[..., ::-1] for scene in scenes])
    targets = {
        SCORES: np.stack([score_target(scene, STRIDE) for scene in scenes]),
        BOXES: np.stack([box_target(scene, STRIDE) for scene in scenes]),
    }
    return UNIT.values[pixels].astype(np.float32, copy=False), targets


def _compile(model: Any, recipe: DetectorRecipe, steps: int) -> None:  # noqa: ANN401 - a keras.Model
    model.compile(
        optimizer=keras().optimizers.AdamW(
            warm_cosine(recipe.learning_rate, steps, recipe.epochs),
            weight_decay=recipe.weight_decay,
            global_clipnorm=10.0,
        ),
        loss={SCORES: score_loss(recipe.unmarked), BOXES: box_loss(recipe.box_weight)},
        # XLA's convolutions are slower than oneDNN's on a CPU.
        jit_compile=False,
    )


def _measure(model: Any, held: tuple[TrainingScene, ...]) -> float:  # noqa: ANN401 - a keras.Model
    losses = []
    for start in range(0, len(held), 16):
        pixels, targets = as_batch(list(held[start : start + 16]))
        model.reset_metrics()
        losses.append(_total(model.test_on_batch(pixels, targets)))
    return float(np.mean(losses))


def _total(losses: Any) -> float:  # noqa: ANN401 - Keras gives the sum, or the sum and its parts
    return float(np.ravel(losses)[0])
