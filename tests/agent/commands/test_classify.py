"""Pictures through stock models and the shipped one."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from agent.commands.classify import read_image
from agent.contract.messages import NONE_OF_THESE
from agent.vision.engine import Engine, read_model
from agent.vision.shipped import shipped_model
from agent.vision.types import Region, whole
from tests.agent.commands.conftest import Cli
from tests.makers import picture

TOP_1 = {
    "bird.png": 20,
    "cat_720p.jpg": 286,
    "grace_hopper.png": 653,
    "hot_dog.jpg": 935,
    "parrot.jpg": 89,
    "pets.jpg": 196,
}


def predictions(text: str) -> dict[str, list[dict[str, Any]]]:
    return {Path(item["image"]).name: item["predictions"] for item in json.loads(text)}


@pytest.mark.data
def test_stock_classifier_knows_the_photographs(cli: Cli, data_dir: Path) -> None:
    ran = cli(
        "classify", *(data_dir / "images" / name for name in TOP_1), "--json",
        "--model", data_dir / "models/mobilenet_v2_1.0_224_quant.tflite",
        "--labels", data_dir / "models/imagenet_labels.txt",
    )  # fmt: skip
    assert ran.code == 0
    found = predictions(ran.out)
    assert {name: best[0]["index"] for name, best in found.items()} == TOP_1
    assert found["parrot.jpg"][0]["label"] == "macaw"
    for best in found.values():
        scores = [p["score"] for p in best]
        assert scores == sorted(scores, reverse=True)
        assert len(best) == 5
        assert "box" not in best[0]


@pytest.mark.parametrize("name", ["sign-detector", "sign-detector.tflite"])
def test_a_shipped_model_is_known_by_name(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sign-detector").mkdir()
    cv2.imwrite("a.png", picture(3))
    ran = cli("classify", "a.png", "--model", name)
    assert (ran.code, ran.err) == (0, "")
    assert cli("model", "show", name).code == 0
    ran = cli("classify", "a.png", "--model", "no-such")
    assert ran.code == 3
    assert "no-such: no such file, nor a shipped model (crops.tflite, " in ran.err


@pytest.mark.data
def test_detector_gives_boxes_in_pixels(cli: Cli, data_dir: Path) -> None:
    image = data_dir / "images/cat_720p.jpg"
    model = data_dir / "models/ssd_mobilenet_v1_coco_quant.tflite"
    ran = cli("classify", image, "--json", "--model", model, "--min-score", "0.5")
    best = predictions(ran.out)["cat_720p.jpg"][0]
    assert best["label"] == "cat"
    assert best["score"] == pytest.approx(0.73, abs=0.05)
    x0, y0, x1, y1 = best["box"]
    height, width = read_image(image).shape[:2]
    assert 0 <= x0 < x1 <= width
    assert 0 <= y0 < y1 <= height
    assert (x1 - x0) * (y1 - y0) > 0.1 * width * height


@pytest.mark.data
def test_negative_models_are_refused_in_one_line(cli: Cli, data_dir: Path) -> None:
    image = data_dir / "images/bird.png"
    labels = data_dir / "models/imagenet_labels.txt"
    for path in sorted((data_dir / "models/negative").glob("*.tflite")):
        ran = cli("classify", image, "--model", path, "--labels", labels)
        assert ran.code == 1
        assert path.name in ran.err
        assert ran.err.count("\n") == 1


def test_unreadable_picture_is_named_and_the_others_go_on(cli: Cli, tmp_path: Path) -> None:
    good, bad, gone = tmp_path / "good.png", tmp_path / "bad.jpg", tmp_path / "gone.jpg"
    cv2.imwrite(str(good), picture(1))
    bad.write_bytes(b"\xff\xd8\xff no picture")
    ran = cli("classify", bad, gone, good, "--json", "--top", "3")
    assert ran.code == 1
    assert str(bad) in ran.err
    assert f"{gone}: No such file or directory" in ran.err
    found = predictions(ran.out)
    assert list(found) == ["good.png"]
    assert len(found["good.png"]) == 3


def test_grey_alpha_and_16_bit_pictures_mean_the_same(cli: Cli, tmp_path: Path) -> None:
    grey = cv2.cvtColor(picture(2), cv2.COLOR_BGR2GRAY)
    colour = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    forms = {
        "grey.png": grey,
        "colour.png": colour,
        "alpha.png": cv2.cvtColor(colour, cv2.COLOR_BGR2BGRA),
        "deep.png": colour.astype(np.uint16) * 257,
        "deep_grey.tiff": grey.astype(np.uint16) * 257,
        "grey.bmp": grey,
    }
    for name, image in forms.items():
        assert cv2.imwrite(str(tmp_path / name), image)
    found = predictions(cli("classify", *(tmp_path / n for n in forms), "--json").out)
    assert set(found) == set(forms)
    for name in forms:
        assert found[name] == found["colour.png"], name


def test_table_on_an_80_column_screen(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), picture(3))
    ran = cli("classify", path, "--top", "2")
    lines = ran.out.splitlines()
    assert len([line for line in lines if "━" in line]) == 2
    assert max(map(len, lines)) <= 80
    assert not ran.err


def test_min_score_leaves_out_the_weak(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), picture(3))
    everything = predictions(cli("classify", path, "--json", "--top", "44").out)["a.png"]
    assert len(everything) == 44, "43 classes, and none of these"
    limit = everything[1]["score"] + 1e-5
    strong = cli("classify", path, "--json", "--top", "44", "--min-score", limit)
    assert len(predictions(strong.out)["a.png"]) == 1


def test_profile_without_a_model_says_what_to_give(cli: Cli, tmp_path: Path) -> None:
    ran = cli("classify", tmp_path / "a.png", "--profile", "surveillance")
    assert ran.code == 1
    assert "give --model FILE" in ran.err


def test_unknown_profile(cli: Cli, tmp_path: Path) -> None:
    ran = cli("classify", tmp_path / "a.png", "--profile", "martians")
    assert ran.code == 1
    assert "traffic-signs" in ran.err


def test_scores_are_those_of_the_engine(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    image = picture(5)
    cv2.imwrite(str(path), image)
    engine = Engine(read_model(shipped_model("traffic-signs.tflite")))
    best = engine.classify(image, Region(whole(image)))
    told = predictions(cli("classify", path, "--json").out)["a.png"][0]
    assert told == {
        "index": best.index,
        "label": best.label or NONE_OF_THESE,
        "score": pytest.approx(best.score, abs=1e-6),
    }
