"""Measure a model file on a data folder with the device's own engine. Shell."""

import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agent.contract.errors import BadContentError
from agent.contract.messages import NONE_OF_THESE
from agent.vision.engine import Engine, read_model
from agent.vision.shipped import notice_of
from agent.vision.types import Image, Region, whole
from cloud.annotations import Sample
from cloud.corrupt import Kind, corrupt, rng_of
from cloud.data import DataFolder, decode, read_folder, split_by_image, split_by_track
from cloud.naming import named_for
from cloud.outcomes import ASKED_BY, ASKED_SHARE, NONE, Outcome, Outcomes, outcome
from cloud.report import ClassReport, Report

INVOKES: Final = 51
CORRUPTION_SEED: Final = 1
Corruption = tuple[Kind, int]
"""Kind and severity: see `cloud.corrupt`."""


def evaluate(
    model_path: Path,
    data_dir: Path,
    split: str | None = None,
    *,
    whole_images: bool = False,
    labels_path: Path | None = None,
    profile: str = "",
    corruption: Corruption | None = None,
    clock: Callable[[], float] = time.perf_counter,
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
        corruption: Spoil every image in this way first, always alike.
        clock: Seconds, for the time of an `invoke()`.
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
    if own and manifest and manifest.refit:
        notes = (*notes, "the model has learned from these images: no measure of its quality")
    if notice := notice_of(manifest):
        notes = (*notes, notice)
    folder = named_for(folder, engine.labels, manifest, profile)
    columns, matched_by = match_classes(folder.labels, engine.labels, str(model_path))
    if matched_by == "index":
        notes = (*notes, "no class name is the model's: classes are matched by their order")
    outcomes: list[Outcome] = []
    refused = [f"{name}: not in the folder" for name in folder.missing]
    for done, (sample, image) in enumerate(decode(folder, samples), 1):
        if isinstance(image, str):
            refused.append(f"{sample.name}: {image}")
        else:
            outcomes.append(
                answer(engine, sample, image, columns, corruption, whole_image=whole_images)
            )
        on_image(done, len(samples))
    if not outcomes:
        raise BadContentError(f"{data_dir}: no readable image; first: {refused[0]}")
    way = _Way(
        split=measured,
        region="whole" if whole_images else "roi",
        matched_by=matched_by,
        interval_over="tracks" if all(s.track for s in samples) else "images",
        corruption=f"{corruption[0]}:{corruption[1]}" if corruption else "",
        notes=notes,
    )
    took = round(invoke_us(engine, clock, INVOKES), 1)
    report = _report(Outcomes.of(outcomes), engine, folder, way, took)
    return replace(report, refused=tuple(refused))


def answer(
    engine: Engine,
    sample: Sample,
    image: Image,
    columns: tuple[int, ...],
    corruption: Corruption | None = None,
    *,
    whole_image: bool = False,
) -> Outcome:
    """Classify one image as the device does.

    Args:
        engine: The model.
        sample: What the image shows, and where.
        image: BGR uint8.
        columns: Model output of each data class; see `match_classes`.
        corruption: Spoil it first.
        whole_image: The annotated box is left aside.
    """
    box = sample.box(image)
    if corruption:
        rng = rng_of(CORRUPTION_SEED, sample.path, *corruption)
        image = corrupt(image, box, *corruption, rng)
    prediction = engine.classify(image, Region(whole(image) if whole_image else box))
    group = f"{sample.index}/{sample.track}" if sample.track else sample.name
    return outcome(prediction, columns[sample.index], group)


def match_classes(
    data_labels: tuple[str, ...], model_labels: tuple[str, ...], source: str
) -> tuple[tuple[int, ...], str]:
    """Return the model output of each data class, and how they were matched.

    Args:
        data_labels: Classes of the data. One named "none-of-these" is right where the model
            answers none: its output is -1.
        model_labels: Classes of the model, "none of these" not among them.
        source: The model's name in messages.

    Raises:
        BadContentError: only some names match, or none does and there are more classes than
            outputs.
    """
    classes = tuple(label for label in data_labels if label != NONE_OF_THESE)
    unknown = sorted(set(classes) - set(model_labels))
    by_name = not unknown
    if unknown and set(classes) & set(model_labels):
        raise BadContentError(
            f"{source}: no label {unknown[0]!r}, while other classes are matched by name; rename"
            " the class in the data, or give the --profile whose aliases name it"
        )
    if unknown and len(classes) > len(model_labels):
        raise BadContentError(
            f"{source}: {len(model_labels)} labels for {len(classes)} classes, and no label"
            f" {unknown[0]!r}; use the data that the model was made for"
        )
    outputs = {c: model_labels.index(c) if by_name else n for n, c in enumerate(classes)}
    columns = tuple(outputs.get(label, NONE) for label in data_labels)
    return columns, "name" if by_name else "index"


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


def invoke_us(engine: Engine, clock: Callable[[], float], runs: int) -> float:
    """Return the median time of a bare `invoke()`, microseconds."""
    times = []
    for _ in range(runs):
        started = clock()
        engine.bare_invoke()
        times.append(clock() - started)
    return statistics.median(times) * 1e6


@dataclass(frozen=True, slots=True)
class _Way:
    """How it was measured: see the fields of `Report`."""

    split: str
    region: str
    matched_by: str
    interval_over: str
    corruption: str
    notes: tuple[str, ...]


def _report(
    outcomes: Outcomes, engine: Engine, folder: DataFolder, way: _Way, invoke_us: float
) -> Report:
    interval = outcomes.accuracy_interval()
    per_class = Counter(o.truth for o in outcomes.each)
    pairs = Counter((o.truth, o.guess) for o in outcomes.each if o.truth != o.guess)
    wrong = Counter(truth for truth, _ in pairs.elements())
    labels = {**dict(enumerate(engine.labels)), NONE: NONE_OF_THESE}
    return Report(
        accuracy=outcomes.accuracy,
        accuracy_interval=(interval.low, interval.high),
        interval_over=way.interval_over,
        groups=len(set(outcomes.groups)),
        n=len(outcomes.each),
        errors=outcomes.errors,
        ece=outcomes.ece,
        nll=outcomes.nll,
        uncertainty=ASKED_BY,
        error_auroc=outcomes.error_auroc(ASKED_BY),
        errors_in_top_5=outcomes.caught(ASKED_BY, ASKED_SHARE),
        none_rate=outcomes.none_rate,
        invoke_us=invoke_us,
        size_bytes=len(engine.model.data),
        sha256=engine.model.sha256,
        data_sha256=folder.sha256,
        split=way.split,
        region=way.region,
        matched_by=way.matched_by,
        corruption=way.corruption,
        per_class={labels[i]: ClassReport(per_class[i], wrong[i]) for i in sorted(per_class)},
        confused=tuple((labels[t], labels[g], k) for (t, g), k in pairs.most_common(20)),
        notes=way.notes,
    )
