"""Our time per frame above bare `invoke()`, frames in RAM: resize, scores, hash, track, decide.

    python bench/frame_overhead.py [MODEL [LABELS]]

Goal: <= 60 us and <= 1.04x at MobileNetV2-224.
"""

import itertools
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from agent.clock import SystemClock
from agent.contract.config import parse_config
from agent.device import build_vision
from agent.journal import Journal
from agent.notebook import Notebook
from agent.pipeline import Parts, Pipeline
from agent.spool import Spool
from agent.twin import Twin
from agent.vision.shipped import load_profile
from agent.vision.types import Frame
from bench.common import DATA, machine, of_values, paired, repeated, seconds

SLICES = 60
SLICE_S = 0.08


def main() -> None:
    """Alternate slices of bare invoke and whole steps on the same frames."""
    default = DATA / "models" / "mobilenet_v2_1.0_224_quant.tflite"
    model = sys.argv[1] if len(sys.argv) > 1 else str(default)
    labels = sys.argv[2] if len(sys.argv) > 2 else ""
    if not labels and model == str(default):
        labels = str(DATA / "models" / "imagenet_labels.txt")
    with tempfile.TemporaryDirectory() as folder:
        pipeline, parts = build(Path(folder), model, labels)
        rng = np.random.default_rng(0)
        images = [rng.integers(0, 256, (480, 640, 3), np.uint8) for _ in range(16)]
        numbers = itertools.count()

        def step() -> None:
            n = next(numbers)
            pipeline.step(Frame("front", n, time.time(), images[n % 16]))

        bare_invoke = parts.engine.bare_invoke
        per_slice = max(1, int(SLICE_S / seconds(step)))
        for _ in range(2 * per_slice):
            step()
        ours, bare = [], []
        for _ in range(SLICES):
            bare.append(seconds(repeated(bare_invoke, per_slice)) / per_slice)
            ours.append(seconds(repeated(step, per_slice)) / per_slice)
    above = of_values([(a - b) * 1e6 for a, b in zip(ours, bare, strict=True)])
    print(f"{Path(model).name}: bare invoke {min(bare) * 1e6:.0f} us (best)")
    print(f"us per frame above bare invoke: {above}")
    print(f"step / invoke: {paired(ours, bare)}")
    print(machine(bare))


def build(folder: Path, model: str, labels: str) -> tuple[Pipeline, Parts]:
    """Build the device's own pipeline on a whole-frame camera; nothing is kept."""
    config = parse_config(
        {
            "device": "bench",
            "state_dir": str(folder),
            "camera": [{"name": "front", "uri": "scene://1", "propose": {"kind": "whole-frame"}}],
            "model": {"file": model, "labels": labels},
            "settings": {"threshold": 0.0, "audit_share": 0.0},
            "limits": {"min_threshold": 0.0},
        },
        "bench",
    )
    profile = load_profile(config.profile)
    engine, classifier, lanes = build_vision(config, profile)
    clock = SystemClock()
    notebook = Notebook(folder)
    journal = Journal(Spool(folder / "spool", config.spool), notebook, threading.Event())
    twin = Twin(config, notebook, clock, list)
    parts = Parts(engine, classifier, profile, lanes, journal, twin, config, clock)
    return Pipeline(parts, None), parts


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
