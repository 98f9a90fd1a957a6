"""Bytes of a look as sent, and what coding costs a large teacher's accuracy.

    python -m bench.look_bytes [MODEL [LOOKS]]

Held-back GTSRB signs go through the device's own step, each as a still with its annotated box as
the region; every one is asked about. The teacher (a large float network, `bench/teacher.tflite`)
then reads the sign's box twice: in the lossless crop, and in the decoded JPEG of the look.
Goals: p50 <= 2,500 and p99 <= 4,000 bytes; accuracy coded / lossless >= 0.995.
"""

import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from agent.contract.codec import Look, encode_look
from agent.journal import Journal
from agent.making import CROP_MARGIN
from agent.notebook import Note
from agent.pipeline import Lane, Pipeline
from agent.vision.engine import Engine, read_model
from agent.vision.tracker import Tracker
from agent.vision.types import Box, Frame, Image, Region
from bench.common import DATA, of_values
from bench.line import CAMERA, device_config, line
from cloud.annotations import Sample
from cloud.data import decode, read_folder
from cloud.evaluate import match_classes

TEACHER = Path(__file__).with_name("teacher.tflite")
PARTS = 20
ASK_ALWAYS = {
    "settings": {
        "threshold": 1.0, "audit_share": 1.0, "duplicate_bits": 0, "min_side": 4,
        "looks_per_day": 1_000_000, "bytes_per_day": 10_000_000_000,
    },
    "limits": {
        "looks_per_day": 1_000_000, "bytes_per_day": 10_000_000_000, "max_threshold": 1.0,
    },
}  # fmt: skip
"""What decides whether a look is made; how it is made stays at the defaults."""


@dataclass(slots=True)
class Given:
    """A proposer that returns the box it was given."""

    box: Box

    def propose(self, image: Image) -> tuple[Region, ...]:
        """Return the box as the only region."""
        del image
        return (Region(self.box),)


class Caught(Journal):
    """A journal that keeps looks in memory and writes nothing."""

    def __init__(self) -> None:
        self.looks: list[Look] = []

    def add(self, item: Look | Note) -> bool:
        """Take everything."""
        if isinstance(item, Look):
            self.looks.append(item)
        return True


def main() -> None:
    """Make the looks, weigh them, and let the teacher read them."""
    model = Path(sys.argv[1]) if len(sys.argv) > 1 else TEACHER
    wanted = int(sys.argv[2]) if len(sys.argv) > 2 else 10**9
    teacher = Engine(read_model(model))
    folder = read_folder(DATA / "gtsrb")
    columns, _ = match_classes(folder.labels, teacher.labels, str(model))
    samples = folder.of("val")
    chosen = samples[:: math.ceil(len(samples) / wanted)]
    sizes, lossless, coded = [], [], []
    for sample, image, look in looks(decode(folder, chosen)):
        sizes.append(len(encode_look(look)))
        box = sample.box(image)
        cut = box.widened(CROP_MARGIN, image.shape[1], image.shape[0])
        crop = np.ascontiguousarray(image[cut.y0 : cut.y1, cut.x0 : cut.x1])
        jpeg = cv2.imdecode(np.frombuffer(look.jpeg, np.uint8), cv2.IMREAD_COLOR)
        inner = Box(box.x0 - cut.x0, box.y0 - cut.y0, box.x1 - cut.x0, box.y1 - cut.y0)
        decoded = np.asarray(jpeg, np.uint8)
        right = columns[sample.index]
        lossless.append(read(teacher, crop, inner) == right)
        coded.append(read(teacher, decoded, scaled(inner, crop, decoded)) == right)
    report(model, sizes, lossless, coded)


def looks(
    images: Iterator[tuple[Sample, Image | str]],
) -> Iterator[tuple[Sample, Image, Look]]:
    """Yield each sample with the look that the device's pipeline makes of it."""
    with tempfile.TemporaryDirectory() as folder:
        document = device_config(Path(folder), "", "scene://1", **ASK_ALWAYS)
        with line(document) as built:
            given, caught = Given(Box(0, 0, 1, 1)), Caught()
            lane = Lane(given, Tracker(os.urandom))
            parts = replace(built.parts, lanes={CAMERA: lane}, journal=caught)
            for number, (sample, image) in enumerate(images):
                assert not isinstance(image, str), f"{sample.name}: {image}"
                given.box = sample.box(image)
                # Each has forgotten what was asked before.
                pipeline = Pipeline(parts, None)
                pipeline.step(Frame(CAMERA, number, time.time(), image, still=True))
                assert caught.looks, f"{sample.name}: {pipeline.counters.dropped}"
                yield sample, image, caught.looks.pop()


def scaled(box: Box, before: Image, after: Image) -> Box:
    """Return a box of a picture in the same picture of another size."""
    x, y = after.shape[1] / before.shape[1], after.shape[0] / before.shape[0]
    return Box(round(box.x0 * x), round(box.y0 * y), round(box.x1 * x), round(box.y1 * y))


def read(teacher: Engine, image: Image, box: Box) -> int:
    """Return the teacher's class."""
    return teacher.classify(image, Region(box)).index


def report(model: Path, sizes: list[int], lossless: list[bool], coded: list[bool]) -> None:
    """Print percentiles, accuracies and their ratio with its interval over parts of the signs."""
    p50, p99 = np.percentile(sizes, (50, 99))
    print(f"{len(sizes)} looks: p50 {p50:.0f}, p99 {p99:.0f}, most {max(sizes)} bytes as sent")
    print(f"{model.name}: {np.mean(lossless):.4f} lossless, {np.mean(coded):.4f} coded")
    changed = sum(a != b for a, b in zip(lossless, coded, strict=True))
    parts = [sum(coded[n::PARTS]) / sum(lossless[n::PARTS]) for n in range(PARTS)]
    print(f"coded / lossless: {sum(coded) / sum(lossless):.4f}; right and wrong swap for {changed}")
    print(f"the same by {PARTS} parts: {of_values(parts)}")


if __name__ == "__main__":
    main()
