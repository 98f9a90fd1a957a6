"""Labels that a field needs: what the device asks for, against chance and the usual rankings.

    python bench/label_efficiency.py [--seeds 5,6,7,8,9] [--quick] [--json] [--figures DIR]
                                     [--full SEED] [--cache DIR]

A field is drawn for each seed (`bench.labels.stream`): one device, eight days, real GTSRB tracks as
sightings in weather by time of day, a class mix that moves, nine classes that the first model never
saw. The first model is trained on the first set alone; the stream and the test share no track with
it or with each other. Each day an arm has frames labelled by a labeller who errs 7 %, at night the
last layer learns anew on everything labelled. Ours is the device's own code (`agent.decide`,
`agent.worth`, `agent.held`, `agent.bar`, `agent.budget`): it decides as sightings pass, with 50
looks a day, and its audits count as labels; the others get as many labels on each day and may
rank the whole day.

Goals, stated before anything was measured: labels to reach the accuracy that the other arm ends
with, <= 0.8 of random + dedupe and <= 0.5 of plain random; never worse than random after any day
(mean over seeds); met where the worse end of the interval meets it. Arms of chance are the mean of
four draws a seed. Brackets: 95 %, bootstrap over seeds. Anything chosen was chosen on seeds 0 to
4; figures are of 5 to 9. About two minutes a seed the first time, seconds from the cache.
"""

# ruff: noqa: E402 - the path must be right before the packages are looked for
import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if not __package__:
    # Started as a file: its folder would hide the package.
    sys.path[0] = str(ROOT)

from bench.labels import figures as fig
from bench.labels.arms import ARMS, DEDUPE, OURS, RANDOM, Run, World, run_all
from bench.labels.features import Pictures, embedded
from bench.labels.stream import Plan, draw_field, places_of
from bench.signs import GTSRB, run_bench
from cloud.data import DataFolder, read_folder

CACHE = ROOT / "build" / "label-efficiency"
REPORTED = (5, 6, 7, 8, 9)
GOALS = {DEDUPE: 0.8, RANDOM: 0.5}
NO_STOPS = "no standing"
"""The same field where everything stays in sight for thirty frames: what plain random gains."""
Seeds = Sequence[int]


def world_of(folder: DataFolder, plan: Plan, seed: int, cache: Path) -> tuple[World, Pictures]:
    """Draw a field and let the first model see it."""
    drawn = draw_field(places_of(folder.samples), plan, seed)
    pictures = Pictures(folder, drawn, seed)
    seen = embedded(pictures, drawn, plan, seed, cache)
    return World(plan, seed, drawn, seen, len(folder.labels)), pictures


def measure(folder: DataFolder, plan: Plan, seeds: Seeds, cache: Path) -> dict[str, fig.Runs]:
    """Run all arms on all seeds, and those of the goals where nothing stands still."""
    even = replace(plan, stand_share=0.0, stop_frames=0.0)
    found: dict[str, list[dict[str, Run]]] = {"": [], NO_STOPS: []}
    for seed in seeds:
        found[""].append(run_all(world_of(folder, plan, seed, cache)[0], tuple(ARMS)))
        still = world_of(folder, even, seed, cache)[0]
        found[NO_STOPS].append(run_all(still, (OURS, RANDOM, DEDUPE)))
        print(f"seed {seed} done", file=sys.stderr)
    return dict(found)


def goals(runs: fig.Runs) -> dict[str, object]:
    """Return how the goals are met."""
    found: dict[str, object] = {}
    for other, most in GOALS.items():
        ratio, each = fig.label_ratio(runs, OURS, other), fig.seed_ratios(runs, OURS, other)
        found[f"labels / {other}"] = {
            "goal": most, **ratio.as_json(),
            "met": ratio.high <= most,
            "missed_by": fig.plain(max(0.0, ratio.high - most)),
            "median_of_seeds": fig.median_ratio(each).as_json(),
            "of_seeds": [fig.plain(value) for value in each],
        }  # fmt: skip
    for other in GOALS:
        worst = min(fig.leads(runs, OURS, other), key=lambda lead: lead.value)
        found[f"worst round against {other}"] = {
            "goal": 0.0, **worst.as_json(), "met": worst.low >= 0,
            "missed_by": max(0.0, -worst.low),
        }  # fmt: skip
    return found


def table(runs: fig.Runs) -> dict[str, dict[str, object]]:
    """Return each arm's figures and curves."""
    rows: dict[str, dict[str, object]] = {}
    for arm in runs[0]:
        rows[arm] = {
            "labels_to_dedupe": fig.label_ratio(runs, arm, DEDUPE).as_json(),
            "labels_to_random": fig.label_ratio(runs, arm, RANDOM).as_json(),
            "area": fig.area(runs, arm).as_json(),
            "final": fig.final(runs, arm).as_json(),
            "final_of_sightings": fig.final(runs, arm, "of_sightings").as_json(),
            "final_of_new_classes": fig.final(runs, arm, "of_new").as_json(),
            "labels": fig.curves(runs, arm, "labels").tolist(),
            "accuracy": fig.curves(runs, arm).tolist(),
        }
    return rows


def show(found: dict[str, object]) -> None:
    """Print the figures for people, within 80 columns."""
    print(f"seeds {found['seeds']}; labels a seed: {found['labels']}\n")
    for name, key in (("", "arms"), (NO_STOPS, "arms_no_standing")):
        print(f"{name or 'arm':17}{'labels to equal':22}{'area %':15}{'final %':15}new  whole")
        print(f"{'':17}{'dedupe':11}{'random':11}{'':30}classes sighting")
        arms = found[key]
        assert isinstance(arms, dict)
        for arm, row in arms.items():
            print(
                f"{arm:17}{_ratio(row['labels_to_dedupe']):11}{_ratio(row['labels_to_random']):11}"
                f"{_share(row['area']):15}{_share(row['final']):15}"
                f"{row['final_of_new_classes']['value']:5.1%}"
                f"{row['final_of_sightings']['value']:7.1%}"
            )
        print()
    for key in ("goals", "goals_no_standing"):
        print(key.replace("_", ", ", 1).replace("_", " "))
        told = found[key]
        assert isinstance(told, dict)
        for what, goal in told.items():
            print(f"  {what:38}{_figure(goal)}  {'met' if goal['met'] else 'NOT met'}")
    if full := found.get("full"):
        assert isinstance(full, dict)
        print(f"\nwhole network trained, seed {full['seed']}: Kendall tau {full['kendall']:.2f}")
        for arm, both in full["arms"].items():
            print(f"  {arm:17}last layer {both['head']:.1%}  whole network {both['network']:.1%}")


def _ratio(figure: dict[str, float | None]) -> str:
    return f"{figure['value']:.2f}" if figure["value"] is not None else "never"


def _share(figure: dict[str, float]) -> str:
    low, high = f"{100 * figure['low']:.0f}", f"{100 * figure['high']:.0f}"
    return f"{100 * figure['value']:.1f} [{low}, {high}]"


def _figure(figure: dict[str, float | None]) -> str:
    value, low, high = (
        "never" if figure[k] is None else f"{figure[k]:.3f}" for k in ("value", "low", "high")
    )
    return f"{value} [{low}, {high}], goal {figure['goal']}"


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="bench.label_efficiency")
    parser.add_argument("--seeds", default=",".join(map(str, REPORTED)))
    parser.add_argument("--quick", action="store_true", help="the first three seeds only")
    parser.add_argument("--data", type=Path, default=GTSRB)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--figures", type=Path, help="draw curves and contact sheets into a folder")
    parser.add_argument("--full", type=int, metavar="SEED", help="train the whole network too")
    args = parser.parse_args()
    seeds = [int(n) for n in args.seeds.split(",")][: 3 if args.quick else None]
    folder, plan = read_folder(args.data), Plan()
    runs = measure(folder, plan, seeds, args.cache)
    found: dict[str, object] = {
        "seeds": seeds,
        "plan": asdict(plan),
        "labels": [int(of[OURS].labels[-1]) for of in runs[""]],
        "goals": goals(runs[""]),
        "goals_no_standing": goals(runs[NO_STOPS]),
        "arms": table(runs[""]),
        "arms_no_standing": table(runs[NO_STOPS]),
    }
    if args.full is not None:
        found["full"] = full(folder, plan, args.full, args.cache)
    if args.figures:
        draw(runs[""], folder, plan, seeds, args.cache, args.figures)
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        show(found)


def full(folder: DataFolder, plan: Plan, seed: int, cache: Path) -> dict[str, object]:
    """Train the whole network on each arm's labels of one seed."""
    from bench.labels.full import trained  # noqa: PLC0415 - needs the train extra

    world, pictures = world_of(folder, plan, seed, cache)
    runs = run_all(world, tuple(ARMS), repeats=1)
    whole = trained(world, runs, pictures, cache)
    head = {arm: float(of.accuracy[-1]) for arm, of in runs.items()}
    return {
        "seed": seed,
        "kendall": fig.kendall(list(head.values()), list(whole.values())),
        "arms": {arm: {"head": head[arm], "network": whole[arm]} for arm in runs},
    }


def draw(
    runs: fig.Runs, folder: DataFolder, plan: Plan, seeds: Seeds, cache: Path, out: Path
) -> None:
    """Draw the pictures of `docs/choosing.md`, and a contact sheet of the real data."""
    from bench.labels.pictures import save_all  # noqa: PLC0415 - needs the train extra

    world, pictures = world_of(folder, plan, seeds[0], cache)
    save_all(runs, world, pictures, out)


if __name__ == "__main__":
    run_bench(main)
