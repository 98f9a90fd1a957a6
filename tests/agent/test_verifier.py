"""Surveillance: a stock detector first, a verifier on its boxes later."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.contract.config import parse_config
from agent.device import build_vision
from agent.vision.engine import Engine
from agent.vision.predict import DetectorClasses
from agent.vision.propose import DetectorModel
from agent.vision.shipped import load_profile

SURVEILLANCE = load_profile("surveillance")


def config_of(model: dict[str, str]) -> dict[str, object]:
    return {
        "device": "cam-1",
        "profile": "surveillance",
        "camera": [{"name": "front", "uri": "scene://1"}],
        "model": model,
    }


@pytest.mark.data
def test_a_stock_detector_alone_says_what_its_boxes_are(data_dir: Path) -> None:
    detector = str(data_dir / "models" / "ssd_mobilenet_v1_coco_quant.tflite")
    config = parse_config(config_of({"file": detector}), "test")
    engine, classifier, lanes = build_vision(config, SURVEILLANCE)
    assert engine.is_detector
    assert isinstance(classifier, DetectorClasses)
    assert isinstance(lanes["front"].proposer, DetectorModel)


@pytest.mark.data
def test_a_verifier_has_the_last_word_on_the_detectors_boxes(data_dir: Path) -> None:
    """Visual Wake Words tells person from no person, whatever the detector thought."""
    models = data_dir / "models"
    detector, verifier = "ssd_mobilenet_v1_coco_quant.tflite", "vww_96_int8.tflite"
    config = parse_config(
        config_of({"detector": str(models / detector), "file": str(models / verifier)}), "test"
    )
    engine, classifier, lanes = build_vision(config, SURVEILLANCE)
    assert isinstance(classifier, Engine)
    assert classifier is engine
    assert Path(engine.model.source).name == verifier
    image = np.asarray(cv2.imread(str(data_dir / "images" / "grace_hopper.png")), np.uint8)
    proposer = lanes["front"].proposer
    assert isinstance(proposer, DetectorModel)
    region, *_ = proposer.propose(image)
    assert region.index is not None
    assert proposer.engine.labels[region.index] == "person"
    # A small network on a tight box: wrong, but it is the one that is asked.
    assert classifier.classify(image, region).label == "non_person"
