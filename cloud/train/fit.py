"""The training loop: AdamW, warm-up and cosine, one checkpoint an epoch. Shell."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from agent.contract.errors import BadContentError
from agent.contract.messages import first_problem
from agent.contract.profile import Augmentation
from cloud.train.backend import keras
from cloud.train.batches import Examples, epoch_batches, plain_inputs
from cloud.train.model import build
from cloud.train.recipe import Recipe

STATE: Final = "state.json"


@dataclass(frozen=True, slots=True)
class Epoch:
    """Figures of one epoch, of the float model."""

    number: int
    """From 1."""
    loss: float
    """Mean training loss on distorted images."""
    val_nll: float
    """Mean negative log likelihood on the held-back images."""
    val_accuracy: float


class _State(BaseModel):
    """What a run must know to go on."""

    model_config = ConfigDict(extra="forbid")
    recipe: Recipe
    data: str
    weights: str
    history: tuple[Epoch, ...]


OnStep = Callable[[int, int, int], None]
"""Called after each step with epoch (from 1), step (from 1) and steps in an epoch."""


def fit(
    train: Examples,
    val: Examples,
    recipe: Recipe,
    limits: Augmentation,
    folder: Path,
    data: str,
    on_step: OnStep,
    on_epoch: Callable[[Epoch], None],
) -> tuple[Any, tuple[Epoch, ...]]:
    """Train, or go on where an interrupted run of the same recipe and data stopped.

    Args:
        train: Images to learn from.
        val: Held-back images; they are only looked at, never chosen by.
        recipe: How.
        limits: The profile's augmentation.
        folder: Holds the checkpoint.
        data: Hash of the data, so that a checkpoint of other data is not taken up.
        on_step: Told about every step.
        on_epoch: Told about every epoch.

    Returns:
        The Keras model after the last epoch, and the figures of all epochs.
    """
    keras().utils.set_random_seed(recipe.seed)
    folder.mkdir(parents=True, exist_ok=True)
    steps = -(-len(train) // recipe.batch)
    state = _resume(folder, recipe, data)
    if state:
        model, history = keras().saving.load_model(folder / state.weights), list(state.history)
    else:
        model, history = _fresh(recipe, len(train.labels), steps), []
    for number in range(len(history) + 1, recipe.epochs + 1):
        losses = []
        for step, (pixels, targets) in enumerate(epoch_batches(train, recipe, limits, number), 1):
            # Older versions of Keras give the mean since the last reset.
            model.reset_metrics()
            losses.append(float(model.train_on_batch(pixels, targets)))
            on_step(number, step, steps)
        nll, accuracy = _measure(model, val, recipe)
        history.append(Epoch(number, float(np.mean(losses)), nll, accuracy))
        _save(folder, model, _State(recipe=recipe, data=data, weights="", history=tuple(history)))
        on_epoch(history[-1])
    return model, tuple(history)


def _fresh(recipe: Recipe, classes: int, steps: int) -> Any:  # noqa: ANN401 - a keras.Model
    model = build(recipe.side, classes, recipe.width, recipe.dropout)
    # With one epoch only, half of it warms up.
    warm = min(steps, max(1, steps * recipe.epochs // 2))
    rate = keras().optimizers.schedules.CosineDecay(
        recipe.learning_rate / 50,
        max(1, steps * recipe.epochs - warm),
        warmup_target=recipe.learning_rate,
        warmup_steps=warm,
    )
    model.compile(
        optimizer=keras().optimizers.AdamW(rate, weight_decay=recipe.weight_decay),
        loss=keras().losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        ),
        # XLA's convolutions are slower than oneDNN's on a CPU.
        jit_compile=False,
    )
    return model


def _measure(model: Any, val: Examples, recipe: Recipe) -> tuple[float, float]:  # noqa: ANN401
    nll, right = 0.0, 0
    for pixels, targets in plain_inputs(val, recipe):
        logits = np.asarray(model.predict_on_batch(pixels), np.float64)
        peak = logits.max(1, keepdims=True)
        log_scores = logits - peak - np.log(np.exp(logits - peak).sum(1, keepdims=True))
        nll -= float((log_scores * targets).sum())
        right += int((logits.argmax(1) == targets.argmax(1)).sum())
    return nll / len(val), right / len(val)


def _save(folder: Path, model: Any, state: _State) -> None:  # noqa: ANN401 - a keras.Model
    """Write the weights under a new name, then the state that names them, then tidy up."""
    weights = f"epoch-{len(state.history):04d}.keras"
    model.save(folder / weights)
    temporary = folder / f"{STATE}.new"
    temporary.write_text(state.model_copy(update={"weights": weights}).model_dump_json(indent=1))
    temporary.replace(folder / STATE)
    for old in folder.glob("epoch-*.keras"):
        if old.name != weights:
            old.unlink()


def _resume(folder: Path, recipe: Recipe, data: str) -> _State | None:
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        state = _State.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, ValueError) as error:
        raise BadContentError(
            f"{path}: not a checkpoint ({first_problem(error)}); remove {folder} to start afresh"
        ) from error
    if state.recipe != recipe or state.data != data:
        raise BadContentError(
            f"{folder}: a checkpoint of another recipe or other data; remove it to start afresh,"
            " or choose another output file"
        )
    return state
