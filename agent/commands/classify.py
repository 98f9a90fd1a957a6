"""`secondlook classify`: pictures through a model file, no camera and no cloud. Shell."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.camera.stills import decode_image
from agent.commands.quiet import quiet
from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.messages import NONE_OF_THESE
from agent.vision.engine import Engine, read_model
from agent.vision.shipped import find_model, load_profile, notice_of, shipped_model
from agent.vision.types import Box, Image, Region, whole

DETECTOR_MIN_SCORE: Final = 0.3
BAR: Final = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """One class, or one found object, of a picture."""

    index: int
    """Class index; -1: none of these."""
    label: str
    score: float
    """0..1."""
    box: Box | None = None
    """In pixels, of a detection model."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a model."""

    model: Path | None = None
    """A path, or the name of a shipped model; None: the profile's shipped one."""
    labels: Path | None = None
    profile: str = "traffic-signs"
    pixel_range: tuple[float, float] | None = None
    top: int = 5
    min_score: float | None = None
    """None: 0 for a classification model, `DETECTOR_MIN_SCORE` for a detection model."""
    as_json: bool = False


def classify(images: Sequence[Path], wish: Wish) -> int:
    """Classify pictures and print what was found, best first.

    Returns:
        The exit code: 1 where a picture was not readable.

    Raises:
        BadContentError, UnavailableError: there is no usable model.
    """
    engine = open_engine(wish)
    if notice := notice_of(engine.model.manifest) or load_profile(wish.profile).notice:
        typer.echo(notice, err=True)
    console = Console()
    found: list[dict[str, Any]] = []
    unreadable = 0
    for path in images:
        try:
            answers = ask(engine, read_image(path), wish)
        except (BadContentError, UnavailableError) as error:
            typer.echo(f"secondlook: {error}", err=True)
            unreadable += 1
            continue
        if wish.as_json:
            found.append({"image": str(path), "predictions": [as_dict(a) for a in answers]})
        else:
            console.print(Text(str(path), "bold"), table_of(answers), sep="\n")
    if wish.as_json:
        typer.echo(json.dumps(found, indent=1, ensure_ascii=False))
    return 1 if unreadable else 0


def open_engine(wish: Wish) -> Engine:
    """Load the model that is asked for.

    Raises:
        BadContentError, UnavailableError: there is none, or it cannot be used.
    """
    if wish.model:
        path = find_model(wish.model)
    else:
        profile = load_profile(wish.profile)
        if not profile.model:
            raise BadContentError(f"profile {profile.name!r}: ships no model; give --model FILE")
        path = shipped_model(profile.model)
    model = read_model(path, wish.labels)
    with quiet():
        return Engine(model, pixel_range=wish.pixel_range)


def read_image(path: Path) -> Image:
    """Read a picture in any format that OpenCV reads, as 8-bit colour.

    Raises:
        UnavailableError: the file cannot be read.
        BadContentError: it is no picture.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnavailableError(f"picture {path}: {error.strerror}; check the path") from error
    return decode_image(data, str(path))


def ask(engine: Engine, image: Image, wish: Wish) -> list[Answer]:
    """Return the best answers of a model for a whole picture, best first."""
    if engine.is_detector:
        lowest = DETECTOR_MIN_SCORE if wish.min_score is None else wish.min_score
        found = engine.detect(image, lowest)[: wish.top]
        return [Answer(d.index, engine.labels[d.index], d.score, d.box) for d in found]
    scores = engine.classify(image, Region(whole(image))).scores
    answers = [Answer(i, label, float(scores[i])) for i, label in enumerate(engine.labels)]
    if engine.answers_none:
        answers.append(Answer(-1, NONE_OF_THESE, max(0.0, 1 - float(scores.sum()))))
    best = sorted(answers, key=lambda answer: -answer.score)[: wish.top]
    return [a for a in best if a.score >= (wish.min_score or 0.0)]


def as_dict(answer: Answer) -> dict[str, Any]:
    """Return an answer as it stands in the JSON."""
    told: dict[str, Any] = {
        "index": answer.index,
        "label": answer.label,
        "score": round(answer.score, 6),
    }
    if answer.box:
        told["box"] = list(answer.box.as_tuple())
    return told


def table_of(answers: Sequence[Answer]) -> Table:
    """Return a picture's answers as a table."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(style="dim", no_wrap=True)
    for a in answers:
        bar = Text("━" * max(1, round(a.score * BAR)), "green" if a.score >= 0.5 else "yellow")
        box = " ".join(str(v) for v in a.box.as_tuple()) if a.box else ""
        table.add_row(f"{a.score:.3f}", bar, str(a.index), Text(a.label), box)
    if not answers:
        table.add_row("", "", "", Text("nothing found", "dim"), "")
    return table
