"""From the four outputs of TFLite_Detection_PostProcess to boxes. Pure."""

from agent.vision.runtime import TensorSpec
from agent.vision.types import Box, Detection, FloatArray


def is_ssd(outputs: tuple[TensorSpec, ...]) -> bool:
    """Return whether a model's outputs are those of a stock detection model."""
    shapes = [s.shape for s in outputs]
    return len(shapes) == 4 and len(shapes[0]) == 3 and shapes[0][2] == 4


def decode_ssd(
    outputs: tuple[FloatArray, ...], classes: int, min_score: float, frame: tuple[int, int]
) -> tuple[Detection, ...]:
    """Return the objects of a frame, best first.

    Args:
        outputs: Boxes (1, n, 4) as relative ymin, xmin, ymax, xmax; classes (1, n);
            scores (1, n); count (1).
        classes: How many; others are left out.
        min_score: Lowest score, 0..1, that counts.
        frame: Width and height in pixels.
    """
    boxes, indices, scores, count = outputs
    found = []
    for i in range(min(int(count.flat[0]), boxes.shape[1])):
        box = _to_box(boxes[0, i], *frame)
        index = int(indices[0, i])
        if scores[0, i] >= min_score and box.area > 0 and 0 <= index < classes:
            found.append(Detection(box, index, min(1.0, float(scores[0, i]))))
    return tuple(sorted(found, key=lambda d: -d.score))


def _to_box(relative: FloatArray, width: int, height: int) -> Box:
    y0, x0, y1, x1 = (min(1.0, max(0.0, float(v))) for v in relative)
    return Box(round(x0 * width), round(y0 * height), round(x1 * width), round(y1 * height))
