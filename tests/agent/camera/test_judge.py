import numpy as np
import pytest

from agent.camera.judge import FrameJudge
from agent.vision.types import Image


def noise(seed: int, height: int = 48, width: int = 64) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def flat(value: int, height: int = 48, width: int = 64) -> Image:
    return np.full((height, width, 3), value, np.uint8)


def test_ordinary_frames_are_fine() -> None:
    judge = FrameJudge(live=True)
    for i in range(100):
        verdict = judge.judge(noise(i), i)
        assert (verdict.usable, verdict.condition) == (True, "ok")


def test_a_live_picture_that_never_changes_is_frozen_until_it_moves() -> None:
    judge = FrameJudge(live=True, frozen_after_s=30)
    same = noise(1)
    verdicts = [judge.judge(same, t) for t in range(32)]
    assert [v.usable for v in verdicts] == [True] * 30 + [False] * 2
    assert verdicts[-1].condition == "frozen"
    moved = judge.judge(noise(2), 32)
    assert (moved.usable, moved.condition) == (True, "ok")
    assert judge.judge(noise(2), 40).usable


def test_one_pixel_outside_the_grid_is_movement_enough() -> None:
    judge = FrameJudge(live=True, frozen_after_s=30)
    picture = noise(1, 480, 640)
    for t in range(120):
        picture[479, 639, 0] = t
        assert judge.judge(picture.copy(), t).usable, t


def test_one_changed_pixel_ends_a_freeze() -> None:
    judge = FrameJudge(live=True, frozen_after_s=30)
    picture = noise(1, 480, 640)
    for t in range(40):
        judge.judge(picture, t)
    picture = picture.copy()
    picture[479, 639] += 1
    assert judge.judge(picture, 41).usable


def test_files_never_freeze() -> None:
    judge = FrameJudge(live=False, frozen_after_s=30)
    same = noise(1)
    assert all(judge.judge(same, t).usable for t in range(100))


@pytest.mark.parametrize("shape", [(48, 64), (1, 1), (1080, 1920), (3, 2000)])
def test_a_black_still_is_black_at_once(shape: tuple[int, int]) -> None:
    judge = FrameJudge(live=False)
    assert judge.judge(flat(3, *shape), 0).condition == "black"
    assert not judge.judge(flat(3, *shape), 1).usable
    assert judge.judge(flat(90, *shape), 2).condition == "ok"


def test_a_live_camera_is_black_only_after_a_while() -> None:
    judge = FrameJudge(live=True, black_after_s=1)
    night = [flat(2 + i % 2) for i in range(30)]
    verdicts = [judge.judge(frame, i / 10) for i, frame in enumerate(night)]
    assert not any(v.usable for v in verdicts)
    assert [v.condition for v in verdicts] == ["ok"] * 10 + ["black"] * 20
    assert judge.judge(noise(1), 3).condition == "ok"


def test_a_flickering_lamp_is_no_black_camera() -> None:
    judge = FrameJudge(live=True, black_after_s=1)
    for i in range(100):
        dark = i % 2 == 0
        verdict = judge.judge(flat(1) if dark else noise(i), i / 10)
        assert (verdict.usable, verdict.condition) == (not dark, "ok")


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_picture_in_one_pure_colour_is_not_black(channel: int) -> None:
    picture = flat(0)
    picture[:, :, channel] = 255
    assert FrameJudge(live=True).judge(picture, 0).usable


def test_lights_at_night_are_not_black() -> None:
    picture = flat(2, 480, 640)
    picture[200:260, 300:400] = 250
    assert FrameJudge(live=True).judge(picture, 0).usable
