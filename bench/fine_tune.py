"""A few hundred new labels: what a trained model learns from them, and what it forgets.

    python -m bench.fine_tune [MODEL] [--labels 300] [--json]

MODEL was trained on GTSRB's `train` split and has its float weights (`.keras`) beside it. Half of
the held-back tracks give the new labels: `--labels` images of ten classes only, at night and in
rain, as one badly placed camera would send them. The other half measures: the same ten classes in
night and rain (new), and all classes as they are (known). Arms: the model as it is, trained on
the new labels alone, and with half of each epoch replayed from the old images.
"""

import argparse
import csv
import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

from agent.contract.errors import BadContentError
from agent.vision.engine import Engine, read_model
from agent.vision.types import Image
from bench.signs import DEVELOPMENT, GTSRB, run_bench
from cloud.annotations import Sample
from cloud.corrupt import Kind, corrupt, rng_of
from cloud.data import DataFolder, decode, read_folder
from cloud.evaluate import answer, match_classes
from cloud.outcomes import Outcomes
from cloud.train.command import train

WEATHER: tuple[tuple[Kind, int], ...] = (("night", 4), ("rain", 4), ("night", 5), ("rain", 5))
CLASSES = 10
SEED = 1
Shown = tuple[Sample, Image]


def main() -> None:
    """Run the three arms and print what each knows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path, nargs="?", default=DEVELOPMENT)
    parser.add_argument("--labels", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(args.model, GTSRB, args.labels, Path(folder))
    if args.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'arm':22}{'new: accuracy':>28}{'known: accuracy':>30}")
    for row in rows:
        print(f"{row['arm']:22}{_shown(row['new']):>28}{_shown(row['known']):>30}")


def measure(model: Path, root: Path, labels: int, place: Path) -> list[dict[str, object]]:
    """Train the arms in a folder and return a row for each."""
    folder = read_folder(root)
    learn, judge = halves(folder)
    common = most_common(learn, CLASSES)
    fresh = list(spoilt(folder, pick([s for s in learn if s.index in common], labels)))
    write(place / "new", folder, fresh)
    new = list(spoilt(folder, pick([s for s in judge if s.index in common], 1_500)))
    known = [(s, i) for s, i in decode(folder, pick(judge, 3_000)) if not isinstance(i, str)]
    rows = [row("as it is", model, folder, new, known)]
    for arm, replay in (("new labels alone", None), ("with replay", root)):
        out = place / f"{'replayed' if replay else 'alone'}.tflite"
        train(
            "traffic-signs", place / "new", out, start=model, replay=replay,
            console=Console(quiet=True),
        )  # fmt: skip
        rows.append(row(arm, out, folder, new, known))
    return rows


def halves(folder: DataFolder) -> tuple[list[Sample], list[Sample]]:
    """Split the held-back tracks of each class into those to learn from and those to judge by."""
    tracks = sorted({(s.index, s.track) for s in folder.of("val")}, key=lambda t: _drawn(*t))
    ranks: dict[int, int] = {}
    first = set()
    for index, track in tracks:
        ranks[index] = ranks.get(index, 0) + 1
        if ranks[index] % 2:
            first.add((index, track))
    learn = [s for s in folder.of("val") if (s.index, s.track) in first]
    return learn, [s for s in folder.of("val") if (s.index, s.track) not in first]


def most_common(samples: Sequence[Sample], count: int) -> set[int]:
    """Return the classes with the most images."""
    found = np.bincount([s.index for s in samples])
    return set(np.argsort(-found, kind="stable")[:count].tolist())


def pick(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Return so many of the samples, always the same ones."""
    return sorted(samples, key=lambda s: _drawn(s.index, s.path))[:count]


def spoilt(folder: DataFolder, samples: Sequence[Sample]) -> "list[Shown]":
    """Decode images and put each into one of the weathers."""
    shown = []
    for number, (sample, image) in enumerate(decode(folder, samples)):
        if isinstance(image, str):
            raise BadContentError(image)
        kind, severity = WEATHER[number % len(WEATHER)]
        rng = rng_of(SEED, sample.path, kind, severity)
        shown.append((sample, corrupt(image, sample.box(image), kind, severity, rng)))
    return shown


def write(root: Path, folder: DataFolder, shown: Sequence[Shown]) -> None:
    """Write images with their labels as a data folder; tracks make the split."""
    root.mkdir()
    with (root / "classes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("class_id", "name"), *enumerate(folder.labels)])
    header = ("path", "class_id", "roi_x1", "roi_y1", "roi_x2", "roi_y2", "track")
    rows = []
    for number, (sample, image) in enumerate(shown):
        cv2.imwrite(str(root / f"{number}.png"), image)
        box = sample.box(image).as_tuple()
        rows.append((f"{number}.png", sample.index, *box, sample.track))
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def row(
    arm: str, model: Path, folder: DataFolder, new: Sequence[Shown], known: Sequence[Shown]
) -> dict[str, object]:
    """Measure one model on both sets."""
    engine = Engine(read_model(model))
    columns, _ = match_classes(folder.labels, engine.labels, str(model))
    found: dict[str, object] = {"arm": arm}
    for name, shown in (("new", new), ("known", known)):
        outcomes = Outcomes.of([answer(engine, s, i, columns) for s, i in shown])
        interval = outcomes.accuracy_interval()
        found[name] = {
            "accuracy": outcomes.accuracy, "low": interval.low, "high": interval.high,
            "errors": outcomes.errors, "n": len(shown),
        }  # fmt: skip
    return found


def _drawn(index: int, name: str) -> bytes:
    return hashlib.sha256(f"{SEED}/{index}/{name}".encode()).digest()


def _shown(figures: object) -> str:
    assert isinstance(figures, dict)
    return (
        f"{figures['accuracy']:.2%} [{figures['low']:.2%}, {figures['high']:.2%}]"
        f" {figures['errors']}"
    )


if __name__ == "__main__":
    run_bench(main)
