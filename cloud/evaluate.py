"""Measure a model file on a data folder with the device's own engine. Shell."""

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from agent.contract.errors import BadContentError
from agent.vision.engine import Engine, read_model
from agent.vision.shipped import notice_of
from agent.vision.types import Region, whole
from cloud.annotations import Sample
from cloud.calibration import TINY, expected_calibration_error
from cloud.data import DataFolder, decode, read_folder, split_by_image, split_by_track
from cloud.naming import named_for


@dataclass(frozen=True, slots=True)
class ClassReport:
    """Figures of one class."""

    n: int
    errors: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a model file does on a data folder."""

    accuracy: float
    """Share of images whose best class is the true one, 0..1."""
    n: int
    """Images measured."""
    errors: int
    ece: float
    """Expected calibration error over 15 equal-mass bins, 0..1."""
    nll: float
    """Mean negative log likelihood of the true class, in nats."""
    size_bytes: int
    """Of the model file."""
    sha256: str
    """Of the model file."""
    data_sha256: str
    """Of the annotation CSV."""
    split: str
    """Split measured; `all`: every image."""
    region: str
    """`roi`: annotated boxes (whole images where there is none); `whole`: whole images."""
    matched_by: str
    """`name`: classes are the model's labels; `index`: the n-th class is the n-th output."""
    per_class: dict[str, ClassReport] = field(default_factory=dict)
    confused: tuple[tuple[str, str, int], ...] = ()
    """True class, model's class, how often; most frequent first, at most 20."""
    refused: tuple[str, ...] = ()
    """Images that could not be measured, and why."""
    notes: tuple[str, ...] = ()


def evaluate(
    model_path: Path,
    data_dir: Path,
    split: str | None = None,
    *,
    whole_images: bool = False,
    labels_path: Path | None = None,
    profile: str = "",
    on_image: Callable[[int, int], None] = lambda _done, _total: None,
) -> Report:
    """Classify every image of a split and compare.

    Args:
        model_path: The `.tflite` file.
        data_dir: See `cloud.data.read_folder`.
        split: Name of the split; None: every image. A folder with tracks but no splits is split
            by track as training does it. One without either is split by image as training does
            it where the model was trained on it, and else measured as a whole.
        whole_images: True: annotated boxes are left aside.
        labels_path: Label file of a stock model; None: inside or beside it.
        profile: Whose aliases the folder may use for class names: a name or a path; empty: the
            shipped profile that the model was trained for.
        on_image: Told how many of how many images are done.

    Raises:
        BadContentError: the folder or the model is wrong, or they do not fit each other.
        UnavailableError: a file cannot be read.
    """
    engine = Engine(read_model(model_path, labels_path))
    if engine.is_detector:
        raise BadContentError(f"{model_path}: a detection model; evaluate needs a classifier")
    folder = read_folder(data_dir)
    manifest = engine.model.manifest
    own = manifest is not None and folder.sha256 == manifest.data_sha256
    samples, measured, notes = _chosen(folder, split, own=own)
    if notice := notice_of(manifest):
        notes = (*notes, notice)
    folder = named_for(folder, engine.labels, manifest, profile)
    columns, matched_by = match_classes(folder.labels, engine.labels, str(model_path))
    tally = _Tally(refused=[f"{name}: not in the folder" for name in folder.missing])
    for done, (sample, image) in enumerate(decode(folder, samples), 1):
        if isinstance(image, str):
            tally.refused.append(f"{sample.name}: {image}")
        else:
            box = whole(image) if whole_images else sample.box(image)
            prediction = engine.classify(image, Region(box))
            tally.add(columns[sample.index], prediction.index, prediction.scores)
        on_image(done, len(samples))
    if not tally.truths:
        raise BadContentError(f"{data_dir}: no readable image; first: {tally.refused[0]}")
    return _report(
        tally,
        engine,
        folder,
        measured,
        "whole" if whole_images else "roi",
        matched_by,
        notes,
    )


def report_json(report: Report) -> str:
    """Return the report as indented JSON."""
    return json.dumps(asdict(report), indent=2, ensure_ascii=False)


def match_classes(
    data_labels: tuple[str, ...], model_labels: tuple[str, ...], source: str
) -> tuple[tuple[int, ...], str]:
    """Return the model output of each data class, and how they were matched.

    Raises:
        BadContentError: names do not match and there are more classes than outputs.
    """
    if set(data_labels) <= set(model_labels):
        return tuple(model_labels.index(label) for label in data_labels), "name"
    if len(data_labels) > len(model_labels):
        unknown = sorted(set(data_labels) - set(model_labels))
        raise BadContentError(
            f"{source}: {len(model_labels)} labels for {len(data_labels)} classes, and no label"
            f" {unknown[0]!r}; use the data that the model was made for"
        )
    return tuple(range(len(data_labels))), "index"


def _chosen(
    folder: DataFolder, split: str | None, *, own: bool
) -> tuple[tuple[Sample, ...], str, tuple[str, ...]]:
    """Return the images to measure, the name of their split, and what must be said about it."""
    if split is None:
        return folder.samples, "all", ()
    folder = split_by_track(folder)
    if folder.splits:
        return folder.of(split), split, ()
    if own:
        note = "the folder has neither splits nor tracks: it is split by image, as in training"
        return split_by_image(folder).of(split), split, (note,)
    note = f"the folder has neither splits nor tracks: split {split!r} is every image"
    return folder.samples, "all", (note,)


@dataclass(slots=True)
class _Tally:
    truths: list[int] = field(default_factory=list)
    guesses: list[int] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def add(
        self, truth: int, guess: int, scores: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    ) -> None:
        """Take in one image."""
        self.truths.append(truth)
        self.guesses.append(guess)
        self.best.append(float(scores[guess]))
        self.losses.append(-math.log(max(TINY, float(scores[truth]))))


def _report(
    tally: _Tally,
    engine: Engine,
    folder: DataFolder,
    split: str,
    region: str,
    matched_by: str,
    notes: tuple[str, ...],
) -> Report:
    right = np.equal(tally.truths, tally.guesses)
    n, errors = len(right), int((~right).sum())
    per_class = Counter(tally.truths)
    pairs = Counter((t, g) for t, g in zip(tally.truths, tally.guesses, strict=True) if t != g)
    wrong = Counter(truth for truth, _ in pairs.elements())
    labels = engine.labels
    return Report(
        accuracy=(n - errors) / n,
        n=n,
        errors=errors,
        ece=expected_calibration_error(np.array(tally.best, np.float32), right),
        nll=sum(tally.losses) / n,
        size_bytes=len(engine.model.data),
        sha256=engine.model.sha256,
        data_sha256=folder.sha256,
        split=split,
        region=region,
        matched_by=matched_by,
        per_class={labels[i]: ClassReport(per_class[i], wrong[i]) for i in sorted(per_class)},
        confused=tuple((labels[t], labels[g], k) for (t, g), k in pairs.most_common(20)),
        refused=tuple(tally.refused),
        notes=notes,
    )
