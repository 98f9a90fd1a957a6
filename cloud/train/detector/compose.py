"""Training scenes put together from real scenes, sign crops and drawn things. Pure.

Cuts of real scenes at random scale and shape (cameras are wide, the model input is square, the
device squashes); four of them as one (the mosaic of A. Bochkovskiy et al., "YOLOv4", 2020);
signs pasted where they were not (G. Ghiasi et al., "Simple copy-paste", CVPR 2021).
"""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from agent.vision.types import FloatArray, Image
from cloud.train.detector.cutouts import Cutout, Mask
from cloud.train.detector.ground import Rng, distractor, drawn_ground
from cloud.train.detector.light import as_lit, as_taken
from cloud.train.detector.recipe import DetectorRecipe
from cloud.train.detector.targets import TrainingScene

SHAPES: Final = (0.7, 1.9)
"""Width by height of the pictures that are squashed into the square input."""
SIZES: Final = (7.0, 120.0)
"""Of pasted signs, pixels of the model input: the side of a square of the same area."""
LEAST_SEEN: Final = 0.5
"""Signs of which less is inside the picture are unclear."""
LEAST_SIDE: Final = 5.0
"""Smaller signs, in pixels of the model input, are unclear."""
TRIES: Final = 6
NONE: Final = np.empty((0, 4), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What scenes are put together from."""

    frames: tuple[Image, ...]
    """Real scenes, BGR."""
    boxes: tuple[FloatArray, ...]
    """Signs in each of them, x0, y0, x1, y1 in its pixels, shape (n, 4)."""
    signs: tuple[Cutout, ...]
    """Sign crops without what is behind them."""
    suspects: tuple[FloatArray, ...] = ()
    """In each real scene what may be a sign that nobody marked, as `boxes`; empty: nothing."""


@dataclass(slots=True, eq=False)
class _Canvas:
    """A scene while it is made."""

    image: Image
    boxes: FloatArray
    unclear: FloatArray
    shape: float
    """Width by height of the picture before it was squashed."""


def compose(material: Material, recipe: DetectorRecipe, rng: Rng) -> TrainingScene:
    """Return one scene; the same for the same generator state."""
    kind = rng.random()
    real = bool(material.frames) and kind < recipe.frame_share + recipe.mosaic_share
    shape = math.exp(rng.uniform(math.log(SHAPES[0]), math.log(SHAPES[1])))
    if not real:
        canvas = _Canvas(drawn_ground(recipe.side, rng), NONE, NONE, shape)
    elif kind < recipe.frame_share:
        canvas = _cut(material, (recipe.side, recipe.side), shape, rng)
    else:
        canvas = _mosaic(material, recipe.side, shape, rng)
    if rng.random() < 0.5:
        canvas = _mirrored(canvas)
    for _ in range(int(rng.integers(0, recipe.distractors + 1))):
        # Nothing hides a sign, and what is no sign may lie under one.
        _paste(canvas, distractor(material.signs, rng), rng, is_sign=False)
    if material.signs:
        # A drawn ground has no signs of its own.
        for _ in range(int(rng.integers(0 if real else 1, recipe.pasted + 1))):
            _paste(canvas, material.signs[int(rng.integers(len(material.signs)))], rng)
    image = as_taken(as_lit(canvas.image, rng), rng)
    return TrainingScene(image, canvas.boxes, canvas.unclear, complete=not real)


def _cut(material: Material, size: tuple[int, int], shape: float, rng: Rng) -> _Canvas:
    """Return a part of a real scene, squashed to a size (width, height)."""
    n = int(rng.integers(len(material.frames)))
    frame, boxes = material.frames[n], material.boxes[n]
    height, width = frame.shape[:2]
    cut_height = min(height, width / shape) * math.exp(rng.uniform(math.log(0.4), 0.0))
    cut = np.array([cut_height * shape, cut_height])
    room = np.array([width, height]) - cut
    start = rng.uniform(0, 1, 2) * room
    if len(boxes) and rng.random() < 0.7:
        # Most cuts show a sign: elsewhere there is little to learn.
        box = boxes[int(rng.integers(len(boxes)))]
        spare = cut - (box[2:] - box[:2])
        start = np.clip(box[:2] - rng.uniform(0, 1, 2) * spare, 0, room)
    scale = np.array(size) / cut
    matrix = np.array([[scale[0], 0, 0], [0, scale[1], 0]])
    matrix[:, 2] = -start * scale + (scale - 1) / 2
    image = cv2.warpAffine(frame, matrix, size, flags=cv2.INTER_LINEAR,
                           borderMode=cv2.BORDER_REPLICATE)  # fmt: skip

    def moved(some: FloatArray) -> FloatArray:
        return np.asarray((some - np.tile(start, 2)) * np.tile(scale, 2), np.float32)

    seen, unclear = _sorted_out(moved(boxes), size)
    if material.suspects:
        parts = _sorted_out(moved(material.suspects[n]), size)
        unclear = np.concatenate([unclear, *parts])
    return _Canvas(np.asarray(image, np.uint8), seen, unclear, shape)


def _sorted_out(boxes: FloatArray, size: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Return what of boxes is inside a picture: those to be learned, and the unclear ones."""
    inside = np.clip(boxes, 0, np.tile(size, 2)).astype(np.float32)
    sides = inside[:, 2:] - inside[:, :2]
    area = sides.prod(axis=1)
    there = area > 0
    seen = area >= LEAST_SEEN * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    clear = there & seen & (sides.min(axis=1, initial=np.inf) >= LEAST_SIDE)
    return inside[clear], inside[there & ~clear]


def _mosaic(material: Material, side: int, shape: float, rng: Rng) -> _Canvas:
    x, y = (int(side * share) for share in rng.uniform(0.3, 0.7, 2))
    image = np.empty((side, side, 3), np.uint8)
    boxes, unclear = [], []
    for x0, x1 in ((0, x), (x, side)):
        for y0, y1 in ((0, y), (y, side)):
            # A cell of another shape holds a cut of another shape: signs keep theirs.
            part = _cut(material, (x1 - x0, y1 - y0), shape * (x1 - x0) / (y1 - y0), rng)
            image[y0:y1, x0:x1] = part.image
            corner = np.array([x0, y0, x0, y0], np.float32)
            boxes.append(part.boxes + corner)
            unclear.append(part.unclear + corner)
    return _Canvas(image, np.concatenate(boxes), np.concatenate(unclear), shape)


def _mirrored(canvas: _Canvas) -> _Canvas:
    """Return the scene as in a mirror: an outline is one still."""
    side = canvas.image.shape[1]
    boxes, unclear = (
        np.stack([side - b[:, 2], b[:, 1], side - b[:, 0], b[:, 3]], axis=1)
        for b in (canvas.boxes, canvas.unclear)
    )
    return _Canvas(canvas.image[:, ::-1].copy(), boxes, unclear, canvas.shape)


def _paste(canvas: _Canvas, thing: Cutout, rng: Rng, *, is_sign: bool = True) -> None:
    """Put a thing where no sign is, if there is a place."""
    image, mask = _posed(thing, canvas.shape, rng)
    x, y, w, h = cv2.boundingRect((mask > 127).astype(np.uint8))
    room = (canvas.image.shape[1] - mask.shape[1], canvas.image.shape[0] - mask.shape[0])
    if min(w, h) < LEAST_SIDE or min(room) <= 0:
        return
    for _ in range(TRIES):
        left, top = int(rng.integers(room[0])), int(rng.integers(room[1]))
        box = np.array([left + x, top + y, left + x + w, top + y + h], np.float32)
        if _is_free(box, canvas.boxes) and _is_free(box, canvas.unclear):
            break
    else:
        return
    if is_sign and rng.random() < 0.4:
        _stand(canvas, box, rng)
    target = canvas.image[top : top + mask.shape[0], left : left + mask.shape[1]]
    light = math.log((target.mean() + 20) / (image.mean() + 20)) * rng.uniform(0, 0.8)
    lit = np.clip(image * math.exp(min(0.6, max(-1.2, light))), 0, 255)
    share = mask[..., None] / np.float32(255)
    target[...] = (target * (1 - share) + lit * share).astype(np.uint8)
    if is_sign:
        canvas.boxes = np.concatenate([canvas.boxes, box[None]])


def _posed(thing: Cutout, shape: float, rng: Rng) -> tuple[Image, Mask]:
    """Return a thing turned a little, at a random size, squashed like its scene, and its mask."""
    height, width = thing.mask.shape
    size = math.exp(rng.uniform(math.log(SIZES[0]), math.log(SIZES[1])))
    # Large ones are rarer, and no crop is blown up more than thrice.
    size = min(size, 3 * math.sqrt(width * height))
    squash = math.exp(-0.5 * math.log(shape) + rng.uniform(-0.1, 0.1))
    scale = size / math.sqrt(width * height)
    across, down = scale * squash, scale / squash
    angle = math.radians(rng.normal(0, 5))
    c, s = math.cos(angle), math.sin(angle)
    linear = np.array([[across * c, -across * s], [down * s, down * c]])
    if rng.random() < 0.5:
        linear[:, 0] *= -1
    reach = np.abs(linear) @ np.array([width, height]) / 2
    out = tuple(math.ceil(2 * r) + 2 for r in reach)
    offset = (np.array(out) - 1) / 2 - linear @ (np.array([width, height]) - 1) / 2
    image, mask = thing.image, thing.mask
    if scale < 0.5:
        # Bilinear sampling alone would skip pixels.
        soft = 0.4 / scale
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), soft), np.uint8)
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), soft), np.uint8)
    matrix = np.column_stack([linear, offset])
    flags = cv2.INTER_LINEAR
    posed = cv2.warpAffine(image, matrix, out, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(posed, np.uint8), np.asarray(cv2.warpAffine(mask, matrix, out, flags=flags))


def _is_free(box: FloatArray, others: FloatArray) -> bool:
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    return not (high - low > 0).all(axis=1).any()


def _stand(canvas: _Canvas, box: FloatArray, rng: Rng) -> None:
    """Draw a post from a sign down, in front of no other sign."""
    x = int(box[0] + box[2]) // 2
    thick = max(1, int((box[2] - box[0]) * rng.uniform(0.05, 0.15)))
    end = min(canvas.image.shape[0], int(box[3] + rng.uniform(0.5, 4) * (box[3] - box[1])))
    post = np.array([x - thick, box[3], x + thick, end], np.float32)
    if _is_free(post, canvas.boxes):
        grey = float(rng.uniform(50, 200))
        start = int(box[1] + box[3]) // 2
        cv2.line(canvas.image, (x, start), (x, end), (grey, grey, grey), thick)
