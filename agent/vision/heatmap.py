"""From the two maps of an anchor-free detector to boxes. Pure.

One cell of a score map says how much it is the middle of an object, as logits, one channel a
class; the same cell of a box map says where the middle is and how large the object is
(X. Zhou, D. Wang, P. Kraehenbuehl, "Objects as points", 2019). Everything happens on the few
cells that pass the threshold, which is applied to the raw 8-bit numbers.
"""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from agent.contract.errors import BadContentError
from agent.contract.manifest import DetectorSpec, ModelManifest
from agent.vision.preprocess import Tensor, integer_limits
from agent.vision.runtime import TensorSpec
from agent.vision.scores import dequantise
from agent.vision.types import Box, Detection, FloatArray

MAX_CANDIDATES: Final = 200
"""The best cells that boxes are made of; a frame full of signs has fewer."""
_NEVER: Final = 1e-7
"""Scores are compared as logits: 0 and 1 have none."""
_LOG_SIZE: Final = 6.0
"""Sizes beyond exp(6) cells are noise."""


@dataclass(frozen=True, slots=True)
class Maps:
    """A model's two output maps and how they are read."""

    scores: TensorSpec
    boxes: TensorSpec
    spec: DetectorSpec
    temperature: float = 1.0
    """See `DetectorSpec.offset`."""

    @property
    def tensors(self) -> tuple[TensorSpec, TensorSpec]:
        """Score map and box map."""
        return self.scores, self.boxes


def find_maps(
    outputs: tuple[TensorSpec, ...],
    classes: int,
    input_size: tuple[int, int],
    manifest: ModelManifest | None,
) -> Maps | None:
    """Return the two maps among a model's outputs, told by their channels.

    Args:
        outputs: Of the model.
        classes: How many; 4 cannot be told from a box map and is refused.
        input_size: Width and height of the model input in pixels.
        manifest: Says whether there are maps; without one there are none.

    Raises:
        BadContentError: they are not (1, rows, columns, classes) and (1, rows, columns, 4), of
            the size that the stride makes of the input.
    """
    spec = manifest.detector if manifest else None
    if manifest is None or spec is None:
        return None
    grid = (1, input_size[1] // spec.stride, input_size[0] // spec.stride)
    by_shape = {o.shape: o for o in outputs}
    wanted = ((*grid, classes), (*grid, 4))
    if classes == 4 or len(outputs) != 2 or set(by_shape) != set(wanted):
        raise BadContentError(
            f"outputs {[o.shape for o in outputs]}, need scores {wanted[0]} and boxes"
            f" {wanted[1]}, of other than 4 classes; does the manifest belong to this model?"
        )
    return Maps(by_shape[wanted[0]], by_shape[wanted[1]], spec, manifest.temperature)


def raw_threshold(maps: Maps, min_score: float) -> float:
    """Return the lowest raw value whose score reaches `min_score`; above the type's range: none."""
    dtype, quantisation = maps.scores.dtype, maps.scores.quantisation
    score = min(1 - _NEVER, max(_NEVER, min_score))
    logit = maps.temperature * math.log(score / (1 - score)) + maps.spec.offset
    if quantisation.scale == 0.0:
        return logit
    lowest, _ = integer_limits(dtype)
    # A hair below, so that a score which the arithmetic gives back is not lost to its rounding.
    return max(lowest, math.ceil(logit / quantisation.scale + quantisation.zero_point - 1e-4))


def peaks(raw: Tensor, least: float) -> npt.NDArray[np.int64]:
    """Return row, column and class of cells that no neighbour of their class exceeds.

    Args:
        raw: Score map, shape (rows, columns, classes), int8, uint8 or float32.
        least: Lowest raw value that counts.

    Returns:
        Shape (n, 3), highest value first, at most `MAX_CANDIDATES`.
    """
    strong = np.greater_equal(raw, least)
    if not strong.any():
        return np.empty((0, 3), np.int64)
    # OpenCV dilates no int8; flipping the top bit keeps the order.
    ordered = raw.view(np.uint8) ^ 0x80 if raw.dtype == np.int8 else raw
    around = cv2.dilate(np.ascontiguousarray(ordered), np.ones((3, 3), np.uint8))
    cells = np.argwhere(strong & (ordered == around.reshape(ordered.shape)))
    order = np.argsort(-raw[tuple(cells.T)].astype(np.float32), kind="stable")
    best: npt.NDArray[np.int64] = cells[order[:MAX_CANDIDATES]]
    return best


def to_boxes(codes: FloatArray, cells: npt.NDArray[np.int64], spec: DetectorSpec) -> FloatArray:
    """Return x0, y0, x1, y1 in pixels of the model input, shape (n, 4).

    Args:
        codes: Shape (n, 4), in cells: how far the middle lies right of and below the cell's
            own, and the logarithms of width and height.
        cells: Row and column first, shape (n, 2) or more.
        spec: Gives the stride.
    """
    middle = (cells[:, 1::-1] + 0.5 + codes[:, :2]) * spec.stride
    half = np.exp(np.minimum(codes[:, 2:], _LOG_SIZE)) * (spec.stride / 2)
    return np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)


def keep_best(boxes: FloatArray, classes: npt.NDArray[np.int64], iou: float) -> list[int]:
    """Return which boxes are left when each removes worse ones of its class over it.

    Args:
        boxes: Best first, shape (n, 4).
        classes: Shape (n,).
        iou: Intersection over union above which two boxes are one object, 0..1.
    """
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    left = np.ones(len(boxes), bool)
    kept = []
    for i in range(len(boxes)):
        if not left[i]:
            continue
        kept.append(i)
        low = np.maximum(boxes[i, :2], boxes[:, :2])
        high = np.minimum(boxes[i, 2:], boxes[:, 2:])
        inner = np.prod(np.maximum(high - low, 0.0), axis=1)
        left &= (inner <= iou * (areas + areas[i] - inner)) | (classes != classes[i])
    return kept


def decode(
    scores: Tensor, codes: Tensor, maps: Maps, min_score: float, frame: tuple[int, int]
) -> tuple[Detection, ...]:
    """Find the objects of a frame, best first.

    Args:
        scores: Raw score map, shape (1, rows, columns, classes).
        codes: Raw box map, shape (1, rows, columns, 4).
        maps: How they are read.
        min_score: Lowest score, 0..1, that counts.
        frame: Width and height in pixels of the frame that was squashed into the model input.

    Returns:
        Boxes inside the frame, in its pixels, at least one pixel wide and high.
    """
    spec = maps.spec
    cells = peaks(scores[0], raw_threshold(maps, min_score))
    if not len(cells):
        return ()
    rows, columns, classes = cells.T
    logits = dequantise(scores[0, rows, columns, classes], maps.scores.quantisation)
    found = to_boxes(dequantise(codes[0, rows, columns], maps.boxes.quantisation), cells, spec)
    width, height = frame
    down, across = (n * spec.stride for n in scores.shape[1:3])
    found *= np.array([width / across, height / down] * 2, np.float32)
    probabilities = 1 / (1 + np.exp((spec.offset - logits) / np.float32(maps.temperature)))
    detections = []
    for i in keep_best(found, classes, spec.nms_iou):
        box = _inside(found[i], width, height)
        if box.area > 0:
            detections.append(Detection(box, int(classes[i]), float(probabilities[i])))
    return tuple(detections)


def _inside(box: FloatArray, width: int, height: int) -> Box:
    x0, y0, x1, y1 = (round(float(v)) for v in box)
    return Box(max(0, x0), max(0, y0), min(width, x1), min(height, y1))
