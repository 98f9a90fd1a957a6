"""A detector's own class as the prediction, and detectors as proposers."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.contract.errors import BadContentError
from agent.contract.profile import Profile, ProposeConfig
from agent.vision.engine import Engine, read_model
from agent.vision.predict import prediction_from_detection
from agent.vision.propose import make_proposer
from agent.vision.types import Box, Detection, Region

LABELS = ("person", "automobile", "kite")
PROFILE = Profile.model_validate({
    "name": "yard",
    "title": "Yard",
    "instructions": "",
    "class": [
        {"label": "car", "description": "", "aliases": ["automobile"]},
        {"label": "person", "description": ""},
    ],
})  # fmt: skip


@pytest.mark.parametrize(
    ("index", "ours", "label", "scores"),
    [(0, 1, "person", [0.0, 0.7]), (1, 0, "car", [0.7, 0.0]), (2, -1, "", [0.0, 0.0])],
)
def test_labels_and_aliases_become_the_profiles_classes(
    index: int, ours: int, label: str, scores: list[float]
) -> None:
    found = Detection(Box(0, 0, 20, 20), index, 0.7)
    prediction = prediction_from_detection(found, LABELS, PROFILE)
    assert (prediction.index, prediction.label) == (ours, label)
    assert prediction.scores.tolist() == pytest.approx(scores)
    assert prediction.score == prediction.margin == 0.7
    assert prediction.region.index == index


def test_regions_of_no_detector_are_refused() -> None:
    with pytest.raises(BadContentError, match="detector"):
        prediction_from_detection(Region(Box(0, 0, 9, 9)), LABELS, PROFILE)


@pytest.mark.data
def test_a_detector_proposes_within_its_limits(data_dir: Path) -> None:
    engine = Engine(read_model(data_dir / "models/ssd_mobilenet_v1_coco_quant.tflite"))
    image = np.asarray(cv2.imread(str(data_dir / "images/grace_hopper.png")), np.uint8)
    config = ProposeConfig(kind="detector", min_score=0.3)
    regions = make_proposer(config, engine).propose(image)
    assert [r.score for r in regions] == sorted((r.score for r in regions), reverse=True)
    assert regions[0].index == engine.labels.index("person")
    few = config.model_copy(update={"max_regions": 1})
    assert make_proposer(few, engine).propose(image) == regions[:1]
    large = config.model_copy(update={"min_size": 200})
    kept = make_proposer(large, engine).propose(image)
    assert 0 < len(kept) < len(regions)
    assert all(min(r.box.width, r.box.height) >= 200 for r in kept)


@pytest.mark.data
def test_a_classifier_is_no_detector(data_dir: Path) -> None:
    engine = Engine(read_model(data_dir / "models/vww_96_int8.tflite"))
    with pytest.raises(BadContentError, match=r"vww_96_int8.*no detection model"):
        make_proposer(ProposeConfig(kind="detector"), engine)
