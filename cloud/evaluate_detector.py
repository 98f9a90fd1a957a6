"""Measure a detection model on a folder of scenes with the device's own engine. Shell."""

import json
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from agent.contract.errors import BadContentError
from agent.vision.engine import Engine, read_model
from agent.vision.types import Image
from cloud.detection_figures import (
    FrameResult,
    Matched,
    ap_interval,
    average_precision,
    match,
    threshold_at,
)
from cloud.evaluate import invoke_us
from cloud.scenes import Scene, SceneFolder, pictures, read_scenes, with_splits

ALARMS: Final = 0.1
"""False alarms per frame at which recall is told."""
LEAST_SCORE: Final = 0.001
"""Detections from here on make the average precision."""
SIZES: Final = (("small", 0.0), ("medium", 16.0), ("large", 48.0))
"""Objects by the side, in pixels of the model input, of a square of their area; from where on."""
RUNS: Final = 100
"""Bare invocations whose median is told."""
COLUMNS: Final = 80
TIED: Final = "\N{NO-BREAK SPACE}"
"""Stands for a space where no line may end."""


@dataclass(frozen=True, slots=True)
class Part:
    """How many of some objects are found at the threshold."""

    n: int
    found: int


@dataclass(frozen=True, slots=True)
class DetectorReport:
    """What a detection model does on a folder of scenes."""

    ap50: float
    """Average precision at IoU 0.5, all-point interpolation, 0..1."""
    ap50_interval: tuple[float, float]
    """95 %, by drawing frames with replacement."""
    recall: float
    """Share of objects found at `threshold`; in JSON `recall_at_fppi_0.1`."""
    threshold: float
    """Lowest score from which on there is one false alarm per ten frames at most."""
    recall_at_default: float
    """Share of objects found at the threshold in the model's manifest ..."""
    alarms_at_default: float
    """... and its false alarms per frame."""
    default_threshold: float
    frames: int
    objects: int
    size_bytes: int
    """Of the model file."""
    sha256: str
    """Of the model file."""
    data_sha256: str
    """Of the annotation CSV."""
    split: str
    """Split measured; `all`: every frame."""
    invoke_us: float
    """Median time of the bare interpreter, one thread, microseconds."""
    detect_us: float
    """Median time of a frame with squashing, decoding and suppression, microseconds."""
    ignored: tuple[str, ...]
    """Labels that count neither way."""
    by_size: dict[str, Part] = field(default_factory=dict)
    by_label: dict[str, Part] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    """Frames that could not be measured, and why."""


@dataclass(slots=True)
class _Tally:
    results: list[FrameResult] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    sides: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def is_detection_model(model_path: Path, labels_path: Path | None = None) -> bool:
    """Return whether a model file finds objects rather than classifying.

    Raises:
        BadContentError, UnavailableError: as of `read_model` and `Engine`.
    """
    return Engine(read_model(model_path, labels_path)).is_detector


def evaluate_detector(
    model_path: Path,
    data_dir: Path,
    split: str | None = None,
    *,
    labels_path: Path | None = None,
    classes: Sequence[str] = (),
    ignored: Sequence[str] | None = None,
    seed: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> DetectorReport:
    """Look for signs in every scene of a split and compare.

    Args:
        model_path: The `.tflite` file.
        data_dir: See `cloud.scenes.read_scenes`.
        split: One of the folder's own; where it has none, `val`: the scenes that a training
            holds back, `train`: the others. None: all.
        labels_path: Label file of a stock model; None: inside or beside it.
        classes: Classes of the model that count as signs; empty: all.
        ignored: Labels in the folder that count neither way; None: those of the manifest.
        seed: Of the frames drawn for the interval.
        clock: Tells seconds; times are differences.

    Raises:
        BadContentError: the folder or the model is wrong, or no frame is readable.
        UnavailableError: a file cannot be read.
    """
    engine = Engine(read_model(model_path, labels_path))
    unknown = sorted(set(classes) - set(engine.labels))
    if not engine.is_detector or unknown:
        what = f"no class {unknown[0]!r}" if unknown else "a classification model"
        raise BadContentError(f"{model_path}: {what}; give a detection model and its classes")
    spec = engine.model.manifest.detector if engine.model.manifest else None
    if ignored is None:
        ignored = spec.ignored if spec else ()
    folder = read_scenes(data_dir)
    wanted = frozenset(engine.labels.index(name) for name in classes or engine.labels)
    tally = _Tally()
    for scene, image in pictures(with_splits(folder).of(split) if split else folder.scenes):
        if isinstance(image, str):
            tally.refused.append(image)
        else:
            _look(engine, scene, image, wanted, frozenset(ignored), tally, clock)
    if not tally.results:
        raise BadContentError(
            f"{data_dir}: no readable frame" + "".join(f"; {r}" for r in tally.refused[:1])
        )
    default = spec.min_score if spec else 0.5
    return _report(engine, folder, split or "all", tuple(sorted(ignored)), tally, default, seed,
                   invoke_us(engine, clock, RUNS))  # fmt: skip


def detector_json(report: DetectorReport) -> str:
    """Return the report as indented JSON."""
    values = {_KEYS.get(name, name): value for name, value in asdict(report).items()}
    return json.dumps(values, indent=2, ensure_ascii=False)


_KEYS: Final = {"recall": "recall_at_fppi_0.1"}


def detector_lines(report: DetectorReport) -> tuple[str, ...]:
    """Return the report as lines for people."""
    low, high = report.ap50_interval
    parts = (*report.by_size.items(), *report.by_label.items())
    found = ", ".join(f"{name} {part.found} of {part.n}".replace(" ", TIED) for name, part in parts)
    wrapped = textwrap.fill(
        f"found {found}", COLUMNS, subsequent_indent="  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    lines = f"""\
AP50 {report.ap50:.3f} (95 % {low:.3f} to {high:.3f})
{report.objects} objects in {report.frames} frames, split {report.split}
at one false alarm per ten frames: recall {report.recall:.3f}, score {report.threshold:.3f}
at the model's own score {report.default_threshold:.3f}: recall {report.recall_at_default:.3f},\
 {report.alarms_at_default:.2f} false alarms a frame
invoke {report.invoke_us:.0f} us, frame {report.detect_us:.0f} us, {report.size_bytes} bytes
{wrapped.replace(TIED, " ")}"""
    return tuple(lines.splitlines())


def _look(
    engine: Engine,
    scene: Scene,
    image: Image,
    wanted: frozenset[int],
    ignored: frozenset[str],
    tally: _Tally,
    clock: Callable[[], float],
) -> None:
    started = clock()
    found = engine.detect(image, LEAST_SCORE)
    tally.seconds.append(clock() - started)
    signs = tuple(o for o in scene.objects if o.label not in ignored)
    tally.results.append(
        FrameResult(
            tuple(d for d in found if d.index in wanted),
            tuple(o.box for o in signs),
            tuple(o.box for o in scene.objects if o.label in ignored),
        )
    )
    tally.labels += [o.label for o in signs]
    across, down = engine.input_size
    shrink = across * down / (image.shape[0] * image.shape[1])
    tally.sides += [float(np.sqrt(o.box.area * shrink)) for o in signs]


def _report(
    engine: Engine,
    folder: SceneFolder,
    split: str,
    ignored: tuple[str, ...],
    tally: _Tally,
    default: float,
    seed: int,
    invoke_us: float,
) -> DetectorReport:
    matched = match(tally.results)
    threshold = threshold_at(matched, ALARMS)
    found = matched.found >= threshold
    sizes = np.array([_size_of(side) for side in tally.sides])
    labels = np.array(tally.labels)
    return DetectorReport(
        ap50=average_precision(matched),
        ap50_interval=ap_interval(matched, seed),
        recall=_share(found),
        threshold=threshold,
        recall_at_default=_share(matched.found >= default),
        alarms_at_default=_alarms(matched, default),
        default_threshold=default,
        frames=matched.frames,
        objects=len(found),
        size_bytes=len(engine.model.data),
        sha256=engine.model.sha256,
        data_sha256=folder.sha256,
        split=split,
        invoke_us=invoke_us,
        detect_us=float(np.median(tally.seconds)) * 1e6,
        ignored=ignored,
        by_size={n: _part(found, sizes == n) for n, _ in SIZES},
        by_label={n: _part(found, labels == n) for n in sorted(set(tally.labels))},
        refused=tuple(tally.refused),
    )


def _alarms(matched: Matched, least: float) -> float:
    return float((~matched.hits & (matched.scores >= least)).sum()) / matched.frames


def _share(found: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float:
    return float(found.mean()) if len(found) else 0.0


def _part(
    found: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    which: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> Part:
    return Part(int(which.sum()), int((found & which).sum()))


def _size_of(side: float) -> str:
    return [name for name, least in SIZES if side >= least][-1]
