"""Models of somebody else in a device's own file."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.contract.config import parse_config
from agent.device import build_vision
from agent.vision.shipped import load_profile
from agent.vision.types import Region, whole

SOMEBODY = 300
"""A frame of the clip with a person in it."""
PROFILE = """\
name = "presence"
title = "Is somebody there?"
instructions = "Say whether a person is in the picture."
[propose]
kind = "whole-frame"
[[class]]
label = "nobody"
description = "No person at all."
[[class]]
label = "somebody"
description = "At least one person."
"""


@pytest.mark.data
def test_a_stock_classifier_runs_with_a_profile_and_a_label_file(
    tmp_path: Path, data_dir: Path
) -> None:
    (tmp_path / "presence.toml").write_text(PROFILE)
    (tmp_path / "labels.txt").write_text("nobody\nsomebody\n")
    config = parse_config(
        {
            "device": "door-1",
            "profile": str(tmp_path / "presence.toml"),
            "camera": [{"name": "hall", "uri": f"file://{tmp_path}/clip.mp4"}],
            "model": {
                "file": str(data_dir / "models" / "vww_96_int8.tflite"),
                "labels": str(tmp_path / "labels.txt"),
            },
        },
        "device.toml",
    )
    profile = load_profile(config.profile)
    engine, classifier, lanes = build_vision(config, profile)
    assert classifier is engine
    clip = cv2.VideoCapture(str(data_dir / "video" / "one-by-one-person-detection.mp4"))
    for _ in range(SOMEBODY + 1):
        clip.grab()
    image = np.asarray(clip.retrieve()[1], np.uint8)
    (region,) = lanes["hall"].proposer.propose(image)
    assert region == Region(whole(image))
    prediction = classifier.classify(image, region)
    assert prediction.label == "somebody"
    assert prediction.label in profile.labels
    assert prediction.score > 0.9
