from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.contract.errors import BadContentError, UnavailableError
from agent.vision.types import Box
from cloud.scenes import Marked, held_back, pictures, read_picture, read_scenes

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
        ("c.png,60,40,stop,1,2,30,20", "'c.png' is annotated but not in frames"),
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
