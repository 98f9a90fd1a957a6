import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.messages import NONE_OF_THESE
from agent.vision.shipped import shipped_model
from agent.vision.types import Box
from cloud.evaluate_detector import evaluate_detector
from cloud.scenes import (
    Marked,
    held_back,
    pictures,
    read_picture,
    read_scenes,
    with_splits,
)
from cloud.train.background import Patch
from cloud.train.batches import Examples
from cloud.train.detector import command
from cloud.train.material import load_background
from tests.drawn_folder import huge_png

DETECTOR = shipped_model("sign-detector.tflite")
HEADER = "image,width,height,label,xmin,ymin,xmax,ymax"


def folder(root: Path, *rows: str, names: tuple[str, ...] = ("a.png", "b.png")) -> Path:
    (root / "frames").mkdir(exist_ok=True)
    for n, name in enumerate(names):
        noise = np.random.default_rng(n).integers(0, 256, (40, 60, 3), np.uint8)
        cv2.imwrite(str(root / "frames" / name), noise)
    (root / "annotations.csv").write_text("\n".join((HEADER, *rows)) + "\n")
    return root


def test_boxes_and_pictures_without_any_are_read(tmp_path: Path) -> None:
    found = read_scenes(
        folder(
            tmp_path, "a.png,60,40,stop,1,2,30,20", "a.png,60,40,stop,40,2,60,20", "b.png,,,,,,,"
        )
    )
    assert [s.name for s in found.scenes] == ["a.png", "b.png"]
    assert found.scenes[0].objects[0] == Marked(Box(1, 2, 30, 20), "stop")
    assert found.scenes[1].objects == ()
    assert found.labels == ("stop",)
    assert read_picture(found.scenes[0]).shape == (40, 60, 3)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a.png,60,40,stop,1,2,x,20", "line 2: box"),
        ("a.png,60,40,stop,30,2,1,20", "line 2: need a label and a box"),
        ("a.png,60,40,,1,2,30,20", "line 2: need a label and a box"),
        ("c.png,60,40,stop,1,2,30,20", "none of 1 annotated pictures is in frames/, first 'c.png'"),
        ("../a.png,60,40,stop,1,2,30,20", "must lie inside"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(BadContentError, match=said):
        read_scenes(folder(tmp_path, row))


def test_a_missing_column_or_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"annotations\.csv"):
        read_scenes(tmp_path)
    (tmp_path / "annotations.csv").write_text("image,label\na.png,stop\n")
    with pytest.raises(BadContentError, match="no column 'xmin'"):
        read_scenes(tmp_path)


def test_a_box_outside_its_picture_is_refused_by_name(tmp_path: Path) -> None:
    found = read_scenes(folder(tmp_path, "a.png,60,40,stop,1,2,61,20"))
    ((_, reason),) = pictures(found.scenes)
    assert reason == "a.png: box (1, 2, 61, 20) reaches outside 60x40"


def test_pictures_of_one_place_are_held_back_together(tmp_path: Path) -> None:
    names = tuple(f"{n}.png" for n in range(40))
    root = folder(tmp_path, *(f"{n},,,stop,1,2,30,20" for n in names), names=names)
    held = held_back(read_scenes(root).scenes)
    assert 3 <= len(held) <= 17
    # The same pictures once more under other names: each goes where its twin went.
    for name in names:
        (root / "frames" / f"z{name}").write_bytes((root / "frames" / name).read_bytes())
    rows = [f"{n},,,stop,1,2,30,20" for n in (*names, *(f"z{n}" for n in names))]
    (root / "annotations.csv").write_text("\n".join((HEADER, *rows)))
    assert held_back(read_scenes(root).scenes) == held | {f"z{name}" for name in held}


SPLITS = {"a.png": "train", "b.png": "val", "c.png": "train", "d.png": "test", "e.png": "spare"}


def split_folder(root: Path) -> Path:
    """A folder of five pictures in four splits; the last two are not for training."""
    folder(root, names=tuple(SPLITS))
    lines = [f"{name},stop,1,2,30,20,{split}" for name, split in SPLITS.items()]
    (root / "annotations.csv").write_text(
        "\n".join(("image,label,xmin,ymin,xmax,ymax,split", *lines))
    )
    return root


def test_the_folders_own_splits_are_kept(tmp_path: Path) -> None:
    found = with_splits(read_scenes(split_folder(tmp_path)))
    assert found.splits == ("spare", "test", "train", "val")
    assert {s.name: s.split for s in found.scenes} == SPLITS
    with pytest.raises(BadContentError, match=r"no split 'tset'; it has: spare, test, train, val"):
        found.of("tset")


def test_without_splits_they_are_those_of_held_back(tmp_path: Path) -> None:
    names = tuple(f"{n}.png" for n in range(12))
    root = folder(tmp_path, *(f"{n},,,stop,1,2,30,20" for n in names), names=names)
    found = read_scenes(root)
    held = held_back(found.scenes)
    assert {s.name for s in with_splits(found).of("val")} == held
    assert {s.name for s in with_splits(found).of("train")} == set(names) - held


def test_a_detector_learns_from_train_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(*_: object) -> None:
        raise InterruptedError

    monkeypatch.setattr(command, "need", lambda *_: None)
    monkeypatch.setattr(command, "_fit_shown", fit)
    said = io.StringIO()
    with pytest.raises(InterruptedError):
        command.train_detector(
            split_folder(tmp_path), tmp_path / "out.tflite", console=Console(file=said, width=200)
        )
    assert "2 scenes with 2 signs" in said.getvalue()
    assert "1 scenes held back" in said.getvalue()


def test_a_classifiers_background_is_of_train_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "cloud.train.material.background_patches",
        lambda image, boxes, _: [Patch(image, boxes[0])],
    )
    like = Examples((), (), np.empty(0, np.int64), (NONE_OF_THESE,), ("both",), (-1,))
    part = load_background(split_folder(tmp_path), like)
    assert (len(part.train), len(part.val)) == (2, 1)
    text = (tmp_path / "annotations.csv").read_text().replace(",train", ",learn")
    (tmp_path / "annotations.csv").write_text(text)
    with pytest.raises(BadContentError, match="no split 'train'; it has: learn, spare, test, val"):
        load_background(tmp_path, like)


def test_a_detector_is_measured_on_any_split_of_the_folder(tmp_path: Path) -> None:
    root = split_folder(tmp_path)
    counts = {s: evaluate_detector(DETECTOR, root, s).frames for s in ("train", "test", "spare")}
    assert counts == {"train": 2, "test": 1, "spare": 1}
    with pytest.raises(BadContentError, match="no split 'tests'"):
        evaluate_detector(DETECTOR, root, "tests")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            ("a.png,stop,1,2,30,20,train", "a.png,stop,40,2,50,20,val"),
            r"annotations.csv line 3: image 'a.png' is in split 'val' here and in 'train' above",
        ),
        (
            ("a.png,stop,1,2,30,20,train", "b.png,stop,1,2,30,20,"),
            "annotations.csv line 3: no split, as in 1 of 2 rows; give every row one",
        ),
    ],
)
def test_a_split_column_that_contradicts_itself_is_refused(
    tmp_path: Path, rows: tuple[str, ...], said: str
) -> None:
    folder(tmp_path)
    (tmp_path / "annotations.csv").write_text(
        "\n".join(("image,label,xmin,ymin,xmax,ymax,split", *rows))
    )
    with pytest.raises(BadContentError, match=said):
        read_scenes(tmp_path)


def test_pictures_that_cannot_be_had_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    names = ("a.png", "huge.png", "empty.png", "text.png", "gone.png")
    root = folder(tmp_path, *(f"{name},,,stop,1,2,30,20" for name in names), names=names[:1])
    (root / "frames" / "huge.png").write_bytes(huge_png())
    (root / "frames" / "empty.png").write_bytes(b"")
    (root / "frames" / "text.png").write_bytes(b"no picture")
    refused = [image for _, image in pictures(read_scenes(root).scenes) if isinstance(image, str)]
    assert refused == [
        "huge.png: too large for OpenCV",
        "empty.png: not an image that OpenCV reads",
        "text.png: not an image that OpenCV reads",
        "gone.png: annotated but not in frames/",
    ]
    report = evaluate_detector(DETECTOR, root)
    assert (report.frames, list(report.refused)) == (1, refused)


def test_the_csv_may_be_a_spreadsheets(tmp_path: Path) -> None:
    folder(tmp_path)
    lines = ("Image;Label;XMin;YMin;XMax;YMax", "", "a.png; stop ;1;2;30;20", "", "b.png;;;;;", "")
    (tmp_path / "annotations.csv").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    found = read_scenes(tmp_path)
    assert [(s.name, s.objects) for s in found.scenes] == [
        ("a.png", (Marked(Box(1, 2, 30, 20), "stop"),)),
        ("b.png", ()),
    ]
    (tmp_path / "annotations.csv").write_text("image,label,xmin,ymin,xmax,ymax\n\n\na.png,x\n")
    with pytest.raises(BadContentError, match="line 4: box"):
        read_scenes(tmp_path)
