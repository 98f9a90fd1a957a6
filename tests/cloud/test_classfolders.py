import shutil
from pathlib import Path

import numpy as np
import pytest

from agent.contract.errors import BadContentError
from cloud.data import decode, read_folder, split_by_image
from tests.drawn_folder import class_folders, empty_png, rows, write_classes, write_table

NAMES = ("disc", "points_left", "points_right")


def test_a_folder_a_class(tmp_path: Path) -> None:
    pictures = rows(2, 2)
    folder = read_folder(class_folders(tmp_path, pictures))
    assert folder.labels == NAMES
    assert folder.splits == ()
    assert not folder.ordered
    assert len(folder.samples) == len(pictures)
    decoded = list(decode(folder, folder.samples))
    for (sample, image), row in zip(decoded, pictures, strict=True):
        assert sample.index == row.index
        assert np.array_equal(image, row.image)


def test_train_and_val_are_splits(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", rows(2, 2))
    class_folders(tmp_path / "val", rows(1, 1))
    folder = read_folder(tmp_path)
    assert folder.labels == NAMES
    assert folder.splits == ("train", "val")
    assert [s.path for s in folder.of("val")] == [f"val/{n}/00{i}.png" for i, n in enumerate(NAMES)]
    assert all(not isinstance(i, str) for _, i in decode(folder, folder.samples))


def test_a_class_may_be_missing_from_a_split(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", rows(1, 1))
    class_folders(tmp_path / "test", rows(1, 1))
    shutil.rmtree(tmp_path / "test" / "points_left")
    assert [s.index for s in read_folder(tmp_path).of("test")] == [0, 2]


def test_what_is_no_image_is_refused_by_name_and_the_rest_goes_on(tmp_path: Path) -> None:
    class_folders(tmp_path, rows(1, 2))
    (tmp_path / "README.md").write_text("not an image, and nobody minds")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "disc" / ".hidden").write_text("x")
    (tmp_path / "disc" / "notes.txt").write_text("x")
    (tmp_path / "points_left" / "broken.png").write_bytes(empty_png())
    folder = read_folder(tmp_path)
    refused = [s.name for s, image in decode(folder, folder.samples) if isinstance(image, str)]
    assert refused == ["disc/notes.txt", "points_left/broken.png"]
    assert len(folder.samples) == 8


def test_the_hash_follows_names_and_sizes(tmp_path: Path) -> None:
    class_folders(tmp_path, rows(1, 2))
    before = read_folder(tmp_path).sha256
    assert read_folder(tmp_path).sha256 == before
    with (tmp_path / "disc" / "000.png").open("ab") as file:
        file.write(b"x")
    longer = read_folder(tmp_path).sha256
    assert longer != before
    (tmp_path / "disc" / "000.png").rename(tmp_path / "disc" / "00a.png")
    assert read_folder(tmp_path).sha256 != longer


def test_images_are_held_back_one_by_one_and_always_the_same(tmp_path: Path) -> None:
    folder = read_folder(class_folders(tmp_path, rows(5, 2)))
    held = split_by_image(folder).of("val")
    assert [s.index for s in held] == [0, 0, 1, 1, 2, 2]
    assert held == split_by_image(read_folder(tmp_path)).of("val")


def test_broken_layouts_are_named(tmp_path: Path) -> None:
    root = class_folders(tmp_path, rows(1, 1))
    loose = root / "loose.png"
    shutil.copy(root / "disc" / "000.png", loose)
    with pytest.raises(BadContentError, match=r"loose\.png: an image beside class folders"):
        read_folder(root)
    loose.unlink()
    (root / "val").mkdir()
    with pytest.raises(BadContentError, match=r"val/ beside disc/: put every class into val/"):
        read_folder(root)
    (root / "val").rmdir()
    (root / "empty").mkdir()
    with pytest.raises(BadContentError, match=r"empty: no image of this class"):
        read_folder(root)
    (root / "empty" / "deeper").mkdir()
    with pytest.raises(BadContentError, match=r"empty: holds the folder deeper/"):
        read_folder(root)


def test_one_class_is_none(tmp_path: Path) -> None:
    class_folders(tmp_path, rows(1, 1)[:1])
    with pytest.raises(BadContentError, match="1 folders of images, need one for each"):
        read_folder(tmp_path)


def test_mixed_with_a_table(tmp_path: Path) -> None:
    class_folders(tmp_path, rows(1, 1))
    write_table(tmp_path / "a.csv", ("path", "class_id"), [("x.png", 1)])
    with pytest.raises(BadContentError, match=r"no classes\.csv .* beside a\.csv"):
        read_folder(tmp_path)
    (tmp_path / "a.csv").unlink()
    write_classes(tmp_path)
    with pytest.raises(BadContentError, match=r"exactly one CSV with columns path,class_id"):
        read_folder(tmp_path)


def test_nothing_at_all(tmp_path: Path) -> None:
    with pytest.raises(BadContentError, match=r"no folder per class and no \.npz"):
        read_folder(tmp_path)


@pytest.mark.data
def test_the_real_folder(data_dir: Path) -> None:
    folder = read_folder(data_dir / "other" / "plantvillage-apple")
    assert folder.labels == ("Apple_scab", "Black_rot", "Cedar_apple_rust", "healthy")
    assert len(folder.samples) == 400
    assert all(not isinstance(i, str) for _, i in decode(folder, folder.samples[::40]))
