"""Learning curves, and contact sheets of what was asked for, what not, and why."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from agent.camera.scene.options import SceneOptions
from agent.camera.scene.world import Scene
from agent.crops import sharpness
from agent.vision.engine import Engine, read_model
from agent.vision.preprocess import region_hash
from agent.vision.shipped import MODELS
from agent.vision.types import Box, Image, Region
from bench.labels.arms import OURS, Run, World, id_of
from bench.labels.device import Device, Fate, Shot
from bench.labels.features import Pictures, frames_of
from bench.labels.figures import Runs, curves
from cloud.train.backend import module

COLOURS: Final = ("#d1495b", "#8d99ae", "#2b2d42", "#edae49", "#00798c", "#66a182")
SAID: Final = {
    "uncertain": "asked: in doubt, new, and worth more than most",
    "audit": "asked by chance alone, to measure the true error",
    "outranked": "not asked: in doubt, but others are worth more",
    "duplicate": "not asked: looks like one that was asked about before",
    "sure": "not asked: no doubt in any frame",
}
"""What becomes of a sighting, in the order of the sheet; other ends are rare."""
COLOURS_KEPT: Final = 160
ACROSS: Final = 7
SIDE: Final = 64
CAPTION: Final = 21
"""Characters that fit above a cut."""
SCENE: Final = SceneOptions(
    seed=7,
    frames=1_200,
    fps=5.0,
    signs_per_minute=120.0,
    conditions=("day", "fog", "rain", "night"),
)
SCENE_LOOKS: Final = 40
"""Looks for the drawn drive, which counts as a day."""


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """One sighting of a sheet."""

    cut: Image
    fate: Fate
    caption: str


def save_all(runs: Runs, world: World, pictures: Pictures, out: Path) -> None:
    """Draw everything; what shows the data's own pictures has `real` in its name."""
    out.mkdir(parents=True, exist_ok=True)
    save_curves(out / "learning-curves.png", runs)
    save_sheet(out / "asked.png", drawn_drive())
    save_sheet(out / "asked-real.png", real_day(world, runs[0][OURS], pictures))


def save_curves(path: Path, runs: Runs) -> None:
    """Draw accuracy over labels, the mean of all seeds."""
    figure = _figure(7.0, 4.2)
    axes = figure.subplots()
    for colour, arm in zip(COLOURS, runs[0], strict=True):
        spent, found = curves(runs, arm, "labels").mean(axis=0), 100 * curves(runs, arm)
        wide = 2.6 if arm == OURS else 1.4
        axes.plot(spent, found.mean(axis=0), color=colour, linewidth=wide, label=arm)
    axes.set_xlabel("labels paid for")
    axes.set_ylabel(f"accuracy on other signs, %, mean of {len(runs)} seeds")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(path)


def save_sheet(path: Path, told: Iterable[Told]) -> None:
    """Draw a row of examples for each end that a sighting may come to, with how many there were."""
    by_why: dict[str, list[Told]] = {}
    for one in told:
        by_why.setdefault(one.fate.why, []).append(one)
    rows = [why for why in SAID if why in by_why]
    figure = _figure(7.2, 1.4 * len(rows) + 0.1)
    for part, why in zip(np.ravel(figure.subfigures(len(rows), 1)), rows, strict=True):
        some = by_why[why]
        part.suptitle(f"{SAID[why]}: {len(some)}", x=0.01, ha="left", fontsize=9, weight="bold")
        chosen = [some[n] for n in np.unique(np.linspace(0, len(some) - 1, ACROSS).astype(int))]
        for axes, one in zip(part.subplots(1, ACROSS), [*chosen, *[None] * ACROSS], strict=False):
            axes.set_axis_off()
            if one is not None:
                axes.imshow(squared_cut(one.cut)[..., ::-1], interpolation="nearest")
                axes.set_title(one.caption, fontsize=6, pad=2)
    figure.savefig(path)
    # Photographs make large PNGs; a palette halves them and leaves the text crisp.
    pillow = module("PIL.Image")
    with pillow.open(path) as drawn:
        few = drawn.convert("RGB").quantize(COLOURS_KEPT, dither=pillow.Dither.NONE)
    few.save(path, optimize=True)


def squared_cut(cut: Image) -> Image:
    """Return a cut of one size."""
    return np.asarray(cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def real_day(world: World, run: Run, pictures: Pictures) -> list[Told]:
    """Return the sightings of the stream with what became of them."""
    told = []
    for sighting, fate in run.fates.items():
        passed = world.field.stream[sighting]
        row = int(world.rows(np.array([sighting]))[0, fate.shot])
        _, image = frames_of(world.field.stream, pictures, row)
        weather = passed.weather[0] if passed.weather else "clear"
        told.append(Told(image, fate, f"day {passed.day + 1}, {weather}\n{worth_of(fate)}"))
    return told


def drawn_drive(options: SceneOptions = SCENE) -> list[Told]:
    """Let the shipped model and the device's own choice see a drive that the product draws."""
    scene, engine = Scene(options), Engine(read_model(MODELS / "traffic-signs.tflite"))
    device = Device(SCENE_LOOKS)
    unknown = engine.model.manifest.unknown if engine.model.manifest else None
    if unknown:
        device.know(unknown.threshold)
    told, open_ = [], dict[int, list[tuple[Image, Shot]]]()
    for number in range(options.frames + 1):
        image = scene.render(number)
        seen = {t.track: t.box for t in scene.truth(number) if t.label is not None}
        for track in [t for t in open_ if t not in seen or number == options.frames]:
            views = open_.pop(track)
            day = 0.25 + number / options.frames
            told.append(_ended(device, track, views, day))
        for track, box in seen.items():
            open_.setdefault(track, []).append(_view(engine, image, box))
    return told


def shortened(label: str) -> str:
    """Return as much of a label as fits."""
    return label if len(label) <= CAPTION else f"{label[: CAPTION - 1]}…"


def worth_of(fate: Fate) -> str:
    """Return a sighting's worth, where it was reckoned."""
    return f"worth {fate.worth:.2f}" if fate.why in {"uncertain", "outranked"} else ""


def _view(engine: Engine, image: Image, box: Box) -> tuple[Image, Shot]:
    said = engine.classify(image, Region(box))
    wide = box.widened(0.15, image.shape[1], image.shape[0])
    cut = image[wide.y0 : wide.y1, wide.x0 : wide.x1].copy()
    return cut, Shot(said, region_hash(image, box), sharpness(image, box))


def _ended(device: Device, track: int, views: Sequence[tuple[Image, Shot]], day: float) -> Told:
    fate = device.see(id_of(0, track), [shot for _, shot in views], day)
    cut, shot = views[fate.shot]
    said = shot.prediction.label if shot.prediction.index >= 0 else "none of these"
    return Told(cut, fate, f"{shortened(said)}\n{worth_of(fate)}")


def _figure(width: float, height: float) -> Any:  # noqa: ANN401 - a matplotlib Figure
    figure = module("matplotlib.figure").Figure
    return figure(figsize=(width, height), dpi=100, layout="constrained")
