import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.contract.errors import BadContentError
from agent.contract.messages import NONE_OF_THESE
from agent.vision.shipped import shipped_model
from cloud.calibration import (
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
)
from cloud.data import decode, read_folder, split_by_image
from cloud.evaluate import _chosen, evaluate, match_classes
from cloud.report import Report, report_json
from cloud.scenes import held_back, read_picture, read_scenes
from cloud.train.background import background_patches
from tests.drawn_folder import class_folders, full_folder, rows, short_table, write_files

MODEL = shipped_model("traffic-signs.tflite")
DEVELOPMENT = Path(__file__).resolve().parents[2] / "bench" / "seeds" / "development.tflite"
EVERY = 13
"""One in so many held-back images: about 600."""


def gtsrb_part(root: Path, data: Path, rename: Callable[[int, str], str] | None = None) -> Path:
    """A folder with part of the held-back images; class `name`s may be changed."""
    lines = (data / "train.csv").read_text().splitlines()
    held = [line for line in lines[1:] if line.endswith(",val")][::EVERY]
    (root / "train.csv").write_text("\n".join([lines[0], *held]))
    head, *classes = (data / "classes.csv").read_text().splitlines()
    if rename:
        classes = [
            f"{line.split(',')[0]},{rename(n, line.split(',', 1)[1])}"
            for n, line in enumerate(classes)
        ]
    (root / "classes.csv").write_text("\n".join([head, *classes]))
    for archive in data.glob("*.zip"):
        (root / archive.name).symlink_to(archive)
    return root


def test_calibration_error_by_hand() -> None:
    # 30 predictions, two a bin: confidence 0.9 and one of two right is a gap of 0.4 everywhere.
    scores = np.full(30, 0.9, np.float32)
    assert expected_calibration_error(scores, np.arange(30) % 2 == 0) == pytest.approx(0.4)
    assert expected_calibration_error(scores, np.ones(30, bool)) == pytest.approx(0.1)
    # Over- and underconfidence in different bins must not cancel out.
    mixed = np.array([0.2] * 16 + [0.8] * 14, np.float32)
    assert expected_calibration_error(mixed, mixed < 0.5) == pytest.approx(0.8)
    assert expected_calibration_error(scores[:1], np.array([True])) == pytest.approx(0.1)


def test_the_temperature_undoes_a_scale() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (4000, 5)).astype(np.float32)
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classes = np.array([rng.choice(5, p=p / p.sum()) for p in chance.astype(np.float64)])
    assert fit_temperature(logits, classes) == pytest.approx(1.0, rel=0.08)
    assert fit_temperature(logits * 3, classes) == pytest.approx(3.0, rel=0.08)
    best = fit_temperature(logits * 3, classes)
    nll = negative_log_likelihood(logits * 3, classes, best)
    assert nll < negative_log_likelihood(logits * 3, classes, best * 1.2)
    assert nll < negative_log_likelihood(logits * 3, classes, best / 1.2)


def test_likelihood_of_even_odds() -> None:
    logits = np.zeros((3, 4), np.float32)
    value = negative_log_likelihood(logits, np.array([0, 1, 3]), 1.0)
    assert value == pytest.approx(np.log(4))


def test_classes_match_by_name_else_by_index() -> None:
    assert match_classes(("b", "a"), ("a", "b", "c"), "m") == ((1, 0), "name")
    assert match_classes(("x", "y"), ("a", "b", "c"), "m") == ((0, 1), "index")
    with pytest.raises(BadContentError, match="m: 2 labels for 3 classes, and no label 'x'"):
        match_classes(("x", "y", "z"), ("a", "b"), "m")


@pytest.mark.parametrize(
    "labels", [("c", "x", "a"), ("a", "b", "c", "x"), (NONE_OF_THESE, "a", "x")]
)
def test_one_odd_class_among_known_ones_is_refused_by_name(labels: tuple[str, ...]) -> None:
    with pytest.raises(BadContentError, match=r"m: no label 'x', .* rename .* --profile"):
        match_classes(labels, ("a", "b", "c"), "m")


def test_none_of_these_is_no_output_wherever_the_data_has_it() -> None:
    assert match_classes((NONE_OF_THESE, "b", "a"), ("a", "b"), "m") == ((-1, 1, 0), "name")
    assert match_classes(("x", NONE_OF_THESE, "y"), ("a", "b"), "m") == ((0, -1, 1), "index")


@pytest.fixture(scope="module")
def by_name(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    root = gtsrb_part(tmp_path_factory.mktemp("part"), data_dir / "gtsrb")
    return evaluate(MODEL, root, "val")


@pytest.mark.data
def test_the_shipped_model_is_as_good_as_its_card_says(by_name: Report) -> None:
    assert by_name.n == 603
    assert by_name.accuracy >= 0.998, "it has seen these"
    assert by_name.ece <= 0.01
    assert by_name.size_bytes == MODEL.stat().st_size <= 1_000_000
    assert (by_name.split, by_name.region, by_name.matched_by) == ("val", "roi", "name")


@pytest.mark.data
def test_the_development_model_does_what_the_card_says(data_dir: Path) -> None:
    report = evaluate(DEVELOPMENT, data_dir / "gtsrb", "val")
    assert (report.n, report.errors) == (7_830, 14)
    assert report.ece <= 0.001
    assert report.errors_in_top_5 == 1.0


@pytest.mark.data
def test_the_report_adds_up(by_name: Report) -> None:
    document = json.loads(report_json(by_name))
    assert {"accuracy", "n", "errors", "ece", "nll", "size_bytes", "per_class"} <= set(document)
    classes = document["per_class"].values()
    assert sum(c["n"] for c in classes) == document["n"]
    assert sum(c["errors"] for c in classes) == document["errors"]
    assert sum(count for _, _, count in document["confused"]) == document["errors"]
    assert document["accuracy"] == 1 - document["errors"] / document["n"]
    low, high = document["accuracy_interval"]
    assert low <= document["accuracy"] <= high < low + 0.05
    assert (document["interval_over"], document["groups"]) == ("tracks", 261)
    assert document["uncertainty"] == "1 - margin"
    assert document["none_rate"] == 0
    assert document["invoke_us"] > 0


@pytest.mark.data
def test_none_of_these_counts_as_an_answer(data_dir: Path, tmp_path: Path, by_name: Report) -> None:
    """Cuts of real road scenes that show no sign, as a class of their own beside the signs."""
    root = gtsrb_part(tmp_path, data_dir / "gtsrb")
    scenes = read_scenes(data_dir / "detection-frames").scenes
    held = held_back(scenes)
    table = (root / "train.csv").read_text().splitlines()
    number = 0
    for scene in [s for s in scenes if s.name in held][:12]:
        boxes = tuple(o.box for o in scene.objects)
        for patch in background_patches(read_picture(scene), boxes, np.random.default_rng(number)):
            cv2.imwrite(str(root / f"{number}.png"), patch.image)
            row = dict.fromkeys(table[0].split(","), "")
            row |= {"path": f"{number}.png", "class_id": "99", "track": str(number)}
            row |= {"split": "val"}
            table.append(",".join(row.values()))
            number += 1
    (root / "train.csv").write_text("\n".join(table))
    with (root / "classes.csv").open("a") as file:
        file.write(f"\n99,{NONE_OF_THESE}\n")
    report = evaluate(MODEL, root, "val")
    assert number > 50
    nothing = report.per_class[NONE_OF_THESE]
    assert nothing.n == number
    assert nothing.errors <= number // 5
    assert report.errors - nothing.errors == by_name.errors
    assert report.none_rate >= (number - nothing.errors) / report.n > 0


@pytest.mark.data
def test_the_device_is_unsure_where_it_errs(data_dir: Path, tmp_path: Path) -> None:
    root = gtsrb_part(tmp_path, data_dir / "gtsrb")
    report = evaluate(MODEL, root, "val", corruption=("night", 5))
    assert report.corruption == "night:5"
    assert report.errors >= 10
    assert report.error_auroc is not None
    assert report.error_auroc > 0.8
    assert report.errors_in_top_5 is not None
    assert report.errors_in_top_5 > 0.2
    assert report == replace(
        evaluate(MODEL, root, "val", corruption=("night", 5)), invoke_us=report.invoke_us
    )


@pytest.fixture(scope="module")
def official(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layout of the official test set: flat lossless pictures in one zip, boxes, no more."""
    root = tmp_path_factory.mktemp("official")
    data = data_dir / "gtsrb"
    folder = read_folder(data)
    with zipfile.ZipFile(root / "Test.zip", "w") as archive:
        lines = ["path,class_id,width,height,roi_x1,roi_y1,roi_x2,roi_y2"]
        for n, (sample, image) in enumerate(decode(folder, folder.of("val")[::90])):
            assert not isinstance(image, str)
            assert sample.roi is not None
            name = f"{n:05}.png"
            archive.writestr(name, bytes(cv2.imencode(".png", image)[1]))
            size = (image.shape[1], image.shape[0])
            lines.append(",".join(map(str, (name, sample.index, *size, *sample.roi.as_tuple()))))
    (root / "Test.csv").write_text("\n".join(lines) + "\n")
    (root / "classes.csv").write_bytes((data / "classes.csv").read_bytes())
    return root


@pytest.mark.data
@pytest.mark.parametrize("split", [None, "test", "val"])
def test_a_folder_of_boxes_alone_is_measured_with_and_without_a_split(
    official: Path, split: str | None
) -> None:
    report = evaluate(MODEL, official, split)
    assert (report.n, report.region, report.matched_by) == (87, "roi", "name")
    assert report.accuracy >= 0.97
    assert (report.interval_over, report.groups) == ("images", 87)
    assert report.split == "all"
    assert bool(report.notes) == (split is not None)


@pytest.mark.data
def test_without_annotations_the_error_names_what_is_missing(
    official: Path, tmp_path: Path
) -> None:
    for name in ("Test.zip", "classes.csv"):
        (tmp_path / name).write_bytes((official / name).read_bytes())
    with pytest.raises(BadContentError, match=r"columns path,class_id beside classes.csv"):
        evaluate(MODEL, tmp_path)


@pytest.mark.data
def test_names_in_another_order_change_nothing_and_other_names_go_by_index(
    data_dir: Path, tmp_path: Path, by_name: Report
) -> None:
    foreign = gtsrb_part(tmp_path, data_dir / "gtsrb", lambda n, _: f"Zeichen {n}")
    report = evaluate(MODEL, foreign, "val")
    assert (report.matched_by, report.errors) == ("index", by_name.errors)
    lines = (tmp_path / "classes.csv").read_text().splitlines()
    names = (data_dir / "gtsrb" / "classes.csv").read_text().splitlines()
    # The same ids under swapped names must cost exactly those two classes.
    swapped = [names[0], f"0,{names[2].split(',', 1)[1]}", f"1,{names[1].split(',', 1)[1]}"]
    (tmp_path / "classes.csv").write_text("\n".join(swapped + names[3:]))
    assert len(lines) == len(names)
    worse = evaluate(MODEL, foreign, "val")
    of_two = sum(by_name.per_class[name.split(",", 1)[1]].n for name in names[1:3])
    assert worse.matched_by == "name"
    assert worse.errors >= by_name.errors + of_two - 5


@pytest.mark.data
def test_whole_images_are_harder(data_dir: Path, tmp_path: Path, by_name: Report) -> None:
    report = evaluate(MODEL, gtsrb_part(tmp_path, data_dir / "gtsrb"), "val", whole_images=True)
    assert report.region == "whole"
    assert report.nll != by_name.nll
    assert report.accuracy >= 0.96


def test_a_folder_without_the_split_is_measured_as_a_whole_and_says_so(tmp_path: Path) -> None:
    root = full_folder(tmp_path)
    table = (root / "annotations.csv").read_text().splitlines()
    columns = table[0].split(",")
    kept = [columns.index(name) for name in ("path", "archive", "class_id")]
    short = [",".join(line.split(",")[i] for i in kept) for line in table]
    (root / "annotations.csv").write_text("\n".join(short))
    done: list[tuple[int, int]] = []
    report = evaluate(MODEL, root, "val", on_image=lambda *step: done.append(step))
    assert (report.split, report.n, report.matched_by) == ("all", 36, "index")
    assert "neither splits nor tracks" in report.notes[0]
    assert report.notes[-1] == "no class name is the model's: classes are matched by their order"
    assert done == [(n, 36) for n in range(1, 37)]


def test_the_folder_of_the_training_is_split_as_training_did_it(tmp_path: Path) -> None:
    folder = read_folder(class_folders(tmp_path, rows(5, 2)))
    held, split, notes = _chosen(folder, "val", own=True)
    assert held == split_by_image(folder).of("val")
    assert (len(held), split) == (6, "val")
    assert "split by image, as in training" in notes[0]
    every, split, _ = _chosen(folder, "val", own=False)
    assert (len(every), split) == (30, "all")


def test_a_split_by_image_gives_an_interval_over_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_table(tmp_path, rows(5, 2))
    write_files(tmp_path, rows(5, 2))
    split = partial(_chosen, own=True)
    monkeypatch.setattr("cloud.evaluate._chosen", lambda folder, name, **_: split(folder, name))
    report = evaluate(MODEL, tmp_path, "val")
    assert (report.interval_over, report.groups, report.n) == ("images", 6, 6)


def test_class_folders_of_other_names_are_not_measured_by_index(tmp_path: Path) -> None:
    with pytest.raises(BadContentError, match="class 'disc' is no label of the model"):
        evaluate(MODEL, class_folders(tmp_path, rows(1, 1)))


def test_unreadable_images_are_in_the_report(tmp_path: Path) -> None:
    root = full_folder(tmp_path)
    table = (root / "annotations.csv").read_text().splitlines()
    table[1] = table[1].replace("0/00_0.png,images.zip,0,00,", "0/00_0.png,images.zip,0,00,9")
    (root / "annotations.csv").write_text("\n".join(table))
    report = evaluate(MODEL, root)
    assert report.n == 35
    assert report.refused[0].startswith("images.zip:0/00_0.png: annotated as 9")


@pytest.mark.data
def test_a_detector_is_refused(data_dir: Path, tmp_path: Path) -> None:
    detector = data_dir / "models" / "ssd_mobilenet_v1_coco_quant.tflite"
    with pytest.raises(BadContentError, match="needs a classifier"):
        evaluate(detector, full_folder(tmp_path))
