import cv2
import numpy as np
import pytest

from agent.camera.scene.foreign import FOREIGN, draw_foreign
from agent.camera.scene.pen import Sprite
from agent.camera.scene.signs import LABELS, SIDE, draw_sign
from agent.contract.errors import BadContentError
from agent.vision.engine import Engine, read_model
from agent.vision.shipped import load_profile, shipped_model
from agent.vision.types import Box, Image, Region

VIEWS = 8


def test_at_least_24_classes_of_the_profile_are_drawn() -> None:
    assert len(set(LABELS)) == len(LABELS) >= 24
    assert set(LABELS) <= set(load_profile("traffic-signs").labels)


def test_puzzles_are_no_class_of_the_profile() -> None:
    assert not set(FOREIGN) & set(load_profile("traffic-signs").labels)


@pytest.mark.parametrize("label", LABELS)
def test_a_sign_fills_its_picture_and_is_not_flat(label: str) -> None:
    sprite = draw_sign(label)
    assert max(sprite.alpha.shape) >= 0.9 * SIDE
    for edge in (sprite.alpha[0], sprite.alpha[-1], sprite.alpha[:, 0], sprite.alpha[:, -1]):
        assert edge.max() > 127
    assert sprite.bgr[sprite.alpha > 200].std() > 30


def test_no_two_signs_look_the_same() -> None:
    sprites = [draw_sign(label) for label in LABELS] + [draw_foreign(name) for name in FOREIGN]
    small = [cv2.resize(s.bgr, (40, 40), interpolation=cv2.INTER_AREA).ravel() for s in sprites]
    for i, one in enumerate(small):
        for other in small[i + 1 :]:
            assert np.abs(one.astype(int) - other.astype(int)).mean() > 2


def test_an_unknown_sign_is_refused_by_name() -> None:
    with pytest.raises(BadContentError, match="Speed limit \\(55km/h\\)"):
        draw_sign("Speed limit (55km/h)")


def view(sprite: Sprite, rng: np.random.Generator) -> tuple[Image, Box]:
    """A near and sharp sign before patches of colour, its box a pixel or two wrong."""
    side = 160
    size = rng.uniform(48, 100) / max(sprite.alpha.shape)
    wide, high = (round(n * size) for n in sprite.alpha.shape[::-1])
    bgr = cv2.resize(sprite.bgr, (wide, high), interpolation=cv2.INTER_AREA)
    alpha = cv2.resize(sprite.alpha, (wide, high), interpolation=cv2.INTER_AREA)
    turn = cv2.getRotationMatrix2D((wide / 2, high / 2), rng.normal(0, 3), 1.0)
    turn[:, 2] += (side - wide) / 2, (side - high) / 2
    cover = cv2.warpAffine(alpha, turn, (side, side)).astype(np.float32)[..., None] / 255
    sign = cv2.warpAffine(bgr, turn, (side, side)) * rng.uniform(0.6, 1.05)
    ground = cv2.resize(rng.uniform(30, 200, (8, 8, 3)), (side, side))
    image = np.clip(sign * cover + ground * (1 - cover), 0, 255).astype(np.uint8)
    ys, xs = np.nonzero(cover[..., 0] > 0.5)
    x0, y0, x1, y1 = (int(n) for n in (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
    a, b, c, d = (int(n) for n in rng.integers(-2, 3, 4))
    return image, Box(x0 + a, y0 + b, x1 + c, y1 + d)


def test_the_shipped_model_reads_near_sharp_signs() -> None:
    engine = Engine(read_model(shipped_model(load_profile("traffic-signs").model)))
    rng = np.random.default_rng(11)
    right = dict.fromkeys(LABELS, 0)
    for label in LABELS:
        for _ in range(VIEWS):
            image, box = view(draw_sign(label), rng)
            right[label] += engine.classify(image, Region(box)).label == label
    assert sum(right.values()) >= 0.9 * VIEWS * len(LABELS), right
    assert sum(hits >= VIEWS / 2 for hits in right.values()) >= 24, right
