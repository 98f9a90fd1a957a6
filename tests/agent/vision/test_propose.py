"""Where to look: whole frame, zones, motion."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contract.errors import BadContentError
from agent.contract.profile import ProposeConfig
from agent.vision.engine import Engine, read_model
from agent.vision.motion import MotionDetector
from agent.vision.propose import make_proposer
from agent.vision.shipped import shipped_model
from agent.vision.types import Box, Image
from cloud.scenes import held_back, read_picture, read_scenes

SHAPE = (240, 320, 3)


def room(rng: np.random.Generator, light: float = 0.0, noise: float = 3.0) -> Image:
    """A textured room with camera noise."""
    base = np.random.default_rng(1).uniform(60, 150, (24, 32, 3)).repeat(10, 0).repeat(10, 1)
    return np.clip(base + light + rng.normal(0, noise, SHAPE), 0, 255).astype(np.uint8)


def with_object(image: Image, x: int, y: int = 80, side: int = 60) -> Image:
    image[y : y + side, x : x + side] = (10, 200, 250)
    return image


def settled(light: float = 0.0, noise: float = 3.0) -> tuple[MotionDetector, np.random.Generator]:
    rng, motion = np.random.default_rng(3), MotionDetector(16, 4)
    for _ in range(30):
        motion.propose(room(rng, light, noise))
    return motion, rng


def test_whole_frame() -> None:
    image = np.zeros(SHAPE, np.uint8)
    (region,) = make_proposer(ProposeConfig(), None).propose(image)
    assert region.box == Box(0, 0, 320, 240)


@given(
    st.tuples(st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.0001, 1), st.floats(0.0001, 1)),
    st.integers(1, 300),
    st.integers(1, 300),
)
def test_zones_are_never_empty_and_inside(
    zone: tuple[float, float, float, float], height: int, width: int
) -> None:
    x, y, w, h = zone
    x1, y1 = min(1.0, x + w), min(1.0, y + h)
    config = ProposeConfig(kind="zones", zones=((x, y, x1, y1),))
    (region,) = make_proposer(config, None).propose(np.zeros((height, width, 3), np.uint8))
    box = region.box
    assert 0 <= box.x0 < box.x1 <= width
    assert 0 <= box.y0 < box.y1 <= height


def test_a_detector_is_needed_where_one_proposes() -> None:
    with pytest.raises(BadContentError, match=r"\[model\] detector"):
        make_proposer(ProposeConfig(kind="detector"), None)


def test_nothing_moves_in_noise() -> None:
    motion, rng = settled(noise=8.0)
    assert not any(motion.propose(room(rng, noise=8.0)) for _ in range(100))


def test_light_that_changes_slowly_or_as_a_whole_is_no_motion() -> None:
    motion, rng = settled()
    assert not any(motion.propose(room(rng, light=0.4 * n)) for n in range(100))
    assert not motion.propose(room(rng, light=70))


def test_what_moves_is_found_where_it_is() -> None:
    motion, rng = settled()
    for x in range(20, 240, 8):
        (region,) = motion.propose(with_object(room(rng), x))
        assert region.box.overlap(Box(x, 80, x + 60, 140)) > 0.6
        assert 0.5 < region.score <= 1


def test_two_movers_are_two_regions_and_the_limit_holds() -> None:
    motion, rng = settled()
    both = with_object(with_object(room(rng), 20), 200, side=90)
    regions = motion.propose(both)
    assert [r.box.x0 // 100 for r in regions] == [1, 0]  # the larger first
    few = MotionDetector(16, 1)
    few.propose(room(rng))
    assert len(few.propose(both)) == 1


def test_small_movers_are_left_out() -> None:
    motion, rng = settled()
    assert motion.propose(with_object(room(rng), 100, side=8)) == ()


def test_what_stops_becomes_background_in_time() -> None:
    motion, rng = settled()
    assert motion.propose(with_object(room(rng), 100))
    images = [with_object(room(rng), 100) for _ in range(10)]
    for n in range(500):
        last = motion.propose(images[n % 10])
    assert last == ()


def test_another_frame_size_starts_anew() -> None:
    motion, _ = settled()
    assert motion.propose(np.full((480, 800, 3), 90, np.uint8)) == ()
    assert motion.propose(np.full((480, 800, 3), 90, np.uint8)) == ()


def test_colour_proposes_a_red_patch() -> None:
    image = np.full((240, 320, 3), 120, np.uint8)
    image[60:110, 100:150] = (20, 20, 200)
    config = ProposeConfig(kind="colour", min_size=16, max_regions=4)
    regions = make_proposer(config, None).propose(image)
    assert any(r.box.overlap(Box(100, 60, 150, 110)) > 0.4 for r in regions)


def test_colour_adds_what_the_detector_does_not_touch(data_dir: Path) -> None:
    """A real stop sign for the detector, and a plain red patch that no detector takes for one."""
    scenes = read_scenes(data_dir / "detection-frames").scenes
    scene = next(s for s in scenes if s.name in held_back(scenes) and s.objects[0].label == "stop")
    image = read_picture(scene)
    height = image.shape[0]
    image[height - 40 : height - 4, 4:40] = (20, 20, 220)
    patch = Box(4, height - 40, 40, height - 4)
    detector = Engine(read_model(shipped_model("sign-detector.tflite")))
    config = ProposeConfig(kind="detector+colour", min_size=16, max_regions=8)
    regions = make_proposer(config, detector).propose(image)
    alone = make_proposer(config.model_copy(update={"kind": "detector"}), detector).propose(image)
    assert regions[: len(alone)] == alone
    assert any(r.box.overlap(scene.objects[0].box) > 0.5 for r in alone)
    assert not any(r.box.overlap(patch) > 0.5 for r in alone)
    assert any(r.box.overlap(patch) > 0.5 for r in regions)
    for extra in regions[len(alone) :]:
        assert all(extra.box.overlap(r.box) == 0 for r in alone)
    few = config.model_copy(update={"max_regions": len(alone)})
    assert make_proposer(few, detector).propose(image) == alone
