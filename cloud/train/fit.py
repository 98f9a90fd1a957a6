"""The training loop: AdamW, warm-up and cosine, one checkpoint an epoch. Shell."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.contract.profile import Augmentation
from agent.vision.types import FloatArray
from cloud.train.backend import keras, make_repeatable, warm_cosine
from cloud.train.batches import Examples, epoch_batches, epoch_rows, plain_inputs
from cloud.train.checkpoint import RunState, interrupted, restore, save
from cloud.train.model import build
from cloud.train.recipe import Recipe
from cloud.train.targets import mean_answer, softened


@dataclass(frozen=True, slots=True)
class Epoch:
    """Figures of one epoch, of the float model."""

    number: int
    """From 1."""
    loss: float
    """Mean training loss on distorted images."""
    val_nll: float | None
    """Mean negative log likelihood on the held-back images; None: there are none."""
    val_accuracy: float | None


class _State(RunState):
    """What a run must know to go on."""

    recipe: Recipe
    history: tuple[Epoch, ...]


OnStep = Callable[[int, int, int], None]
"""Called after each step with epoch (from 1), step (from 1) and steps in an epoch."""


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What one training run works with."""

    train: Examples
    """Images to learn from."""
    val: Examples | None
    """Held-back images; they are only looked at, never chosen by. None: nothing is held back."""
    recipe: Recipe
    limits: Augmentation
    """The profile's."""
    folder: Path
    """Holds the checkpoint."""
    data: str
    """Hash of all that goes in, so that a checkpoint of other data is not taken up."""
    start: Any = None
    """A trained network that learns more; None: a new one."""
    new: int | None = None
    """So many images, the first, are new to `start`."""
    teachers: tuple[Any, ...] = ()
    """Trained networks whose answers are part of the targets (`recipe.teacher_share`)."""


def fit(
    course: Course, on_step: OnStep, on_epoch: Callable[[Epoch], None]
) -> tuple[Any, tuple[Epoch, ...]]:
    """Train, or go on where an interrupted run of the same recipe and data stopped.

    A run that was interrupted, however often, gives the same weights to the bit on the same
    machine: what an epoch does depends on its checkpoint, the seed and its number alone.

    Args:
        course: What and how.
        on_step: Told about every step.
        on_epoch: Told about every epoch.

    Returns:
        The Keras model after the last epoch, and the figures of all epochs.

    Raises:
        BadContentError: the checkpoint is broken, or of another recipe or other data.
    """
    recipe, train = course.recipe, course.train
    make_repeatable(recipe.seed)
    course.folder.mkdir(parents=True, exist_ok=True)
    order = epoch_rows(train, recipe, 1, course.new)
    steps = -(-len(order) // recipe.batch)
    state = interrupted(course.folder, _State, recipe, course.data)
    model, history = _compiled(course, steps), []
    if state:
        restore(course.folder, model, state)
        history = list(state.history)
    for number in range(len(history) + 1, recipe.epochs + 1):
        losses = []
        batches = epoch_batches(train, recipe, course.limits, number, course.new)
        for step, (pixels, one_hot) in enumerate(batches, 1):
            # Older versions of Keras give the mean since the last reset.
            model.reset_metrics()
            targets = softened(
                one_hot, recipe.label_smoothing, _taught(course, pixels), recipe.teacher_share
            )
            losses.append(float(model.train_on_batch(pixels, targets)))
            on_step(number, step, steps)
        nll, accuracy = _measure(model, course.val, recipe) if course.val else (None, None)
        history.append(Epoch(number, float(np.mean(losses)), nll, accuracy))
        reached = _State(recipe=recipe, data=course.data, history=tuple(history))
        save(course.folder, model, reached, number)
        on_epoch(history[-1])
    if recipe.average:
        model.optimizer.finalize_variable_values(model.trainable_variables)
    return model, tuple(history)


def _compiled(course: Course, steps: int) -> Any:  # noqa: ANN401 - a keras.Model
    recipe = course.recipe
    model = course.start or build(
        recipe.side, len(course.train.labels), recipe.width, recipe.dropout
    )
    momentum = 1 - 1 / max(1.0, recipe.average * (steps * recipe.epochs))
    model.compile(
        optimizer=keras().optimizers.AdamW(
            warm_cosine(recipe.learning_rate, steps, recipe.epochs),
            weight_decay=recipe.weight_decay,
            use_ema=recipe.average > 0,
            ema_momentum=momentum,
        ),
        loss=keras().losses.CategoricalCrossentropy(from_logits=True),
        # XLA's convolutions are slower than oneDNN's on a CPU.
        jit_compile=False,
    )
    return model


def _taught(course: Course, pixels: FloatArray) -> FloatArray | None:
    """Return what the teachers say to a batch; None without teachers."""
    if not course.teachers:
        return None
    logits = tuple(np.asarray(t.predict_on_batch(pixels), np.float32) for t in course.teachers)
    return mean_answer(logits, course.recipe.teacher_temperature)


def _measure(model: Any, val: Examples, recipe: Recipe) -> tuple[float, float]:  # noqa: ANN401
    nll, right = 0.0, 0
    for pixels, targets in plain_inputs(val, recipe):
        logits = np.asarray(model.predict_on_batch(pixels), np.float64)
        peak = logits.max(1, keepdims=True)
        log_scores = logits - peak - np.log(np.exp(logits - peak).sum(1, keepdims=True))
        nll -= float((log_scores * targets).sum())
        right += int((logits.argmax(1) == targets.argmax(1)).sum())
    return nll / len(val), right / len(val)
