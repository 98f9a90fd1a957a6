"""Does the cheap head rank the arms as training the whole network does? One seed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from agent.vision.shipped import load_profile
from agent.vision.types import FloatArray
from bench.labels.arms import Run, World, judge
from bench.labels.features import (
    Pictures,
    cached,
    examples_of,
    first_network,
    frames_of,
    inputs_of,
    recipe_of,
)
from cloud.train.backend import keras
from cloud.train.fit import Course, fit
from cloud.train.recipe import Recipe

EPOCHS: Final = 30
RATE: Final = 4e-4
"""Short and gentle, as the trainer goes on with a trained model."""


def trained(
    world: World, runs: Mapping[str, Run], pictures: Pictures, cache: Path
) -> dict[str, float]:
    """Return the accuracy on the test of the whole network trained on each arm's labels."""
    return {arm: float(_accuracy(world, run, pictures, cache)) for arm, run in runs.items()}


def _accuracy(world: World, run: Run, pictures: Pictures, cache: Path) -> float:
    recipe = further(world.seed)
    what = repr((recipe, run.rows.tolist(), pictures.name, world.labels(run.rows).tolist()))

    def compute() -> dict[str, FloatArray]:
        network = _network(world, run, pictures, cache, recipe)
        shown = (pictures.frame(s, f) for s in world.field.test for f in s.frames)
        logits = [np.asarray(network.predict_on_batch(b), np.float32) for b in inputs_of(shown)]
        exps = np.exp(np.concatenate(logits))
        return {"scores": exps / exps.sum(axis=1, keepdims=True)}

    return judge(world, cached(cache, "full", what, compute)["scores"])[0]


def further(seed: int) -> Recipe:
    """Return how a trained network learns more."""
    changes = {"epochs": EPOCHS, "learning_rate": RATE}
    return recipe_of(seed).model_copy(update=changes)


def _network(world: World, run: Run, pictures: Pictures, cache: Path, recipe: Recipe) -> Any:  # noqa: ANN401 - a keras.Model
    first = pictures.first(world.plan)
    start = keras().models.clone_model(network := first_network(first, world.seed, cache))
    start.set_weights(network.get_weights())
    new = [frames_of(world.field.stream, pictures, int(row)) for row in run.rows]
    said = [*world.labels(run.rows).tolist(), *(sample.index for sample, _ in first)]
    profile = load_profile("traffic-signs")
    train = examples_of([*new, *first], said, profile)
    work = cache / "full-work"
    name = repr((run.rows.tolist(), recipe))
    course = Course(
        train, None, recipe, profile.augmentation, work, name, start=start, new=len(new)
    )
    trained_network, _ = fit(course, lambda *_: None, lambda _: None)
    for file in work.iterdir():
        file.unlink()
    return trained_network
