"""What the benches of doubt choose and count; the figures themselves are no test's business."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.contract.errors import BadContentError
from agent.vision.types import Box
from bench.signs import DEVELOPMENT, Signs, read_signs
from bench.trigger_quality import ranking
from bench.unknown_inputs import MOST_A_SCENE, held_out, non_signs, touches
from cloud.outcomes import Outcome, Outcomes
from cloud.scenes import Marked, Scene
from tests.drawn_folder import full_folder


@pytest.fixture
def signs(tmp_path: Path) -> Signs:
    """The shipped model and twelve drawn pictures: three classes, one held-back track of four."""
    return read_signs(DEVELOPMENT, full_folder(tmp_path, tracks=2, frames=4), "val")


def test_each_nth_frame_of_every_track_is_chosen(signs: Signs) -> None:
    assert len(signs.every(1)) == 12
    for n, frames in ((2, ["0", "2"]), (3, ["0", "3"]), (9, ["0"])):
        chosen = [s.path for s, _ in signs.every(n)]
        assert chosen == [f"{c}/00_{frame}.png" for c in range(3) for frame in frames]


def test_non_signs_touch_nothing_marked_and_are_always_the_same() -> None:
    image = np.full((300, 400, 3), 128, np.uint8)
    for x in (60, 160, 300):
        cv2.circle(image, (x, 150), 25, (30, 30, 220), -1)
    marked = (Marked(Box(130, 120, 190, 180), "stop"), Marked(Box(0, 200, 400, 300), "stop"))
    scene = Scene("a.png", Path("a.png"), marked)
    found = non_signs(image, scene)
    assert found == non_signs(image, scene)
    assert len(found["by colour"]) == 2
    assert len(found["at random"]) == MOST_A_SCENE
    for box in (b for boxes in found.values() for b in boxes):
        assert 0 <= box.x0 < box.x1 <= 400
        assert 0 <= box.y0 < box.y1 <= 200
        assert not any(box.overlap(m.box) for m in marked)
    other = non_signs(image, Scene("b.png", Path("b.png"), marked))
    assert other["at random"] != found["at random"]


def test_the_margin_that_the_device_adds_must_not_reach_a_sign_either() -> None:
    sign = Box(100, 100, 140, 140)
    assert touches(Box(60, 100, 98, 138), sign)
    assert not touches(Box(40, 100, 78, 138), sign)


def test_of_ideal_divides_by_what_fits() -> None:
    # Two of ten are wrong and ranked first: 5 % of ten is half of one of two errors.
    found = ranking(
        Outcomes.of([Outcome(0, int(n < 2), 0.5, n / 10, 0, 0, 0, 0, str(n)) for n in range(10)]),
        "1 - margin",
    )
    assert found.auroc == 1.0
    assert found.caught == pytest.approx(0.25)
    assert found.of_ideal == pytest.approx(1.0)


def test_a_model_that_knows_every_class_has_nothing_held_out(tmp_path: Path) -> None:
    with pytest.raises(BadContentError, match="some but not all"):
        held_out(DEVELOPMENT, full_folder(tmp_path), "val", 1)
