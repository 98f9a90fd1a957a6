"""Figures of detectors: by hand on small cases, and on real frames with a stock model."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from agent.contract.errors import BadContentError
from agent.vision.types import Box, Detection
from cloud.calibration import fit_platt
from cloud.cli import app
from cloud.detection_figures import (
    FrameResult,
    Matched,
    ap_interval,
    average_precision,
    match,
    threshold_at,
)
from cloud.evaluate_detector import Part, detector_json, detector_lines, evaluate_detector
from cloud.scenes import read_scenes

HERE = Box(10, 10, 30, 30)
THERE = Box(60, 60, 80, 80)
NOWHERE = Box(40, 0, 55, 15)
SSD = "ssd_mobilenet_v1_coco_quant.tflite"


def frame(
    *detections: tuple[float, Box],
    objects: tuple[Box, ...] = (),
    ignored: tuple[Box, ...] = (),
) -> FrameResult:
    found = tuple(Detection(box, 0, score) for score, box in detections)
    return FrameResult(found, objects, ignored)


def test_each_object_is_hit_once_by_the_best_detection() -> None:
    shifted = Box(12, 10, 32, 30)
    matched = match([frame((0.6, HERE), (0.9, shifted), (0.8, THERE), objects=(HERE, THERE))])
    assert matched.scores.tolist() == [0.9, 0.8, 0.6]
    assert matched.hits.tolist() == [True, True, False]
    assert matched.found.tolist() == [0.9, 0.8]


def test_half_an_overlap_is_a_hit_and_less_is_none() -> None:
    half = Box(10, 10, 30, 20)
    less = Box(10, 10, 30, 19)
    assert match([frame((0.9, half), objects=(HERE,))]).hits.tolist() == [True]
    missed = match([frame((0.9, less), objects=(HERE,))])
    assert missed.hits.tolist() == [False]
    assert missed.found.tolist() == [-1.0]


def test_what_is_ignored_is_no_hit_no_miss_and_no_alarm() -> None:
    inside = Box(61, 61, 70, 70)
    matched = match([frame((0.9, THERE), (0.8, inside), (0.7, HERE), (0.6, NOWHERE),
                           objects=(HERE,), ignored=(THERE,))])  # fmt: skip
    assert matched.scores.tolist() == [0.7, 0.6]
    assert matched.hits.tolist() == [True, False]
    assert len(matched.found) == 1


def test_a_box_of_another_frame_is_no_hit() -> None:
    matched = match([frame(objects=(HERE,)), frame((0.9, HERE))])
    assert matched.hits.tolist() == [False]
    assert matched.homes.tolist() == [0]
    assert matched.places.tolist() == [1]


def test_average_precision_is_the_area_by_hand() -> None:
    # Hit, alarm, hit, and one object is never found: precision 1 up to recall 1/3, then 2/3.
    matched = match(
        [
            frame((0.9, HERE), (0.8, NOWHERE), objects=(HERE, THERE)),
            frame((0.7, HERE), objects=(HERE,)),
        ]
    )
    assert average_precision(matched) == pytest.approx(1 / 3 + 2 / 3 * 1 / 3)


def test_a_late_rise_of_precision_counts_from_the_left() -> None:
    matched = match([frame((0.9, NOWHERE), (0.8, HERE), (0.7, THERE), objects=(HERE, THERE))])
    assert average_precision(matched) == pytest.approx(2 / 3)


def test_detections_of_one_score_stand_or_fall_together() -> None:
    one = match([frame((0.9, HERE), (0.9, NOWHERE), objects=(HERE,))])
    other = match([frame((0.9, NOWHERE), (0.9, HERE), objects=(HERE,))])
    assert average_precision(one) == average_precision(other) == pytest.approx(0.5)


def test_nothing_found_and_nothing_there_is_zero() -> None:
    assert average_precision(match([frame(objects=(HERE,))])) == 0.0
    assert average_precision(match([frame((0.9, HERE))])) == 0.0


def test_counting_a_frame_twice_is_having_it_twice() -> None:
    good = frame((0.9, HERE), objects=(HERE, THERE))
    bad = frame((0.95, NOWHERE), objects=(HERE,))
    twice = average_precision(match([good, good, bad]))
    assert average_precision(match([good, bad]), np.array([2, 1])) == pytest.approx(twice)
    # A frame that is not drawn leaves neither objects nor alarms.
    assert average_precision(match([good, bad]), np.array([1, 0])) == pytest.approx(0.5)


def ten_frames(alarms: tuple[float, ...]) -> Matched:
    first = frame((0.8, HERE), (0.4, THERE), *((s, NOWHERE) for s in alarms),
                  objects=(HERE, THERE))  # fmt: skip
    return match([first, *(frame() for _ in range(9))])


def test_the_threshold_lets_one_alarm_per_ten_frames_pass() -> None:
    assert threshold_at(ten_frames((0.6,)), 0.1) == pytest.approx(0.4)
    assert threshold_at(ten_frames((0.6, 0.5)), 0.1) == pytest.approx(0.6)
    assert threshold_at(ten_frames((0.9, 0.85)), 0.1) == pytest.approx(0.9)
    # Alarms with the score of a hit come with it.
    assert threshold_at(ten_frames((0.8, 0.8)), 0.1) == 1.0


def test_the_interval_holds_the_value_and_repeats() -> None:
    rng = np.random.default_rng(3)
    frames = [
        frame((0.5 + rng.random() / 2, HERE if rng.random() < 0.7 else NOWHERE), objects=(HERE,))
        for _ in range(60)
    ]
    matched = match(frames)
    low, high = ap_interval(matched, 1)
    assert low < average_precision(matched) < high
    assert high - low > 0.1
    assert ap_interval(matched, 1) == (low, high)
    assert ap_interval(matched, 2) != (low, high)


def test_scores_are_made_the_share_of_hits() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 2, 4000)
    right = rng.random(4000) < 1 / (1 + np.exp(-(logits - 1.5) / 0.5))
    temperature, offset = fit_platt(logits, right)
    assert temperature == pytest.approx(0.5, rel=0.15)
    assert offset == pytest.approx(1.5, abs=0.1)
    # Nothing to fit on, or nothing that could be believed.
    assert fit_platt(logits, np.ones(4000, bool)) == (1.0, 0.0)
    assert fit_platt(-logits, right) == (1.0, 0.0)
    apart = fit_platt(np.array([-1.0, 1.0]), np.array([False, True]))
    assert np.isfinite(apart).all()


@pytest.fixture(scope="module")
def few_frames(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six stop signs of the real frames, one broken picture, one frame without anything."""
    source = read_scenes(data_dir / "detection-frames")
    root = tmp_path_factory.mktemp("few")
    (root / "frames").mkdir()
    lines = ["image,label,xmin,ymin,xmax,ymax"]
    scenes = [s for s in source.scenes if any(o.label == "stop" for o in s.objects)][:6]
    for scene in scenes:
        name = scene.path.name
        (root / "frames" / name).write_bytes(scene.path.read_bytes())
        lines += [
            ",".join(map(str, (name, found.label, *found.box.as_tuple())))
            for found in scene.objects
        ]
    (root / "frames" / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    cv2.imwrite(str(root / "frames" / "grey.png"), np.full((50, 50, 3), 90, np.uint8))
    lines += ["broken.jpg,stop,1,1,9,9", "grey.png,,,,,"]
    (root / "annotations.csv").write_text("\n".join(lines))
    return root


def test_a_stock_model_is_measured_on_real_stop_signs(data_dir: Path, few_frames: Path) -> None:
    model = data_dir / "models" / SSD
    others = tuple(label for label in read_scenes(few_frames).labels if label != "stop")
    report = evaluate_detector(model, few_frames, classes=("stopsign",), ignored=others)
    assert report.frames == 7
    assert report.objects == report.by_label["stop"].n == 6
    assert sum(part.n for part in report.by_size.values()) == 6
    assert report.ap50 > 0.3
    assert report.by_label["stop"].found / 6 == pytest.approx(report.recall)
    assert report.refused == ("broken.jpg: not an image that OpenCV reads",)
    assert report.size_bytes == model.stat().st_size
    assert report.invoke_us > 0
    cars = evaluate_detector(model, few_frames, classes=("car",), ignored=others)
    assert cars.ap50 < 0.1


def test_json_and_lines_say_the_same(data_dir: Path, few_frames: Path) -> None:
    report = evaluate_detector(data_dir / "models" / SSD, few_frames, classes=("stopsign",))
    told = json.loads(detector_json(report))
    assert told["recall_at_fppi_0.1"] == report.recall
    assert told["ap50"] == report.ap50
    assert told["sha256"] == report.sha256
    assert {"threshold", "frames", "objects", "size_bytes", "invoke_us", "by_size", "by_label",
            "refused", "ap50_interval"} <= set(told)  # fmt: skip
    assert f"AP50 {report.ap50:.3f}" in "\n".join(detector_lines(report))


def test_the_lines_fit_80_columns(data_dir: Path, few_frames: Path) -> None:
    report = evaluate_detector(data_dir / "models" / SSD, few_frames, classes=("stopsign",))
    many = {f"kind {n}": Part(1_000, 999) for n in range(9)}
    lines = detector_lines(replace(report, by_label=many))
    assert max(map(len, lines)) <= 80
    assert all(any(f"kind {n} 999 of 1000" in line for line in lines) for n in range(9))


def test_the_command_tells_detectors_from_classifiers(data_dir: Path, few_frames: Path) -> None:
    model = str(data_dir / "models" / SSD)
    run = CliRunner().invoke(
        app, ["evaluate", model, "--data", str(few_frames), "--classes", "stopsign", "--json"]
    )
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["frames"] == 7
    assert "refused broken.jpg" in run.stderr


def test_what_does_not_fit_is_refused_by_name(data_dir: Path, few_frames: Path) -> None:
    model = data_dir / "models" / SSD
    with pytest.raises(BadContentError, match="no class 'no such'"):
        evaluate_detector(model, few_frames, classes=("no such",))
    with pytest.raises(BadContentError, match="no split 'test'"):
        evaluate_detector(model, few_frames, "test")
    shipped = Path("agent/models/traffic-signs.tflite").resolve()
    with pytest.raises(BadContentError, match="a classification model"):
        evaluate_detector(shipped, few_frames)
