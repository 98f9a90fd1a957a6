"""Is what the model never learned told from a sure sign?

    python -m bench.unknown_inputs [MODEL] [--data DIR] [--split val] [--scenes DIR] [--every N]
                                   [--held-out-model FILE] [--json] [--sheet FILE]

Known: each N-th frame of every held-back GTSRB track. Against them, each as the AUROC of several
scores that should be high for the unknown:

- non-signs: in the road scenes that `cloud.scenes.with_splits` keeps from training, what
  `propose_colour` proposes and boxes of sign-like size at random places (seeded), at most 8 of
  each a scene; none touches a marked object. Signs that nobody marked in those scenes are among
  them: the figure errs on the low side.
- foreign signs: those marked `crosswalk` there, which no class of GTSRB is.
- blurred signs: the known ones again, blurred until nobody could read them.
- held-out classes, with `--held-out-model`, a model whose labels lack some classes of the data:
  held-back signs of those classes against those of its own.

Goal: AUROC >= 0.95 on non-signs and on held-out classes. Intervals: 95 %, bootstrap over tracks
and scenes. `--sheet` draws some of the non-signs, and measures nothing.
"""

import argparse
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from agent.contract.errors import BadContentError
from agent.contract.messages import NONE_OF_THESE
from agent.vision.colour import propose_colour
from agent.vision.engine import Engine, read_model
from agent.vision.types import Box, Image, Region
from bench.common import DATA
from bench.signs import DEVELOPMENT, GTSRB, Picture, Signs, area, read_signs, run_bench, share
from cloud.data import VAL, decode, read_folder
from cloud.evaluate import answer
from cloud.measures import Interval, auroc, bootstrap
from cloud.outcomes import ASKED_BY, NONE, Outcome, Outcomes, outcome
from cloud.scenes import Scene, pictures, read_scenes, with_splits

SCENES = DATA / "detection-frames"
FOREIGN = "crosswalk"
MIN_SIDE = 16
"""Smallest side of a box in a scene, pixels; the device's own default."""
MAX_SHARE = 0.35
"""Largest side of a random box, as a share of the scene's smaller side."""
MOST_A_SCENE = 8
"""Boxes of either kind in one scene."""
UNREADABLE = 0.18
"""Sigma of the heavy blur, as a share of the sign's size."""
SCORES = ("1 - margin", "1 - probability", "energy", "none")
RESAMPLES = 500


@dataclass(frozen=True, slots=True)
class Told:
    """How well a score tells one kind of unknown from the known."""

    score: str
    auroc: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Figures of one kind of unknown input."""

    kind: str
    n: int
    known: int
    told: tuple[Told, ...]
    answered_none: float
    """Share answered "none of these"."""
    above_threshold: float | None
    """Share whose energy is above the manifest's threshold; None: it has none."""
    known_above: float | None
    """The same of the known: false alarms."""


def non_signs(image: Image, scene: Scene) -> dict[str, list[Box]]:
    """Return boxes that touch no marked object: proposed by colour, and at random places."""
    marked = [m.box for m in scene.objects]
    regions = propose_colour(image, MIN_SIDE, 4 * MOST_A_SCENE)
    return {
        way: list(
            islice((b for b in boxes if not any(touches(b, m) for m in marked)), MOST_A_SCENE)
        )
        for way, boxes in (
            ("by colour", (r.box for r in regions)),
            ("at random", random_boxes(image, scene.name)),
        )
    }


def random_boxes(image: Image, name: str) -> Iterator[Box]:
    """Yield boxes of sign-like size and shape, always the same ones for a name."""
    height, width = image.shape[:2]
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    rng = np.random.default_rng(seed)
    largest = max(MIN_SIDE + 1.0, MAX_SHARE * min(width, height))
    for _ in range(20 * MOST_A_SCENE):
        side = math.exp(rng.uniform(math.log(MIN_SIDE), math.log(largest)))
        w, h = round(side * rng.uniform(0.85, 1.15)), round(side)
        x, y = int(rng.integers(0, max(1, width - w))), int(rng.integers(0, max(1, height - h)))
        yield Box(x, y, min(width, x + w), min(height, y + h))


def touches(box: Box, marked: Box) -> bool:
    """Tell whether a box, with the margin that the device adds, reaches a marked one."""
    dx, dy = 0.15 * box.width, 0.15 * box.height
    return (
        box.x0 - dx < marked.x1
        and marked.x0 < box.x1 + dx
        and box.y0 - dy < marked.y1
        and marked.y0 < box.y1 + dy
    )


def unreadable(picture: Picture) -> Picture:
    """Return a sign blurred until nobody could read it."""
    sample, image = picture
    sigma = UNREADABLE * math.sqrt(sample.box(image).area)
    return sample, np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def compared(kind: str, known: Outcomes, unknown: Outcomes, engine: Engine) -> Unknown:
    """Return how well each score tells the unknown from the known."""
    both = Outcomes.of([*known.each, *unknown.each])
    strange = np.arange(len(both.each)) >= len(known.each)
    told = []
    for score in SCORES:
        if score == "none" and not knows_none(engine):
            told.append(Told(score, None, None))
            continue
        values = both.strangeness(score)
        interval = bootstrap(
            both.groups,
            lambda drawn, v=values: auroc(v[drawn], strange[drawn]),  # type: ignore[misc]
            resamples=RESAMPLES,
        )
        told.append(Told(score, auroc(values, strange), interval))
    limit = threshold(engine)
    return Unknown(
        kind,
        len(unknown.each),
        len(known.each),
        tuple(told),
        unknown.none_rate,
        None if limit is None else float((unknown.column("energy") > limit).mean()),
        None if limit is None else float((known.column("energy") > limit).mean()),
    )


def knows_none(engine: Engine) -> bool:
    """Tell whether the model has an output for "none of these"."""
    return engine.model.labels[-1] == NONE_OF_THESE


def threshold(engine: Engine) -> float | None:
    """Return the manifest's energy limit; None where it has none."""
    manifest = engine.model.manifest
    return manifest.unknown.threshold if manifest and manifest.unknown else None


def held_scenes(scenes: Path) -> Iterator[tuple[Scene, Image]]:
    """Yield the scenes that no training sees."""
    for scene, image in pictures(with_splits(read_scenes(scenes)).of(VAL)):
        if not isinstance(image, str):
            yield scene, image


def in_scenes(engine: Engine, scenes: Path) -> dict[str, list[Outcome]]:
    """Return the answers to what is no sign of ours in held-back scenes, by kind."""
    found: dict[str, list[Outcome]] = {}
    for scene, image in held_scenes(scenes):
        foreign = [m.box for m in scene.objects if m.label == FOREIGN]
        kinds = {f"non-signs {way}": boxes for way, boxes in non_signs(image, scene).items()}
        for kind, boxes in (kinds | {f"foreign signs ({FOREIGN})": foreign}).items():
            found.setdefault(kind, []).extend(
                outcome(engine.classify(image, Region(box)), NONE, scene.name) for box in boxes
            )
    for kind, answers in found.items():
        if not answers:
            raise BadContentError(f"{scenes}: no {kind} in its held-back scenes; is it whole?")
    return found


def held_out(model: Path, data: Path, split: str, every: int) -> Unknown:
    """Compare signs of classes that a model's labels lack with those of its own.

    Raises:
        BadContentError: its labels are not a part of the data's classes.
    """
    engine = Engine(read_model(model))
    folder = read_folder(data)
    if not set(engine.labels) < set(folder.labels):
        raise BadContentError(
            f"{model}: {len(engine.labels)} labels; need some but not all of the"
            f" {len(folder.labels)} classes of {data}"
        )
    columns = tuple(
        engine.labels.index(label) if label in engine.labels else NONE for label in folder.labels
    )
    read = tuple((s, i) for s, i in decode(folder, folder.of(split)) if not isinstance(i, str))
    signs = Signs(engine, folder.labels, columns, read)
    answers = [answer(engine, s, i, columns) for s, i in signs.every(every)]
    known, unknown = ([o for o in answers if (o.truth == NONE) == lacks] for lacks in (False, True))
    absent = sum(c == NONE for c in columns)
    kind = f"{absent} held-out classes, {model.name}"
    return compared(kind, Outcomes.of(known), Outcomes.of(unknown), engine)


def measure(signs: Signs, args: argparse.Namespace) -> list[Unknown]:
    """Return the figures of every kind of unknown input."""
    chosen = signs.every(args.every)
    engine, columns = signs.engine, signs.columns
    known = Outcomes.of([answer(engine, s, i, columns) for s, i in chosen])
    blurred = Outcomes.of([answer(engine, s, i, columns) for s, i in map(unreadable, chosen)])
    strange = in_scenes(engine, args.scenes)
    nothing = [a for kind, answers in strange.items() if "non-signs" in kind for a in answers]
    found = [
        compared(kind, known, Outcomes.of(answers), engine)
        for kind, answers in {"non-signs, all": nothing, **strange}.items()
    ]
    found.append(compared("blurred signs", known, blurred, engine))
    if args.held_out_model:
        found.append(held_out(args.held_out_model, args.data, args.split, args.every))
    return found


def show(signs: Signs, found: list[Unknown]) -> None:
    """Print the figures for people."""
    limit = threshold(signs.engine)
    none = "with" if knows_none(signs.engine) else "without"
    print(f"{signs.name}, {len(signs.engine.labels)} classes, {none} an output for none of these")
    print(f"the device asks by {ASKED_BY}; " + (
        "no energy threshold in the manifest" if limit is None
        else f"the manifest calls an energy above {limit:.3f} unknown"
    ))  # fmt: skip
    print("goal: AUROC >= 0.95 on non-signs and on held-out classes")
    for kind in found:
        print(f"\n{kind.kind}: {kind.n:,} against {kind.known:,} known signs")
        for told in kind.told:
            mark = "  <- the device's" if told.score == ASKED_BY else ""
            print(f"  {told.score:18}AUROC {area(told.auroc, told.interval)}{mark}")
        print(f"  answered none of these: {share(kind.answered_none)}", end="")
        if kind.above_threshold is not None:
            print(
                f"; above the threshold: {share(kind.above_threshold)},"
                f" of the known {share(kind.known_above)}",
                end="",
            )
        print()


def sheet(scenes: Path) -> Image:
    """Draw non-signs, 20 in a row."""
    cuts = [
        cv2.resize(image[box.y0 : box.y1, box.x0 : box.x1], (60, 60))
        for scene, image in held_scenes(scenes)
        for boxes in non_signs(image, scene).values()
        for box in boxes
    ]
    rows = [np.hstack(cuts[n : n + 20]) for n in range(0, len(cuts) - 19, 20)]
    return np.asarray(np.vstack(rows), np.uint8)


def main() -> None:
    """Measure, or draw the sheet."""
    parser = argparse.ArgumentParser(prog="bench.unknown_inputs")
    parser.add_argument("model", nargs="?", type=Path, default=DEVELOPMENT)
    parser.add_argument("--data", type=Path, default=GTSRB)
    parser.add_argument("--split", default="val")
    parser.add_argument("--scenes", type=Path, default=SCENES)
    parser.add_argument("--every", type=int, default=5, help="frames of a track")
    parser.add_argument("--held-out-model", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sheet", type=Path, help="draw non-signs into this PNG")
    args = parser.parse_args()
    if args.sheet:
        if not cv2.imwrite(str(args.sheet), sheet(args.scenes)):
            raise BadContentError(f"{args.sheet}: cannot be written as a picture; name a .png")
        return
    signs = read_signs(args.model, args.data, args.split)
    found = measure(signs, args)
    if args.json:
        print(json.dumps([asdict(kind) for kind in found], indent=2))
    else:
        show(signs, found)


if __name__ == "__main__":
    run_bench(main)
