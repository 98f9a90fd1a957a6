"""Train a classifier without some classes, to see whether it knows what it does not know.

    python -m bench.held_out [--epochs 10] [--out runs/held-out.tflite]

Leaves seven of GTSRB's classes out (look-alikes of others among them: a speed limit, a triangle, a
blue arrow), trains on the others as the shipped model is, and measures with
`bench.unknown_inputs --held-out-model` how well signs of the missing classes are told from known
ones. About ten minutes on two cores.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

from agent.contract.profile import Profile
from agent.vision.shipped import load_profile
from bench.common import DATA
from bench.signs import GTSRB, run_bench
from cloud.train.command import train

HELD_OUT = (3, 9, 14, 18, 27, 35, 40)
"""Class ids: 60 km/h, no passing, stop, general caution, pedestrians, ahead only, roundabout."""


def main() -> None:
    """Train and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("runs/held-out.tflite"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = without(HELD_OUT, GTSRB, Path(place) / "data")
        profile = written(load_profile("traffic-signs"), folder[1], Path(place) / "held-out.toml")
        train(
            str(profile), folder[0], args.out,
            background=DATA / "detection-frames", changes={"epochs": args.epochs},
        )  # fmt: skip
    command = ("-m", "bench.unknown_inputs", "--held-out-model", str(args.out))
    subprocess.run([sys.executable, *command], check=True)


def without(ids: tuple[int, ...], data: Path, root: Path) -> tuple[Path, frozenset[str]]:
    """Write a data folder without some classes; return it and the names that are left."""
    root.mkdir()
    for archive in data.glob("*.zip"):
        (root / archive.name).symlink_to(archive.resolve())
    out = {str(n) for n in ids}
    names = set()
    for name in ("classes.csv", "train.csv"):
        with (data / name).open(newline="") as file:
            reader = csv.DictReader(file)
            rows = [row for row in reader if row["class_id"] not in out]
            header = reader.fieldnames or ()
        names |= {row["name"] for row in rows if "name" in row}
        with (root / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, header)
            writer.writeheader()
            writer.writerows(rows)
    return root, frozenset(names)


def written(task: Profile, labels: frozenset[str], path: Path) -> Path:
    """Write a profile with some of the classes only."""
    bounds = task.augmentation.model_dump()
    lines = ['name = "held-out"', 'title = "Held out"', 'instructions = ""', "[augmentation]"]
    lines += [f"{key} = {value}" for key, value in bounds.items()]
    for item in task.classes:
        if item.label in labels:
            mirror = item.mirror if item.mirror in labels else ""
            lines += ["[[class]]", f'label = "{item.label}"', 'description = ""']
            lines += [f'symmetry = "{item.symmetry}"', f'mirror = "{mirror}"']
    path.write_text("\n".join(lines) + "\n")
    return path


if __name__ == "__main__":
    run_bench(main)
