from pathlib import Path

import numpy as np
import pytest

from agent.contract.errors import BadContentError, UnavailableError
from agent.vision.types import Box
from cloud.data import decode, read_folder, split_by_image, split_by_track
from tests.drawn_folder import (
    LABELS,
    Row,
    empty_png,
    encoded,
    full_folder,
    huge_png,
    rows,
    short_table,
    write_classes,
    write_files,
    write_table,
    write_zip,
)


def track_table(root: Path, pictures: list[Row]) -> None:
    write_classes(root)
    table = [(r.path, r.index, r.track) for r in pictures]
    write_table(root / "a.csv", ("Path", "Class_ID", "TRACK"), table)


def readable(root: Path) -> int:
    folder = read_folder(root)
    return sum(not isinstance(image, str) for _, image in decode(folder, folder.samples))


def test_full_layout(tmp_path: Path) -> None:
    folder = read_folder(full_folder(tmp_path))
    assert folder.labels == LABELS
    assert folder.splits == ("train", "val")
    assert len(folder.samples) == 36
    assert len(folder.of("val")) == 9
    expected = {r.path: r.image for r in rows()}
    for sample, image in decode(folder, folder.samples):
        assert not isinstance(image, str)
        assert np.array_equal(image, expected[sample.path])
        side = len(image)
        assert sample.box(image) == Box(side // 5, side // 5, side - side // 5, side - side // 5)


def test_one_zip_of_png_without_archive_column(tmp_path: Path) -> None:
    short_table(tmp_path, rows())
    write_zip(tmp_path / "pictures.zip", rows())
    assert readable(tmp_path) == 36
    folder = read_folder(tmp_path)
    assert {s.archive for s in folder.samples} == {"pictures.zip"}
    (_, image), *_ = decode(folder, folder.samples[:1])
    assert not isinstance(image, str)
    assert folder.samples[0].box(image) == Box(0, 0, image.shape[1], image.shape[0])


def test_several_zips_without_archive_column(tmp_path: Path) -> None:
    short_table(tmp_path, rows())
    write_zip(tmp_path / "a.zip", rows()[:10])
    write_zip(tmp_path / "b.zip", rows()[10:])
    assert readable(tmp_path) == 36


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm", ".jpg", ".webp"])
def test_plain_files_of_any_format(tmp_path: Path, suffix: str) -> None:
    pictures = rows(1, 2, suffix)
    short_table(tmp_path, pictures)
    write_files(tmp_path, pictures)
    assert readable(tmp_path) == 6


def test_header_case_and_class_ids_that_start_anywhere(tmp_path: Path) -> None:
    pictures = rows(1, 1)
    write_classes(tmp_path, "Class_Id, NAME", first_id=7)
    table = [(r.path, 7 + r.index) for r in pictures]
    write_table(tmp_path / "a.csv", ("PATH", " Class_Id"), table)
    write_files(tmp_path, pictures)
    folder = read_folder(tmp_path)
    assert folder.labels == LABELS
    assert [s.index for s in folder.samples] == [0, 1, 2]


def test_unreadable_images_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    pictures = rows(1, 2)
    short_table(tmp_path, pictures)
    write_files(tmp_path, pictures)
    (tmp_path / pictures[1].path).write_bytes(empty_png())
    (tmp_path / pictures[2].path).write_bytes(b"")
    (tmp_path / pictures[3].path).write_bytes(encoded(pictures[3])[:40])
    (tmp_path / pictures[4].path).unlink()
    folder = read_folder(tmp_path)
    assert folder.missing == (pictures[4].path,)
    refused = {s.path: why for s, why in decode(folder, folder.samples) if isinstance(why, str)}
    assert refused == {r.path: "not an image that OpenCV reads" for r in pictures[1:4]}


def test_an_image_too_large_for_opencv_is_refused_in_our_words(tmp_path: Path) -> None:
    short_table(tmp_path, rows(1, 1))
    write_files(tmp_path, rows(1, 1))
    (tmp_path / rows(1, 1)[0].path).write_bytes(huge_png())
    folder = read_folder(tmp_path)
    ((_, why), *_) = decode(folder, folder.samples)
    assert why == "too large for OpenCV"


def test_an_annotation_that_contradicts_its_image_is_refused(tmp_path: Path) -> None:
    pictures = rows(1, 1)
    write_classes(tmp_path)
    write_files(tmp_path, pictures)
    header = ("path", "class_id", "width", "height", "roi_x1", "roi_y1", "roi_x2", "roi_y2")
    table = [
        (pictures[0].path, 0, 5, 5, "", "", "", ""),
        (pictures[1].path, 1, "", "", 0, 0, 500, 500),
        (pictures[2].path, 2, "", "", 0, 0, 10, 10),
    ]
    write_table(tmp_path / "a.csv", header, table)
    folder = read_folder(tmp_path)
    reasons = [image for _, image in decode(folder, folder.samples)]
    assert "annotated as 5x5" in str(reasons[0])
    assert "outside" in str(reasons[1])
    assert not isinstance(reasons[2], str)


def test_a_track_in_two_splits_is_refused(tmp_path: Path) -> None:
    full_folder(tmp_path)
    text = (tmp_path / "annotations.csv").read_text()
    (tmp_path / "annotations.csv").write_text(text.replace(",val", ",train", 1))
    with pytest.raises(BadContentError, match="track 00 of its class is in split"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("again", "said"),
    [
        ("{0},0,,,,,val", "0/00_0.png: in split 'train' and in 'val'"),
        ("{0},0,,,,,train", "0/00_0.png: the whole image is listed twice"),
        ("{0},1,,,,,train", "0/00_0.png: the whole image is listed twice"),
        ("{1},1,1,1,9,9,train", r"0/00_1.png: roi \(1, 1, 9, 9\) is listed twice"),
    ],
)
def test_an_object_listed_twice_is_refused(tmp_path: Path, again: str, said: str) -> None:
    write_classes(tmp_path)
    write_zip(tmp_path / "images.zip", rows(1, 2))
    names = [r.path for r in rows(1, 2)]
    lines = ["path,class_id,roi_x1,roi_y1,roi_x2,roi_y2,split", f"{names[0]},0,,,,,train",
             f"{names[1]},1,1,1,9,9,train", f"{names[1]},1,2,1,9,9,train"]  # fmt: skip
    (tmp_path / "a.csv").write_text("\n".join(lines))
    assert len(read_folder(tmp_path).samples) == 3
    (tmp_path / "a.csv").write_text("\n".join([*lines, again.format(*names)]))
    with pytest.raises(BadContentError, match=said):
        read_folder(tmp_path)


def test_half_a_split_is_refused(tmp_path: Path) -> None:
    full_folder(tmp_path)
    text = (tmp_path / "annotations.csv").read_text()
    (tmp_path / "annotations.csv").write_text(text.replace(",val", ","))
    with pytest.raises(BadContentError, match="9 of 36 rows have no split"):
        read_folder(tmp_path)


def test_zips_may_lie_in_a_folder_when_named(tmp_path: Path) -> None:
    full_folder(tmp_path)
    (tmp_path / "zips").mkdir()
    (tmp_path / "images.zip").rename(tmp_path / "zips" / "images.zip")
    text = (tmp_path / "annotations.csv").read_text()
    (tmp_path / "annotations.csv").write_text(text.replace(",images.zip", ",zips/images.zip"))
    assert readable(tmp_path) == 36


def test_the_same_track_number_in_two_classes_is_no_leak(tmp_path: Path) -> None:
    full_folder(tmp_path)
    lines = (tmp_path / "annotations.csv").read_text().splitlines()
    moved = [line.replace(",val", ",train") if line.startswith("1/00") else line for line in lines]
    (tmp_path / "annotations.csv").write_text("\n".join(moved))
    assert len(read_folder(tmp_path).of("val")) == 6


def test_tracks_without_split_are_split_by_track(tmp_path: Path) -> None:
    pictures = rows(5, 3)
    track_table(tmp_path, pictures)
    write_files(tmp_path, pictures)
    folder = split_by_track(read_folder(tmp_path))
    assert folder == split_by_track(read_folder(tmp_path))
    assert len(folder.of("val")) == 3 * 3
    held = {(s.index, s.track) for s in folder.of("val")}
    assert held.isdisjoint({(s.index, s.track) for s in folder.of("train")})
    assert {index for index, _ in held} == {0, 1, 2}
    others = {
        tuple(s.track for s in split_by_track(read_folder(tmp_path), seed).of("val"))
        for seed in range(8)
    }
    assert len(others) > 1


def test_neither_tracks_nor_split(tmp_path: Path) -> None:
    pictures = rows(5, 2)
    short_table(tmp_path, pictures)
    write_files(tmp_path, pictures)
    folder = read_folder(tmp_path)
    assert split_by_track(folder).splits == ()
    by_image = split_by_image(folder)
    assert by_image.splits == ("train", "val")
    assert len(by_image.of("val")) == 6


def test_a_leading_folder_in_the_zip_is_explained(tmp_path: Path) -> None:
    short_table(tmp_path, rows())
    write_zip(tmp_path / "pictures.zip", rows(), "Images/")
    with pytest.raises(BadContentError, match=r"pictures\.zip holds 'Images/0/00_0\.png' but"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path,class_id\nx.png,9\n", "line 2: class_id 9 is not in"),
        ("path,class_id\nx.png,red\n", "line 2: class_id 'red' is not a whole number"),
        ("path,class_id\n../x.png,1\n", "must lie inside the folder"),
        ("path,class_id,archive\nx.png,1,../x.zip\n", "must lie inside the folder"),
        ("path,class_id\n,1\n", "must lie inside the folder"),
        ("path,class_id\n/etc/x.png,1\n", "must lie inside the folder"),
        (
            "path,class_id,archive\nx.png,1,no.zip\n",
            r"archive 'no\.zip' is annotated but not there",
        ),
        ("path,class_id\nx.png,1\n", "none of 1 annotated images is there"),
        ("path,class_id\n", "no rows"),
        (
            "file,class_id\nx.png,1\n",
            r"exactly one CSV .* no such one among a\.csv \(file, class_id\)",
        ),
        (
            "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n0.ppm;29;30;5;6;24;25;1\n",
            r"a\.csv \(filename, width, height, roi\.x1, roi\.y1, roi\.x2, roi\.y2, classid\)",
        ),
        (
            "path,class_id,roi_x1,roi_y1,roi_x2,roi_y2\nx.png,1,5,5,5,9\n",
            "roi .* is empty or negative",
        ),
    ],
)
def test_wrong_annotations_are_refused_with_their_place(
    tmp_path: Path, table: str, message: str
) -> None:
    write_classes(tmp_path)
    (tmp_path / "a.csv").write_text(table)
    with pytest.raises(BadContentError, match=message):
        read_folder(tmp_path)


def test_semicolons_and_a_byte_order_mark_are_read_too(tmp_path: Path) -> None:
    write_classes(tmp_path)
    write_files(tmp_path, rows(1, 1))
    lines = "\r\n".join(["path;class_id", *(f"{r.path};{r.index}" for r in rows(1, 1))])
    (tmp_path / "a.csv").write_text("\ufeff" + lines, encoding="utf-8")
    assert readable(tmp_path) == len(rows(1, 1))


def test_two_annotation_files_are_refused_by_name(tmp_path: Path) -> None:
    short_table(tmp_path, rows(1, 1))
    write_table(tmp_path / "other.csv", ("path", "class_id"), [("x.png", 1)])
    with pytest.raises(BadContentError, match=r"any-name\.csv, other\.csv"):
        read_folder(tmp_path)


@pytest.mark.parametrize("classes", ["id,name\n0,a\n1,b\n", "class_id,name\n0,a\n0,b\n",
                                     "class_id,name\n0,a\n"])  # fmt: skip
def test_wrong_classes_are_refused(tmp_path: Path, classes: str) -> None:
    (tmp_path / "classes.csv").write_text(classes)
    with pytest.raises(BadContentError, match=r"classes\.csv"):
        read_folder(tmp_path)


def test_broken_places(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="not a folder"):
        read_folder(tmp_path / "nowhere")
    short_table(tmp_path, rows(1, 1))
    (tmp_path / "pictures.zip").write_bytes(b"PK but no zip")
    with pytest.raises(BadContentError, match=r"pictures\.zip: not a zip"):
        read_folder(tmp_path)


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadContentError, match="no split 'test'; it has: train, val"):
        read_folder(full_folder(tmp_path)).of("test")


@pytest.mark.data
def test_the_real_folder(data_dir: Path) -> None:
    folder = read_folder(data_dir / "gtsrb")
    assert (len(folder.labels), len(folder.samples), len(folder.of("val"))) == (43, 39_209, 7_830)
    assert folder.missing == ()
    assert all(not isinstance(i, str) for _, i in decode(folder, folder.samples[::500]))
