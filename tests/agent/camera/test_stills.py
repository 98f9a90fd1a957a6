import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.camera.stills import StillsSource, decode_image
from agent.contract.errors import BadContentError, UnavailableError
from tests.makers import jpeg, picture


def read_all(source: StillsSource, most: int = 1000) -> tuple[list[int], list[str]]:
    """Numbers of the pictures, and what was said about those that could not be read."""
    numbers: list[int] = []
    problems: list[str] = []
    source.open()
    while len(numbers) < most:
        try:
            shot = source.read()
        except BadContentError as error:
            problems.append(str(error))
            continue
        if shot is None:
            break
        numbers.append(shot.number)
    source.close()
    return numbers, problems


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine readable pictures: 0-1 a folder, 2-6 a zip, 7-8 files."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.jpg").write_bytes(jpeg(0))
    (tmp_path / "a" / "1.JPG").write_bytes(jpeg(1))
    (tmp_path / "x.jpg").write_bytes(jpeg(7))
    (tmp_path / "y.png").write_bytes(cv2.imencode(".png", picture(8))[1].tobytes())
    (tmp_path / "notes.csv").write_text("no picture", encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "a" / "z.zip", "w") as archive:
        for i in (3, 2, 4, 6, 5):
            archive.writestr(f"deep/{i}.jpg", jpeg(i))
        archive.writestr("deep/readme.txt", "no picture")
    return tmp_path


def test_folders_and_zips_in_order(folder: Path) -> None:
    source = StillsSource(f"dir://{folder}")
    source.open()
    means = []
    while (shot := source.read()) is not None:
        means.append(shot.image.mean())
    # Files of a folder come before its sub-folders.
    seeds = [7, 8, 0, 1, 2, 3, 4, 5, 6]
    wanted = [decode_image(jpeg(s), "").mean() for s in seeds]
    assert means == pytest.approx(wanted, abs=2.0)
    assert (source.live, source.still) == (False, True)


def test_limit_every_and_loop(folder: Path) -> None:
    assert read_all(StillsSource(f"dir://{folder}?limit=4"))[0] == [0, 1, 2, 3]
    assert read_all(StillsSource(f"dir://{folder}?every=4"))[0] == [0, 4, 8]
    assert read_all(StillsSource(f"dir://{folder}?every=2&limit=3"))[0] == [0, 2, 4]
    assert read_all(StillsSource(f"dir://{folder}?limit=2&loop=1"), 5)[0] == [0, 1, 0, 1, 0]


def test_unreadable_pictures_are_named_and_passed_over(folder: Path) -> None:
    (folder / "a" / "00.jpg").write_bytes(b"\xff\xd8\xffbroken")
    (folder / "a" / "01.jpg").write_bytes(b"")
    (folder / "b.zip").write_bytes(b"no zip file")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    numbers, problems = read_all(StillsSource(f"dir://{folder}"))
    assert len(numbers) == 9
    assert len(problems) == 4
    for name in ("00.jpg", "01.jpg", "b.zip", "gone.png"):
        assert any(name in problem for problem in problems), name


def test_a_damaged_member_of_a_zip_is_named(folder: Path) -> None:
    path = folder / "a" / "z.zip"
    data = bytearray(path.read_bytes())
    place = data.find(jpeg(4)) + 200
    data[place] ^= 0xFF
    path.write_bytes(bytes(data))
    numbers, problems = read_all(StillsSource(f"dir://{folder}"))
    assert len(numbers) == 8
    assert len(problems) == 1
    assert "z.zip/deep/4.jpg" in problems[0]


def test_a_looped_folder_with_nothing_readable_goes_on_saying_so(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"broken")
    source = StillsSource(f"dir://{tmp_path}?loop=1")
    source.open()
    for _ in range(3):
        with pytest.raises(BadContentError, match=r"a\.jpg"):
            source.read()


def test_size_and_colour_may_change_from_picture_to_picture(tmp_path: Path) -> None:
    grey = np.full((5, 9), 100, np.uint8)
    deep = np.full((7, 3, 4), 40_000, np.uint16)
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", grey)[1].tobytes())
    (tmp_path / "b.png").write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    source = StillsSource(f"dir://{tmp_path}")
    source.open()
    shapes = [shot.image.shape for shot in (source.read(), source.read()) if shot]
    assert shapes == [(5, 9, 3), (7, 3, 3)]


def test_a_missing_folder_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="nowhere: no such folder"):
        StillsSource(f"dir://{tmp_path}/nowhere").open()
    with pytest.raises(BadContentError, match=r"no pictures in it .*\.jpg"):
        StillsSource(f"dir://{tmp_path}").open()


@pytest.mark.data
def test_the_zips_of_a_real_set(data_dir: Path) -> None:
    source = StillsSource(f"dir://{data_dir}/gtsrb?every=1000")
    numbers, problems = read_all(source)
    assert numbers == list(range(0, 39_209, 1000))
    assert problems == []
