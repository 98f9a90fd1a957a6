"""What coding costs: bytes per crop, and a large float teacher's accuracy on coded crops.

    python -m bench.coded_crops [MODEL]

Every crop is cut as the device cuts it for a look, then read twice: as it is, and after JPEG.
The teacher (float16 weights, 1.1 M of them, 99.68 % on the held-back tracks) comes from
`cloud.train.command.train("traffic-signs", DATA, OUT, precision="float16", name="teacher",
width=1.5, epochs=7, seed=2)`.

Goal: p50 <= 2.5 KB, p99 <= 4 KB; accuracy coded / lossless >= 0.995.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from agent.contract.config import Settings
from agent.crops import encode_crop
from agent.pipeline import CROP_MARGIN
from agent.vision.engine import Engine, read_model
from agent.vision.types import Image, whole
from bench.common import DATA
from cloud.data import decode, read_folder
from cloud.evaluate import match_classes

TEACHER = Path(__file__).with_name("teacher.tflite")


def main() -> None:
    """Read each held-back GTSRB sign lossless and coded."""
    model = Path(sys.argv[1]) if len(sys.argv) > 1 else TEACHER
    engine = Engine(read_model(model))
    folder = read_folder(DATA / "gtsrb")
    columns, _ = match_classes(folder.labels, engine.labels, str(model))
    sizes, lossless, coded = [], 0, 0
    for sample, image in decode(folder, folder.of("val")):
        assert not isinstance(image, str), f"{sample.name}: {image}"
        box = sample.box(image).widened(CROP_MARGIN, image.shape[1], image.shape[0])
        data = encode_crop(image, box, Settings())
        sizes.append(len(data))
        cut = np.ascontiguousarray(image[box.y0 : box.y1, box.x0 : box.x1])
        lossless += best(engine, cut) == columns[sample.index]
        again = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)
        coded += best(engine, again) == columns[sample.index]
    p50, p99 = np.percentile(sizes, (50, 99))
    print(f"{model.name}: {len(sizes)} crops, JPEG p50 {p50:.0f}, p99 {p99:.0f} bytes")
    print(f"accuracy lossless {lossless / len(sizes):.4f}, coded {coded / len(sizes):.4f}")
    print(f"coded / lossless: {coded / lossless:.4f}")


def best(engine: Engine, crop: Image) -> int:
    """Return the best class of a whole crop."""
    return int(engine.logits(crop, whole(crop)).argmax())


if __name__ == "__main__":
    main()
