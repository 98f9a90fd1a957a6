"""Which way of proposing regions finds the signs of real road frames, and at what price?

    python -m bench.proposals [--data DIR] [--all]

Takes the frames that `cloud.scenes` holds back from training (`--all`: every frame, also those
the detector learned from), and the shipped detector. Prints, for each kind of proposal: the share
of marked signs (all labels but `trafficlight`) that a region covers with an overlap of half or
more, regions a frame, and the median time a frame on one core.
"""

import argparse
import statistics
from dataclasses import dataclass
from pathlib import Path

from agent.contract.profile import ProposalKind, ProposeConfig
from agent.vision.engine import Engine, read_model
from agent.vision.propose import make_proposer
from agent.vision.shipped import load_profile, shipped_model
from agent.vision.types import Box, Image
from bench.common import DATA, seconds
from bench.signs import run_bench
from cloud.scenes import pictures, read_scenes, with_splits

KINDS: tuple[ProposalKind, ...] = ("colour", "detector", "detector+colour")
NO_SIGN = "trafficlight"
HIT = 0.5


@dataclass(frozen=True)
class Shown:
    """One frame and the signs in it."""

    image: Image
    signs: tuple[Box, ...]


def main() -> None:
    """Measure each kind."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA / "detection-frames")
    parser.add_argument("--all", action="store_true")
    args = parser.parse_args()
    folder = with_splits(read_scenes(args.data))
    chosen = folder.scenes if args.all else folder.of("val")
    frames = [
        Shown(image, tuple(o.box for o in scene.objects if o.label != NO_SIGN))
        for scene, image in pictures(chosen)
        if not isinstance(image, str)
    ]
    profile = load_profile("traffic-signs")
    detector = Engine(read_model(shipped_model(profile.detector)))
    signs = sum(len(f.signs) for f in frames)
    print(f"{len(frames)} frames, {signs} marked signs; {detector.model.version}")
    for kind in KINDS:
        measure(profile.propose.model_copy(update={"kind": kind}), detector, frames, signs)


def measure(config: ProposeConfig, detector: Engine, frames: list[Shown], signs: int) -> None:
    """Print one kind's figures."""
    proposer = make_proposer(config, detector)
    found = regions = 0
    times = []
    for frame in frames:
        boxes = [region.box for region in proposer.propose(frame.image)]
        found += sum(any(b.overlap(sign) >= HIT for b in boxes) for sign in frame.signs)
        regions += len(boxes)
        image = frame.image
        times.append(seconds(lambda image=image: proposer.propose(image)))  # type: ignore[misc]
    print(
        f"{config.kind:16} found {found / signs:6.1%} ({found}), {regions / len(frames):4.1f}"
        f" regions a frame, {statistics.median(times) * 1e3:4.1f} ms"
    )


if __name__ == "__main__":
    run_bench(main)
