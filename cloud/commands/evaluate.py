"""`secondlook-cloud evaluate`: a classifier or a detector, measured and printed. Shell."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from agent.contract.errors import BadContentError
from cloud.corrupt import parse_corruption
from cloud.evaluate import evaluate
from cloud.evaluate_detector import (
    detector_json,
    detector_lines,
    evaluate_detector,
    is_detection_model,
)
from cloud.report import report_json, report_text


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked."""

    model: Path
    data: Path
    split: str | None
    labels: Path | None
    profile: str
    whole_images: bool
    corrupt: str | None
    classes: Sequence[str] | None
    ignore: Sequence[str] | None
    as_json: bool


def measure(wish: Wish) -> None:
    """Measure a model file and print the figures; notes and refused images go to stderr.

    Raises:
        BadContentError: model, data or an option is wrong, or does not belong to such a model.
        UnavailableError: a file cannot be read.
    """
    corruption = parse_corruption(wish.corrupt) if wish.corrupt else None
    if is_detection_model(wish.model, wish.labels):
        _refuse(wish.model, "a detector", "whole-images", wish.whole_images)
        _refuse(wish.model, "a detector", "corrupt", wish.corrupt)
        _refuse(wish.model, "a detector", "profile", wish.profile)
        found = evaluate_detector(
            wish.model, wish.data, wish.split,
            labels_path=wish.labels, classes=wish.classes or (), ignored=wish.ignore,
        )  # fmt: skip
        _tell((detector_json(found),) if wish.as_json else detector_lines(found), found.refused)
        return
    _refuse(wish.model, "a classifier", "classes", wish.classes)
    _refuse(wish.model, "a classifier", "ignore", wish.ignore)
    report = evaluate(
        wish.model, wish.data, wish.split, whole_images=wish.whole_images,
        labels_path=wish.labels, profile=wish.profile, corruption=corruption,
    )  # fmt: skip
    if wish.as_json:
        _tell((report_json(report),))
    else:
        _tell((report_text(report),), report.refused, report.notes)


def _refuse(model: Path, kind: str, option: str, value: object) -> None:
    """Refuse an option that this kind of model would silently not heed."""
    if value:
        raise BadContentError(f"{model}: {kind}, to which --{option} does not apply; leave it out")


def _tell(lines: Sequence[str], refused: Sequence[str] = (), notes: Sequence[str] = ()) -> None:
    for line in lines:
        typer.echo(line)
    for line in (*notes, *(f"refused {r}" for r in refused)):
        typer.echo(line, err=True)
