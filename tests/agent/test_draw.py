import logging
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.contract.errors import UnavailableError
from agent.draw import NOTHING, SEEN, UNSURE, Sketcher, sketch
from agent.vision.tracker import Tracked, Tracker
from agent.vision.types import Box, Frame, Prediction, Region
from tests.makers import NOW, prediction


def seen(box: tuple[int, int, int, int], *, index: int = 0, label: str = "Stop") -> Prediction:
    return replace(prediction(label), region=Region(Box(*box)), index=index, label=label)


def tracked(*predictions: Prediction, still: bool = True) -> tuple[Frame, Tracked]:
    frame = Frame("road", 7, NOW, np.full((100, 120, 3), 90, np.uint8), still)
    return frame, Tracker(os.urandom).update(frame, predictions)


def test_boxes_have_the_colour_of_what_they_are() -> None:
    frame, found = tracked(seen((10, 40, 40, 70)), seen((60, 40, 90, 70), index=-1, label=""))
    drawn = sketch(frame.image, found)
    scale = drawn.shape[0] // 100
    assert scale > 1, "small frames are enlarged"
    assert tuple(drawn[55 * scale, 10 * scale]) == SEEN
    assert tuple(drawn[55 * scale, 60 * scale]) == NOTHING
    assert frame.image.max() == 90, "the frame itself stays as it is"
    frame, found = tracked(replace(seen((10, 40, 40, 70)), margin=0.4))
    assert tuple(sketch(frame.image, found)[55 * scale, 10 * scale]) == UNSURE
    frame, found = tracked(seen((10, 40, 40, 70)), still=False)
    assert tuple(sketch(frame.image, found)[55 * scale, 10 * scale]) == UNSURE


def test_one_file_a_frame_and_not_for_ever(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    draw = Sketcher(tmp_path / "seen", 2)
    frame, found = tracked(seen((0, 0, 119, 99), label="Größe"))
    draw(frame, Tracked(()))
    for number in (1, 2, 3):
        draw(replace(frame, number=number), found)
    names = sorted(path.name for path in (tmp_path / "seen").iterdir())
    assert names == ["road-000001.png", "road-000002.png"]
    assert cv2.imread(str(tmp_path / "seen" / names[0])) is not None
    assert "drawing_stopped files=2" in caplog.text


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match=r"file/seen: .*; draw elsewhere"):
        Sketcher(tmp_path / "file" / "seen", 2)
    lost = Sketcher(tmp_path / "lost", 9)
    lost.folder.rmdir()
    lost(*tracked(seen((10, 40, 40, 70))))
    assert lost.written == 0
