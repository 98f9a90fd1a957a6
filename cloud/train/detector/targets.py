"""What a detector's maps should say about a scene. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.vision.types import FloatArray

SPREAD: Final = 0.15
"""The score falls off around a middle with this share of the box as sigma ..."""
LEAST: Final = 0.4
"""... or this share of a cell, whichever is more."""
NEAR: Final = 0.4
"""Cells where the score should be as much or more learn the box too."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingScene:
    """One composed training scene."""

    pixels: np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]
    """Model input, BGR."""
    boxes: FloatArray
    """Signs: x0, y0, x1, y1 in pixels of the model input, shape (n, 4)."""
    unclear: FloatArray
    """Where nothing is learned (what is left of signs cut off, or too small), shape (m, 4)."""
    complete: bool
    """Every sign in it is marked."""


def score_target(scene: TrainingScene, stride: int) -> FloatArray:
    """Return shape (rows, columns, 3): middle of a sign 0..1, weight, marks complete."""
    rows, columns = (n // stride for n in scene.pixels.shape[:2])
    target = np.zeros((rows, columns, 3), np.float32)
    target[..., 1], target[..., 2] = 1.0, scene.complete
    for x0, y0, x1, y1 in scene.unclear / stride:
        left, top = (max(0, int(v)) for v in (x0, y0))
        target[top : int(np.ceil(y1)), left : int(np.ceil(x1)), 1] = 0.0
    for box in scene.boxes / stride:
        heat = _heat(box, rows, columns)
        np.maximum(target[..., 0], heat, out=target[..., 0])
        # Where a sign is, it is learned, whatever lies under it.
        target[..., 1][heat > NEAR] = 1.0
    return target


def box_target(scene: TrainingScene, stride: int) -> FloatArray:
    """Return shape (rows, columns, 5): the code of the nearest sign's box, and a weight."""
    rows, columns = (n // stride for n in scene.pixels.shape[:2])
    target = np.zeros((rows, columns, 5), np.float32)
    y, x = np.mgrid[0:rows, 0:columns] + 0.5
    for box in scene.boxes / stride:
        heat = _heat(box, rows, columns)
        near = (heat >= NEAR) & (heat > target[..., 4])
        middle, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        code = np.stack(
            [middle[0] - x, middle[1] - y, *(np.full(x.shape, v) for v in np.log(size)), heat],
            axis=-1,
        )
        target[near] = code[near]
    return target


def _heat(box: FloatArray, rows: int, columns: int) -> FloatArray:
    """Return how much each cell is a box's middle: exactly 1 in the cell that holds it."""
    middle, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    sigma = np.maximum(LEAST, SPREAD * size)
    column = min(columns - 1, max(0, int(middle[0])))
    row = min(rows - 1, max(0, int(middle[1])))
    across = (np.arange(columns) - column) / sigma[0]
    down = (np.arange(rows) - row) / sigma[1]
    return np.asarray(np.exp(-0.5 * (across[None] ** 2 + down[:, None] ** 2)), np.float32)
