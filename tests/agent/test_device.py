"""Which models a device loads, and what the shipped two make of real frames."""

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from agent.contract.config import DeviceConfig, parse_config
from agent.contract.errors import BadContentError
from agent.device import build_vision
from agent.vision.propose import DetectorModel
from agent.vision.shipped import load_profile, shipped_model
from cloud.scenes import read_picture, read_scenes, with_splits

DETECTOR = {"kind": "detector", "min_score": 0.3}


def config(
    model: dict[str, Any] | None = None, propose: dict[str, Any] | None = None
) -> DeviceConfig:
    camera = {"name": "front", "uri": "scene://1", "propose": propose or DETECTOR}
    document = {"device": "cam-1", "state_dir": "/s", "camera": [camera], "model": model or {}}
    return parse_config(document, "test")


def test_the_profiles_detector_proposes_where_no_other_is_named() -> None:
    profile = load_profile("traffic-signs")
    engine, classifier, lanes = build_vision(config(), profile)
    assert classifier is engine
    assert engine.labels == profile.labels
    proposer = lanes["front"].proposer
    assert isinstance(proposer, DetectorModel)
    assert proposer.engine is not engine
    assert proposer.engine.labels == ("sign",)


def test_the_configs_detector_comes_first(data_dir: Path) -> None:
    stock = str(data_dir / "models" / "ssd_mobilenet_v1_coco_quant.tflite")
    profile = load_profile("traffic-signs")
    _, _, lanes = build_vision(config({"detector": stock}), profile)
    proposer = lanes["front"].proposer
    assert isinstance(proposer, DetectorModel)
    assert "stopsign" in proposer.engine.labels
    # A detection model in the classifier's place proposes itself.
    engine, _, lanes = build_vision(config({"file": stock}), load_profile("surveillance"))
    proposer = lanes["front"].proposer
    assert isinstance(proposer, DetectorModel)
    assert proposer.engine is engine


@pytest.mark.parametrize(
    ("file", "label"), [("sign-detector.tflite", "sign"), ("crops.tflite", "Apple scab")]
)
def test_a_model_of_another_task_is_refused_at_once(file: str, label: str) -> None:
    path = shipped_model(file)
    said = rf"{file}: label '{label}\b.*' is no class of profile 'traffic-signs'; set profile"
    with pytest.raises(BadContentError, match=said):
        build_vision(config({"file": str(path)}), load_profile("traffic-signs"))


def test_other_labels_of_a_model_with_a_manifest_are_refused() -> None:
    profile = load_profile("traffic-signs")
    fewer = profile.model_copy(update={"classes": profile.classes[1:]})
    with pytest.raises(BadContentError, match=f"label '{re.escape(profile.labels[0])}' is no"):
        build_vision(config(), fewer)


@pytest.mark.parametrize("kind", ["detector+colour", "whole-frame", "motion"])
def test_a_detector_classifies_only_what_it_found(data_dir: Path, kind: str) -> None:
    stock = str(data_dir / "models" / "ssd_mobilenet_v1_coco_quant.tflite")
    with pytest.raises(BadContentError, match=f"camera 'front': .* kind '{re.escape(kind)}'; set"):
        build_vision(config({"file": stock}, {"kind": kind}), load_profile("surveillance"))


def test_a_profile_without_a_detector_says_what_is_missing() -> None:
    profile = load_profile("traffic-signs").model_copy(update={"detector": ""})
    with pytest.raises(BadContentError, match="cannot propose regions"):
        build_vision(config(), profile)


def test_real_stop_signs_are_found_and_read(data_dir: Path) -> None:
    """Held-back frames, which neither of the two models has seen."""
    held = with_splits(read_scenes(data_dir / "detection-frames")).of("val")
    _, classifier, lanes = build_vision(config(), load_profile("traffic-signs"))
    read, total = 0, 0
    for scene in held:
        signs = [o.box for o in scene.objects if o.label == "stop"]
        if not signs:
            continue
        image = read_picture(scene)
        total += len(signs)
        found = [
            region
            for region in lanes["front"].proposer.propose(image)
            if classifier.classify(image, region).label == "Stop"
        ]
        read += sum(any(r.box.overlap(box) >= 0.5 for r in found) for box in signs)
    assert total == 13
    assert read >= 8


def test_a_frame_of_one_colour_has_no_signs() -> None:
    _, _, lanes = build_vision(config(), load_profile("traffic-signs"))
    grey = np.full((720, 1280, 3), 120, np.uint8)
    assert lanes["front"].proposer.propose(grey) == ()
    sky = np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_OCEAN), np.uint8)
    assert lanes["front"].proposer.propose(sky) == ()


def test_the_shipped_detector_is_small() -> None:
    assert shipped_model(load_profile("traffic-signs").detector).stat().st_size <= 1_000_000
