"""Curves and confusion matrix as PNG files. Adapter."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cloud.train.backend import module
from cloud.train.fit import Epoch

SHOWN: Final = 32
"""Longer labels are cut in the picture."""


def save_curves(path: Path, history: tuple[Epoch, ...]) -> None:
    """Draw training loss and, where images were held back, their likelihood and error by epoch."""
    held = [
        (e.number, e.val_nll, 100 * (1 - e.val_accuracy))
        for e in history
        if e.val_nll is not None and e.val_accuracy is not None
    ]
    figure = _figure(10.0 if held else 5.0, 4.0)
    panels = np.ravel(figure.subplots(1, 2 if held else 1))
    panels[0].plot(
        [e.number for e in history], [e.loss for e in history], label="loss, training, distorted"
    )
    if held:
        numbers, losses, errors = zip(*held, strict=True)
        panels[0].plot(numbers, losses, label="-log likelihood, held back")
        panels[1].plot(numbers, errors, label="error %, held back")
    for axes in panels:
        axes.set_yscale("log")
        axes.set_xlabel("epoch")
        axes.legend()
        axes.grid(visible=True, alpha=0.3)
    figure.savefig(path)


def save_confusion(
    path: Path,
    labels: tuple[str, ...],
    truths: npt.NDArray[np.int64],
    guesses: npt.NDArray[np.int64],
) -> None:
    """Draw how often each class (row) was taken for each (column), as shares of the row."""
    counts = np.zeros((len(labels), len(labels)))
    np.add.at(counts, (truths, guesses), 1)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    size = 3.0 + 0.2 * len(labels)
    figure = _figure(size, size)
    axes = figure.subplots()
    # The square root makes a confusion of one percent visible.
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    short = [label[:SHOWN] for label in labels]
    axes.set_xticks(range(len(labels)), short, rotation=90, fontsize=6)
    axes.set_yticks(range(len(labels)), short, fontsize=6)
    axes.set_xlabel("model")
    axes.set_ylabel("truth")
    figure.savefig(path)


def _figure(width: float, height: float) -> Any:  # noqa: ANN401 - a matplotlib Figure
    # Figure without pyplot: no display, no global state, no threads' trouble.
    return module("matplotlib.figure").Figure(
        figsize=(width, height), dpi=110, layout="constrained"
    )
