"""Detector and tracker on real clips, against counts made by eye."""

import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.contract.profile import Profile, parse_profile
from agent.vision.engine import Engine, read_model
from agent.vision.predict import DetectorClasses
from agent.vision.propose import make_proposer
from agent.vision.tracker import Sighting, detector_tracker
from agent.vision.types import Frame

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[3]
COUNTS = json.loads((ROOT / "tests/data/clip_counts.json").read_text())["clips"]
TOLERANCE = 0.2


@dataclass
class Seen:
    sightings: list[Sighting] = field(default_factory=list)
    unsure: int = 0


def profile() -> Profile:
    path = ROOT / "agent/profiles/surveillance.toml"
    return parse_profile(tomllib.loads(path.read_text()), path.name)


def frames(path: Path, stride: int) -> Iterator[Frame]:
    clip = cv2.VideoCapture(str(path))
    fps, number = clip.get(cv2.CAP_PROP_FPS), 0
    while clip.grab():
        if number % stride == 0:
            _, image = clip.retrieve()
            yield Frame("clip", number, 1.7e9 + number / fps, np.asarray(image, np.uint8))
        number += 1


def watch(data_dir: Path, name: str, stride: int) -> Seen:
    task = profile()
    engine = Engine(read_model(data_dir / "models/ssd_mobilenet_v1_coco_quant.tflite"))
    proposer = make_proposer(task.propose, engine)
    classifier = DetectorClasses(engine.labels, task)
    tracker = detector_tracker(random.Random(1).randbytes, 2)
    seen = Seen()
    for frame in frames(data_dir / "video" / name, stride):
        regions = proposer.propose(frame.image)
        predictions = [classifier.classify(frame.image, region) for region in regions]
        seen.unsure += sum(p.margin < 0.5 for p in predictions)
        seen.sightings += tracker.update(frame, predictions).closed
    seen.sightings += tracker.flush()
    return seen


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "stride"),
    [
        pytest.param("one-by-one-person-detection.mp4", 2, marks=pytest.mark.slow),
        ("store-aisle-detection-preview.mp4", 1),
        ("store-aisle-detection-preview.mp4", 3),
        ("dashcam-solidWhiteRight.mp4", 1),
        ("dashcam-solidWhiteRight.mp4", 3),
    ],
)
def test_sightings_match_the_hand_count(data_dir: Path, name: str, stride: int) -> None:
    count = COUNTS[name]["count"]
    sightings = watch(data_dir, name, stride).sightings
    assert abs(len(sightings) - count) <= TOLERANCE * count, sightings
    wanted = "car" if name.startswith("dashcam") else "person"
    assert {s.label for s in sightings} == {wanted}


@pytest.mark.data
def test_an_unknown_domain_gives_looks_and_no_sightings(data_dir: Path) -> None:
    seen = watch(data_dir, "car-detection.mp4", 3)
    assert len(seen.sightings) == COUNTS["car-detection.mp4"]["count"]
    assert seen.unsure >= 20
