"""Plain or depthwise-separable convolutions? What int8 networks of several shapes cost.

    python -m bench.network_shapes [SECONDS]

The classifier's own network against the same with each convolution but the first split into a
depthwise and a 1 x 1 one: as wide, with as many multiply-adds, with as many weights. Weights are
random: an int8 kernel takes as long whatever they are. No goal: a choice to explain.
"""

import functools
import math
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from agent.commands.quiet import quiet
from agent.contract.profile import Augmentation
from agent.vision.runtime import Runtime
from agent.vision.types import Box
from bench.common import machine, paired, repeated, seconds
from cloud.train.backend import keras
from cloud.train.batches import Examples
from cloud.train.export import to_tflite
from cloud.train.model import build
from cloud.train.recipe import Recipe

CLASSES: Final = 43
RECIPE: Final = Recipe(calibration=16)
SLICE_S: Final = 0.02
WIDEST: Final = 6.0


@dataclass(frozen=True, slots=True)
class Arm:
    """A network ready to be timed."""

    name: str
    macs: int
    """Multiply-adds an invoke."""
    weights: int
    peak: int
    """Bytes of the largest pair of a layer's int8 input and output."""
    size: int
    """Of the file, in bytes."""
    invoke: Callable[[], None]


def main() -> None:
    """Measure all shapes in alternation and print them against the first."""
    duration_s = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    plain = build(RECIPE.side, CLASSES, RECIPE.width, 0.0)
    split = functools.partial(separable, plain)
    shapes = {
        "plain": plain,
        "depthwise, as wide": split(1.0),
        "depthwise, as many multiply-adds": widened(split, macs, macs(plain)),
        "depthwise, as many weights": widened(split, weights, weights(plain)),
    }
    arms = [arm(name, model) for name, model in shapes.items()]
    repeats = [max(1, int(SLICE_S / min(seconds(a.invoke) for _ in range(20)))) for a in arms]
    rounds = max(5, int(duration_s / (SLICE_S * len(arms))))
    took: list[list[float]] = [[] for _ in arms]
    for _ in range(rounds):
        for times, each, count in zip(took, arms, repeats, strict=True):
            times.append(seconds(repeated(each.invoke, count)) / count)
    report(arms, took)


def report(arms: list[Arm], took: list[list[float]]) -> None:
    """Print each shape's quick slices (one in ten is quicker), then medians of paired ratios."""
    titles = ("MMAC", "weights", "file kB", "peak kB", "p10 us", "MMAC/us")
    print(f"{'network':33}" + "".join(f"{title:>9}" for title in titles))
    for each, times in zip(arms, took, strict=True):
        us = statistics.quantiles(times, n=10)[0] * 1e6
        print(
            f"{each.name:33}{each.macs / 1e6:9.1f}{each.weights / 1e6:8.2f}M{each.size / 1e3:9.0f}"
            f"{each.peak / 1e3:9.0f}{us:9.0f}{each.macs / 1e6 / us:9.3f}"
        )
    for each, times in zip(arms[1:], took[1:], strict=True):
        speed = [each.macs / t for t in times]
        plain = [arms[0].macs / t for t in took[0]]
        print(f"{each.name}: plain / it: time {paired(took[0], times)}")
        print(f"{'':{len(each.name)}}  MMAC/us {paired(plain, speed)}")
    print(machine(took[0]))


def separable(plain: Any, width: float) -> Any:  # noqa: ANN401 - keras models
    """Return a network with the plain one's kernels, strides and, times `width`, its channels."""
    layers = keras().layers
    pixels = x = keras().Input(plain.input_shape[1:])

    def settled(x: Any) -> Any:  # noqa: ANN401 - a keras tensor
        return layers.ReLU()(layers.BatchNormalization()(x))

    for n, like in enumerate(each for each in plain.layers if isinstance(each, layers.Conv2D)):
        channels = max(8, round(like.filters * width / 8) * 8)
        given: dict[str, Any] = {"padding": "same", "use_bias": False}
        if n == 0:
            x = settled(layers.Conv2D(channels, like.kernel_size, like.strides, **given)(x))
            continue
        x = settled(layers.DepthwiseConv2D(like.kernel_size, like.strides, **given)(x))
        x = settled(layers.Conv2D(channels, 1, **given)(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras().Model(pixels, layers.Dense(plain.output_shape[-1])(x))


def widened(
    make: Callable[[float], Any],
    measure: Callable[[Any], int],
    wanted: int,
) -> Any:  # noqa: ANN401 - a keras model
    """Return the network of the width at which `measure` comes nearest to `wanted`."""
    low, high = 1.0, WIDEST
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (low, middle) if measure(make(middle)) > wanted else (middle, high)
    return min((make(low), make(high)), key=lambda model: abs(measure(model) - wanted))


def macs(model: Any) -> int:  # noqa: ANN401 - a keras model
    """Return the multiply-adds of one picture."""
    return sum(
        math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
        for layer in model.layers
        if hasattr(layer, "kernel")
    )


def weights(model: Any) -> int:  # noqa: ANN401 - a keras model
    """Return the number of weights, without biases."""
    return sum(math.prod(each.kernel.shape) for each in model.layers if hasattr(each, "kernel"))


def peak(model: Any) -> int:  # noqa: ANN401 - a keras model
    """Return the bytes of the largest pair of a layer's input and output, in int8."""
    sizes: list[int] = [
        math.prod(layer.input.shape[1:]) + math.prod(layer.output.shape[1:])
        for layer in model.layers
        if hasattr(layer, "kernel")
    ]
    return max(sizes)


def arm(name: str, model: Any) -> Arm:  # noqa: ANN401 - a keras model
    """Export a network as the trainer does and load it as the device does."""
    rng = np.random.default_rng(0)
    side = RECIPE.side
    noise = tuple(rng.integers(0, 256, (side, side, 3), np.uint8) for _ in range(16))
    classes = np.zeros(16, np.int64)
    examples = Examples(noise, (Box(0, 0, side, side),) * 16, classes, ("noise",), ("none",), (-1,))
    with quiet():
        content = to_tflite(model, examples, RECIPE, Augmentation())
        runtime = Runtime(content, name, "auto", threads=1)
    return Arm(name, macs(model), weights(model), peak(model), len(content), runtime.invoke)


if __name__ == "__main__":
    main()
