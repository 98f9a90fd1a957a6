from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.contract.errors import BadContentError
from cloud.data import decode, read_folder
from tests.drawn_folder import LABELS, class_folders, packed, rows, write_classes


@pytest.mark.parametrize("root", ["", "set.npz"])
def test_the_folder_or_the_file_itself(tmp_path: Path, root: str) -> None:
    packed(tmp_path / "set.npz")
    folder = read_folder(tmp_path / root)
    assert folder.labels == ("0", "1", "2")
    assert folder.name == "set.npz"
    assert folder.splits == ("train", "val")
    assert (len(folder.of("train")), len(folder.of("val"))) == (24, 9)
    assert [s.index for s in folder.of("val")] == [0, 1, 2] * 3
    images = [image for _, image in decode(folder, folder.of("val"))]
    assert all(not isinstance(i, str) and i.shape == (28, 28, 3) for i in images)


def test_colours_are_rgb_in_the_file_and_bgr_for_us(tmp_path: Path) -> None:
    red = np.zeros((4, 8, 8, 3), np.uint8)
    red[..., 0] = 200
    labels = np.array([0, 1, 2, 0])
    packed(tmp_path / "set.npz", val_images=red, val_labels=labels)
    folder = read_folder(tmp_path)
    (_, image), *_ = decode(folder, folder.of("val"))
    assert not isinstance(image, str)
    assert image[0, 0].tolist() == [0, 0, 200]


def test_grey_images_and_flat_labels(tmp_path: Path) -> None:
    grey = np.arange(3 * 6 * 5, dtype=np.uint8).reshape(3, 6, 5)
    packed(tmp_path / "set.npz", val_images=grey, val_labels=np.array([2, 1, 0], np.int32))
    folder = read_folder(tmp_path)
    decoded = list(decode(folder, folder.of("val")))
    assert [s.index for s, _ in decoded] == [2, 1, 0]
    for n, (_, image) in enumerate(decoded):
        assert not isinstance(image, str)
        assert np.array_equal(image, np.repeat(grey[n][..., None], 3, axis=2))


def test_classes_csv_gives_names(tmp_path: Path) -> None:
    packed(tmp_path / "set.npz")
    write_classes(tmp_path)
    assert read_folder(tmp_path).labels == read_folder(tmp_path / "set.npz").labels == LABELS
    (tmp_path / "classes.csv").write_text("class_id,name\n0,a\n1,b\n")
    with pytest.raises(BadContentError, match=r"set\.npz: label 2 is not in classes\.csv"):
        read_folder(tmp_path)


def test_the_hash_is_of_the_file(tmp_path: Path) -> None:
    packed(tmp_path / "set.npz")
    before = read_folder(tmp_path).sha256
    packed(tmp_path / "set.npz", val_labels=np.zeros(9, np.uint8))
    assert read_folder(tmp_path).sha256 != before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_labels": None}, "no array 'val_labels'"),
        ({"val_labels": np.zeros(8, int)}, r"val_labels are int64 \(8,\); need .* 9 images"),
        ({"val_labels": np.zeros((9, 3), int)}, r"val_labels are int64 \(9, 3\)"),
        ({"val_labels": np.zeros(9)}, "val_labels are float64"),
        ({"val_images": np.zeros((9, 8, 8))}, r"val_images are float64 \(9, 8, 8\); need uint8"),
        ({"val_images": np.zeros((9, 8, 8, 4), np.uint8)}, r"uint8 \(9, 8, 8, 4\)"),
        ({"val_images": np.zeros((9, 0, 8), np.uint8)}, r"uint8 \(9, 0, 8\)"),
        ({"val_images": np.array([{}] * 9)}, "val_images: Object arrays cannot be loaded"),
        ({"train_images": None, "val_images": None}, "0 classes, need at least 2"),
        ({"train_images": None, "val_labels": np.ones(9, int)}, "1 classes, need at least 2"),
    ],
)
def test_wrong_arrays_are_named(
    tmp_path: Path,
    changes: dict[str, Any],
    message: str,
) -> None:
    packed(tmp_path / "set.npz", **changes)
    with pytest.raises(BadContentError, match=rf"set\.npz: .*{message}|set\.npz: {message}"):
        read_folder(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"no zip at all"])
def test_what_is_no_npz(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "set.npz").write_bytes(content)
    with pytest.raises(BadContentError, match=r"set\.npz: not an \.npz"):
        read_folder(tmp_path)


def test_a_bare_array_and_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(BadContentError, match=r"not an \.npz with named arrays"):
        read_folder(path)
    data = bytearray(packed(path).read_bytes())
    data[200:260] = bytes(60)
    path.write_bytes(data)
    with pytest.raises(BadContentError, match=r"set\.npz: train_images: .*copy it again"):
        read_folder(path)


def test_two_data_sets_are_refused(tmp_path: Path) -> None:
    packed(tmp_path / "a.npz")
    packed(tmp_path / "b.npz")
    with pytest.raises(BadContentError, match=r"a\.npz beside b\.npz: more than one data set"):
        read_folder(tmp_path)
    (tmp_path / "b.npz").unlink()
    class_folders(tmp_path, rows(1, 1))
    with pytest.raises(BadContentError, match=r"a\.npz beside disc: .*name the \.npz itself"):
        read_folder(tmp_path)
    assert len(read_folder(tmp_path / "a.npz").samples) == 33


@pytest.mark.data
def test_the_real_file(data_dir: Path) -> None:
    folder = read_folder(data_dir / "other" / "pneumoniamnist-train-val.npz")
    assert (len(folder.of("train")), len(folder.of("val"))) == (2428, 270)
    (_, image), *_ = decode(folder, folder.samples[:1])
    assert not isinstance(image, str)
    assert image.shape == (28, 28, 3)
