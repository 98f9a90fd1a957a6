"""From data folders to a model file, with everything said on the way. Shell."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.profile import Profile
from agent.vision.shipped import load_profile
from cloud.train.batches import IntArray
from cloud.train.earlier import FURTHER, read_earlier
from cloud.train.export import Drop, Exported, Precision, Provenance, finish, to_tflite
from cloud.train.files import PLAIN, beside, check_place, need, training_bar, write
from cloud.train.fit import Course, Epoch, fit
from cloud.train.material import Material, Sources, gather
from cloud.train.model import load_network, save_network
from cloud.train.plots import save_confusion, save_curves
from cloud.train.recipe import Recipe, make_recipe

WORST_DROP: Final = 0.05
"""Points of accuracy that export may cost; more is said in red."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Errors among some images."""

    errors: int
    images: int


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training run made."""

    model: Path
    weights: Path
    """The float network, from which training can go on."""
    metrics: dict[str, int]
    """On held-back images, by the device's engine: counts and basis points."""
    drop: Drop
    new: Tally
    """On held-back images of `data`."""
    known: Tally
    """On those of what was known before (`replay`, `background`)."""
    history: tuple[Epoch, ...]
    refused: tuple[str, ...]
    """Images that could not be used, and why."""


def train(
    profile: str,
    data: Path,
    out: Path,
    *,
    background: Path | None = None,
    teachers: tuple[Path, ...] = (),
    development: Path | None = None,
    start: Path | None = None,
    replay: Path | None = None,
    precision: Precision = "int8",
    name: str = "",
    version: str = "1",
    terms: str = "",
    console: Console | None = None,
    changes: Mapping[str, object] | None = None,
) -> Trained:
    """Train a classifier and write its model file.

    Beside `out`: `NAME.keras` (float weights), `NAME.curves.png`, `NAME.confusion.png`,
    `NAME.export.json` and the folder `NAME.checkpoint`, from which an interrupted run goes on.

    Args:
        profile: Name of a shipped profile, or path of a TOML file.
        data: See `cloud.data.read_folder`; classes are named by labels or aliases of the
            profile.
        out: The model file to write.
        background: Road scenes (see `cloud.scenes`) from which "none of these" is learned.
        teachers: `.keras` files of trained networks, whose answers are learned as well.
        development: Model file of an earlier run: its recipe is run again, now with the images
            that it held back. Temperature, thresholds and metrics are then that run's.
        start: Model file of this trainer that learns more from `data`; its float weights
            (`.keras`) are looked for beside it. Its recipe is used, with `FURTHER` changed.
        replay: With `start`: a folder like `data` of what the model knew before, from which a
            share of each epoch is drawn so that it is not forgotten.
        precision: int8 for devices; float16 for a large reference model.
        name: Model name in the manifest; empty: the profile's.
        version: Version in the manifest.
        terms: Licence of the weights, in the manifest.
        console: Where progress is shown.
        changes: Of `cloud.train.recipe.Recipe`, by field, on top of the profile's own; None is no
            change.

    Raises:
        BadContentError: profile, recipe or data are wrong.
        UnavailableError: a file cannot be read, or the `train` extra is not installed.
    """
    console = console or Console()
    need("tensorflow", "keras", "matplotlib")
    check_place(out)
    _check_together(out, development, start, replay)
    task = load_profile(profile)
    if task.notice:
        console.print(task.notice, style="yellow", **PLAIN)
    begun = read_earlier(start, FURTHER) if start else None
    repeated = read_earlier(development, {}) if development else None
    base = begun or repeated
    chosen = make_recipe(Recipe, changes or {}, base.recipe if base else task.recipe)
    sources = Sources(data, background, replay, everything=repeated is not None)
    material = gather(sources, task, console, begun.labels if begun else ())
    if repeated:
        repeated.check_same(task, material)
        _say_changes(console, repeated.recipe, chosen)
    taught_by = _load_teachers(teachers, chosen, len(material.train.labels))
    first = begun.network(material.train.labels, chosen) if begun else None
    course = Course(
        material.train,
        None if repeated else material.val,
        chosen,
        task.augmentation,
        beside(out, ".checkpoint"),
        _digest(material, task, (*taught_by, *([first] if first else []))),
        start=first,
        new=material.new if begun else None,
        teachers=taught_by,
    )
    network, history = fit_shown(course, console)
    source = Provenance(
        name or task.name, version, task.name, material.origin, material.sha256, terms
    )
    content = to_tflite(network, material.train, chosen, task.augmentation, precision)
    earlier = repeated.manifest if repeated else None
    made = finish(content, network, material.val, chosen, source, precision, earlier)
    _write_all(out, made, network, material, history)
    _say(console, out, made)
    new, old = _tallies(material, made.guesses)
    return Trained(
        out, beside(out, ".keras"), made.metrics, made.drop, new, old, history, material.refused
    )


def _check_together(
    out: Path, development: Path | None, start: Path | None, replay: Path | None
) -> None:
    """Refuse what cannot be wanted together."""
    if (development and start) or (replay and not start):
        raise BadContentError(
            "train: a run to repeat and a model to go on from exclude each other, and replay goes"
            " with the latter"
        )
    if out.resolve() in {path.resolve() for path in (start, development) if path}:
        raise BadContentError(f"{out}: is what this run begins with; choose another output file")


def fit_shown(course: Course, console: Console) -> tuple[Any, tuple[Epoch, ...]]:
    """Train under a progress bar with the time left, and one line an epoch for the log."""

    def on_epoch(epoch: Epoch) -> None:
        held = "nothing held back"
        if epoch.val_accuracy is not None:
            held = (
                f"held back: accuracy {epoch.val_accuracy:.4f}, -log likelihood {epoch.val_nll:.4f}"
            )
        console.print(f"epoch {epoch.number}: loss {epoch.loss:.4f}, {held}")

    with training_bar(console, course.folder, course.recipe.epochs) as on_step:
        return fit(course, on_step, on_epoch)


def _tallies(material: Material, guesses: IntArray) -> tuple[Tally, Tally]:
    wrong = guesses != material.val.classes
    new, known = wrong[: material.val_new], wrong[material.val_new :]
    return Tally(int(new.sum()), len(new)), Tally(int(known.sum()), len(known))


def _say_changes(console: Console, before: Mapping[str, object], recipe: Recipe) -> None:
    for key, value in recipe.model_dump(mode="json").items():
        if key in before and before[key] != value:
            console.print(f"recipe: {key} {value}, not {before[key]} as in the run before", **PLAIN)


def _load_teachers(paths: tuple[Path, ...], recipe: Recipe, answers: int) -> tuple[Any, ...]:
    """Read the teachers, and see that they fit."""
    if bool(paths) != (recipe.teacher_share > 0):
        raise BadContentError(
            "train: a teacher and its share of the targets go together: --teacher FILE --set"
            " teacher_share=0.5"
        )
    networks = []
    for path in paths:
        network = load_network(path)
        if network.input_shape[1] != recipe.side or network.output_shape[1] != answers:
            raise BadContentError(
                f"{path}: {network.input_shape[1]} pixels a side and {network.output_shape[1]}"
                f" answers, but this run has {recipe.side} and {answers}; a teacher must be of"
                " the same profile and side"
            )
        networks.append(network)
    return tuple(networks)


def _digest(material: Material, task: Profile, networks: tuple[Any, ...]) -> str:
    """Return the hash of all that goes into a run beside its recipe."""
    seen = hashlib.sha256(f"{material.digest()} {task.augmentation!r} {material.new}".encode())
    for network in networks:
        for weights in network.get_weights():
            seen.update(weights.tobytes())
    return seen.hexdigest()


def _write_all(
    out: Path,
    made: Exported,
    network: Any,  # noqa: ANN401 - a keras.Model
    material: Material,
    history: tuple[Epoch, ...],
) -> None:
    try:
        save_network(network, beside(out, ".keras"))
        write(out, made.content)
        beside(out, ".export.json").write_text(json.dumps(asdict(made.drop), indent=1))
    except OSError as error:
        raise UnavailableError(f"{out}: {error.strerror}; choose another output file") from error
    save_curves(beside(out, ".curves.png"), history)
    save_confusion(
        beside(out, ".confusion.png"), material.val.labels, material.val.classes, made.guesses
    )


def _say(console: Console, out: Path, made: Exported) -> None:
    drop = made.drop
    figures = ", ".join(f"{key} {value}" for key, value in made.metrics.items())
    console.print(f"wrote {out}: {len(made.content)} bytes, {figures}", **PLAIN)
    console.print(
        f"export: {drop.file_errors} errors of {drop.images}, {drop.float_errors} before it"
        f" ({drop.points:+.3f} points), {drop.disagreed} answered differently",
        style="red" if drop.points > WORST_DROP else "",
    )
    for label, (n, before, after) in drop.per_class.items():
        console.print(f"  {label}: {before} -> {after} errors of {n}", **PLAIN)
