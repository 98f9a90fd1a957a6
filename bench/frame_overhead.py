"""Our time per frame above bare `invoke()`, frames in RAM: resize, scores, hash, track, decide.

    python -m bench.frame_overhead [MODEL ...]

Without a model: MobileNetV2-224 and the shipped traffic-sign model (48 pixels).
Goal: <= 60 us, and <= 1.04x at MobileNetV2-224.
"""

import itertools
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from agent.camera.mailbox import DEPTH
from agent.vision.shipped import shipped_model
from agent.vision.types import Frame
from bench.common import machine, of_values, paired, repeated, seconds
from bench.line import CAMERA, MOBILENET, Line, device_config, line

SLICES = 60
SLICE_S = 0.08
FRAMES = DEPTH + 2
"""As many as circulate between decoder, mailbox and step."""


def main() -> None:
    """Measure each model."""
    for model in sys.argv[1:] or (str(MOBILENET), str(shipped_model("traffic-signs.tflite"))):
        with tempfile.TemporaryDirectory() as folder:
            # All predictions are sure, as nearly all of a working camera's are.
            sure = {"settings": {"threshold": 0.0, "audit_share": 0.0}}
            limits = {"limits": {"min_threshold": 0.0}}
            document = device_config(Path(folder), model, "scene://1", **sure, **limits)
            with line(document) as built:
                measure(Path(model).name, built)


def measure(name: str, built: Line) -> None:
    """Alternate slices of bare invoke and whole steps on the same frames."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (480, 640, 3), np.uint8) for _ in range(FRAMES)]
    numbers = itertools.count()

    def step() -> None:
        n = next(numbers)
        built.pipeline.step(Frame(CAMERA, n, time.time(), images[n % FRAMES]))

    bare_invoke = built.parts.engine.bare_invoke
    per_slice = max(1, int(SLICE_S / min(seconds(step) for _ in range(FRAMES))))
    ours, bare = [], []
    for _ in range(SLICES):
        bare.append(seconds(repeated(bare_invoke, per_slice)) / per_slice)
        ours.append(seconds(repeated(step, per_slice)) / per_slice)
    above = of_values([(a - b) * 1e6 for a, b in zip(ours, bare, strict=True)])
    print(f"{name}: bare invoke {min(bare) * 1e6:.0f} us (best), step {min(ours) * 1e6:.0f} us")
    print(f"us per frame above bare invoke: {above}; best slices {_best(ours, bare):.0f}")
    print(f"step / invoke: {paired(ours, bare)}")
    print(machine(bare))


def _best(ours: list[float], bare: list[float]) -> float:
    return (min(ours) - min(bare)) * 1e6


if __name__ == "__main__":
    main()
