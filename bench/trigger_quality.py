"""Does the device know when to ask: are its errors among the regions that it is least sure of?

    python -m bench.trigger_quality [MODEL] [--data DIR] [--split val] [--every N] [--json]
                                    [--sheet FILE]

Held-back GTSRB signs, all of them clean, each N-th frame of every track spoilt by each of the 40
cells of `cloud.corrupt` (8 kinds, 5 severities, seed 1). The figures of a kind are those of its
five severities pooled. Intervals: 95 %, bootstrap over tracks.
`--sheet` draws what the corruptions look like on two signs, and measures nothing.

Goals: ECE <= 1 % clean and <= 3 % spoilt (the mean over the 40 cells); by the device's calibrated
margin an AUROC of error >= 0.97, and >= 80 % of the errors among the 5 % least sure, clean. Where
more than 5 % are wrong, not all errors can be among 5 %: "of ideal" divides what is caught by
what a perfect ranking would catch, min(1, 5 % / error rate).
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from agent.contract.errors import BadContentError
from agent.vision.types import Image
from bench.signs import DEVELOPMENT, GTSRB, Picture, Signs, area, read_signs, run_bench, share
from cloud.corrupt import KINDS, SEVERITIES, Kind, corrupt, rng_of
from cloud.evaluate import CORRUPTION_SEED, Corruption, answer
from cloud.measures import Interval, auroc, best_share, bootstrap, share_caught
from cloud.outcomes import ASKED_BY, ASKED_SHARE, SIGNALS, Outcomes

RESAMPLES = 500
SHEET_SIDE = 120
SHEET_SIGNS = ((70, 130), (26, 34))
"""Widths of a large and a small sign's picture, pixels."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well one signal ranks errors."""

    signal: str
    auroc: float | None
    auroc_interval: Interval | None
    caught: float | None
    """Share of the errors among the 5 % least sure."""
    caught_interval: Interval | None
    of_ideal: float | None
    """The same / what a perfect ranking would catch."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured on one set of pictures."""

    name: str
    n: int
    errors: int
    accuracy: float
    accuracy_interval: Interval
    ece: float
    nll: float
    rankings: tuple[Ranking, ...]


def classified(signs: Signs, pictures: tuple[Picture, ...], how: Corruption | None) -> Outcomes:
    """Return the model's answers to pictures, spoilt first where `how` says so."""
    return Outcomes.of([answer(signs.engine, s, i, signs.columns, how) for s, i in pictures])


def ranking(outcomes: Outcomes, signal: str) -> Ranking:
    """Return how well a signal ranks the errors, with intervals over tracks."""
    doubt, wrong, groups = outcomes.doubt(signal), outcomes.wrong, outcomes.groups
    caught = share_caught(doubt, wrong, ASKED_SHARE)
    return Ranking(
        signal,
        auroc(doubt, wrong),
        bootstrap(groups, lambda drawn: auroc(doubt[drawn], wrong[drawn]), resamples=RESAMPLES),
        caught,
        bootstrap(
            groups,
            lambda drawn: share_caught(doubt[drawn], wrong[drawn], ASKED_SHARE),
            resamples=RESAMPLES,
        ),
        None if caught is None else caught / best_share(float(wrong.mean()), ASKED_SHARE),
    )


def figures(name: str, outcomes: Outcomes, signals: tuple[str, ...]) -> Figures:
    """Return all figures of one set."""
    return Figures(
        name,
        len(outcomes.each),
        outcomes.errors,
        outcomes.accuracy,
        outcomes.accuracy_interval(),
        outcomes.ece,
        outcomes.nll,
        tuple(ranking(outcomes, signal) for signal in signals),
    )


def measure(signs: Signs, every: int) -> dict[str, object]:
    """Return the figures of the clean set, of each kind, of each cell and of the whole suite."""
    chosen = signs.every(every)
    cells: dict[tuple[Kind, int], Outcomes] = {
        (kind, severity): classified(signs, chosen, (kind, severity))
        for kind in KINDS
        for severity in SEVERITIES
    }
    own = (ASKED_BY,)
    by_kind = {k: pooled([cells[k, severity] for severity in SEVERITIES]) for k in KINDS}
    return {
        "clean": figures("clean", classified(signs, signs.pictures, None), SIGNALS),
        "kinds": [figures(kind, outcomes, own) for kind, outcomes in by_kind.items()],
        "cells": {
            f"{k}:{s}": {"accuracy": o.accuracy, "ece": o.ece, "nll": o.nll}
            for (k, s), o in cells.items()
        },
        "suite": figures("all 40 cells", pooled(list(cells.values())), SIGNALS),
        "suite_mean_accuracy": float(np.mean([o.accuracy for o in cells.values()])),
        "suite_mean_ece": float(np.mean([o.ece for o in cells.values()])),
        "pictures_a_cell": len(chosen),
        "every": every,
    }


def pooled(parts: list[Outcomes]) -> Outcomes:
    """Return the outcomes of several sets as those of one."""
    return Outcomes.of([outcome for part in parts for outcome in part.each])


def sheet(signs: Signs) -> Image:
    """Draw two signs, each as it is and spoilt by every kind (down) and severity (across)."""
    columns = []
    for low, high in SHEET_SIGNS:
        sample, image = next(
            (s, i)
            for s, i in signs.pictures
            if low <= i.shape[1] <= high and 85 < i.mean() < 150 and i.std() > 45
        )
        box, rows = sample.box(image), []
        for kind in KINDS:
            spoilt = [
                corrupt(image, box, kind, n, rng_of(CORRUPTION_SEED, sample.path, kind, n))
                for n in SEVERITIES
            ]
            side = (SHEET_SIDE, SHEET_SIDE)
            rows.append(
                np.hstack(
                    [cv2.resize(i, side, interpolation=cv2.INTER_NEAREST) for i in (image, *spoilt)]
                )
            )
        columns.append(np.vstack(rows))
    return np.asarray(np.hstack(columns), np.uint8)


def show_rankings(found: Figures) -> None:
    """Print how well each signal ranks the errors of one set."""
    print(f"  {'signal':18}{'AUROC of error':26}{'errors caught at 5 %':28}of ideal")
    for r in found.rankings:
        mark = "  <- the device's" if r.signal == ASKED_BY else ""
        print(
            f"  {r.signal:18}{area(r.auroc, r.auroc_interval):26}"
            f"{share(r.caught, r.caught_interval):28}{share(r.of_ideal)}{mark}"
        )


def show(signs: Signs, found: dict[str, object]) -> None:
    """Print the figures for people."""
    clean, suite, kinds, cells = (found[k] for k in ("clean", "suite", "kinds", "cells"))
    assert isinstance(clean, Figures)
    assert isinstance(suite, Figures)
    assert isinstance(kinds, list)
    assert isinstance(cells, dict)
    print(f"{signs.name}, {len(signs.engine.labels)} classes")
    print(
        f"clean: {clean.n:,} held-back signs; spoilt: {found['pictures_a_cell']:,} of them (one"
        f" frame in {found['every']} of every track) x 40 cells\n"
    )
    print(
        f"clean    accuracy {clean.accuracy:.2%} [{clean.accuracy_interval.low:.2%},"
        f" {clean.accuracy_interval.high:.2%}], {clean.errors} errors, ECE {clean.ece:.2%}"
        f" (goal <= 1 %), NLL {clean.nll:.4f}"
    )
    show_rankings(clean)
    print("  goals, by the device's signal: AUROC >= 0.97, caught >= 80 %\n")
    print(
        f"{'spoilt by':16}{'accuracy at severity 1 .. 5':34}{'all':>6}{'ECE':>7}{'NLL':>8}"
        f"{'AUROC':>8}  {'caught at 5 %':25}of ideal"
    )
    for kind in kinds:
        steps = "".join(f"{cells[f'{kind.name}:{s}']['accuracy']:6.1%} " for s in SEVERITIES)
        own = kind.rankings[0]
        print(
            f"{kind.name:16}{steps:34}{kind.accuracy:6.1%}{kind.ece:7.2%}{kind.nll:8.4f}"
            f"{area(own.auroc):>8}  {share(own.caught, own.caught_interval):25}"
            f"{share(own.of_ideal)}"
        )
    print(
        f"\nall 40   accuracy {suite.accuracy:.2%} [{suite.accuracy_interval.low:.2%},"
        f" {suite.accuracy_interval.high:.2%}], ECE {found['suite_mean_ece']:.2%} mean of the"
        f" cells (goal <= 3 %), {suite.ece:.2%} pooled, NLL {suite.nll:.4f}"
    )
    show_rankings(suite)
    print(
        f"  {suite.errors / suite.n:.1%} are wrong: of those at most"
        f" {best_share(suite.errors / suite.n, ASKED_SHARE):.1%} fit in 5 %"
    )


def main() -> None:
    """Measure, or draw the sheet."""
    parser = argparse.ArgumentParser(prog="bench.trigger_quality")
    parser.add_argument("model", nargs="?", type=Path, default=DEVELOPMENT)
    parser.add_argument("--data", type=Path, default=GTSRB)
    parser.add_argument("--split", default="val")
    parser.add_argument("--every", type=int, default=5, help="frames of a track, when spoilt")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sheet", type=Path, help="draw the corruptions into this PNG")
    args = parser.parse_args()
    signs = read_signs(args.model, args.data, args.split)
    if args.sheet:
        if not cv2.imwrite(str(args.sheet), sheet(signs)):
            raise BadContentError(f"{args.sheet}: cannot be written as a picture; name a .png")
        return
    found = measure(signs, args.every)
    if args.json:
        print(json.dumps(found, indent=2, default=asdict))
    else:
        show(signs, found)


if __name__ == "__main__":
    run_bench(main)
