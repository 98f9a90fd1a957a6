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
    assert FrameJudge(live=False).judge(picture, 0).usable


def test_lights_at_night_are_not_black() -> None:
    picture = flat(2, 480, 640)
    picture[200:260, 300:400] = 250
    assert FrameJudge(live=True).judge(picture, 0).usable


def smooth(height: int = 480, width: int = 640, noise_level: float = 6.0) -> Image:
    """What a hand on the lens leaves: light that leaks in at one side, and noise."""
    across = np.linspace(20, 90, width)[None, :, None]
    rng = np.random.default_rng(3)
    return np.clip(across + rng.normal(0, noise_level, (height, width, 3)), 0, 255).astype(np.uint8)


def test_nothing_to_be_made_out_is_a_covered_lens_after_a_while() -> None:
    judge = FrameJudge(live=True)
    verdicts = [judge.judge(smooth(noise_level=t % 3 + 4), t) for t in range(15)]
    assert not any(v.usable for v in verdicts)
    assert [v.condition for v in verdicts] == ["ok"] * 10 + ["covered"] * 5
    person = smooth()
    person[200:300, 300:340] += 40
    seen = judge.judge(person, 16)
    assert (seen.usable, seen.condition) == (True, "ok")


def test_a_picture_without_contrast_is_no_covered_lens_where_somebody_chose_it() -> None:
    assert FrameJudge(live=False).judge(smooth(), 0).usable
    assert FrameJudge(live=False).judge(flat(255), 0).usable


@pytest.mark.parametrize("fill", [(128, 128, 128), (130, 130, 130), (0, 135, 0)])
def test_a_half_filled_picture_is_torn(fill: tuple[int, int, int]) -> None:
    judge = FrameJudge(live=True)
    for t in range(30):
        picture = noise(t, 240, 320)
        picture[120 + t :] = fill
        verdict = judge.judge(picture, t / 10)
        assert (verdict.usable, verdict.condition) == (False, "torn" if t >= 10 else "ok")
    assert judge.judge(noise(99, 240, 320), 4).condition == "ok"


@pytest.mark.parametrize(
    ("rows", "columns", "fill"),
    [(40, 300, 128), (40, 320, 0), (40, 320, 90), (20, 320, 128)],
    ids=["not from edge to edge", "black bar", "another grey", "a thin line"],
)
def test_bars_and_boxes_of_a_camera_are_not_torn(rows: int, columns: int, fill: int) -> None:
    picture = noise(1, 240, 320)
    picture[-rows:, :columns] = fill
    assert FrameJudge(live=True).judge(picture, 0).usable


def test_white_is_blinded_and_a_bright_scene_is_not() -> None:
    judge = FrameJudge(live=True)
    verdicts = [judge.judge(flat(253 + t % 3), t) for t in range(3)]
    assert [v.condition for v in verdicts] == ["ok", "blinded", "blinded"]
    snow = flat(250, 480, 640)
    snow[200:240, 100:140] = 180
    assert judge.judge(snow, 4).usable
