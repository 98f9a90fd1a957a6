from itertools import pairwise

import cv2
import numpy as np
import pytest

from agent.contract.codec import MAX_LOOK_BYTES, Look, encode_look
from agent.contract.config import Settings
from agent.contract.errors import BadContentError
from agent.crops import encode_context, encode_crop, fit_jpeg, sharpness
from agent.vision.types import Box
from tests.makers import meta, picture

NOISE = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), np.uint8)


def size_of(data: bytes) -> tuple[int, int]:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image.shape[1], image.shape[0]


def test_a_crop_keeps_its_shape_and_stays_within_its_limits() -> None:
    settings = Settings(crop_max_side=96, crop_max_bytes=3_000)
    data = encode_crop(NOISE, Box(100, 100, 500, 300), settings)
    width, height = size_of(data)
    assert len(data) <= 3_000
    assert width <= 96
    assert abs(width / height - 2) < 0.1


def test_a_small_region_is_not_scaled_up() -> None:
    assert size_of(encode_crop(NOISE, Box(0, 0, 20, 24), Settings())) == (20, 24)


def test_less_room_means_less_picture_and_no_room_is_an_error() -> None:
    sizes = [len(fit_jpeg(NOISE[:96, :96], 96, 85, limit)) for limit in (6_000, 3_000, 1_500, 800)]
    assert all(a > b for a, b in pairwise(sizes)), sizes
    with pytest.raises(BadContentError, match="does not fit"):
        fit_jpeg(NOISE[:96, :96], 96, 85, 200)


@pytest.mark.parametrize("context", ["thumbnail", "frame"])
def test_a_look_with_context_never_passes_the_limit(context: str) -> None:
    crop = encode_crop(
        NOISE, Box(0, 0, 900, 900), Settings(crop_max_bytes=60_000, crop_max_side=512)
    )
    extra = encode_context(NOISE, "frame" if context == "frame" else "thumbnail", len(crop))
    assert len(encode_look(Look(meta(context=context), crop, extra))) <= MAX_LOOK_BYTES
    assert extra


def test_no_context_by_default() -> None:
    assert encode_context(NOISE, Settings().context, 0) == b""


def test_sharpness_falls_with_blur_and_with_enlarging_not_with_fog() -> None:
    sharp = np.ascontiguousarray(NOISE[:96, :96])
    box = Box(0, 0, 96, 96)
    blurred = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 2.0), np.uint8)
    small = np.asarray(cv2.resize(blurred, (12, 12), interpolation=cv2.INTER_AREA), np.uint8)
    foggy = np.asarray(120 + sharp * 0.5, np.uint8)
    assert sharpness(sharp, box) > 2 * sharpness(blurred, box)
    assert sharpness(blurred, box) > 0
    assert sharpness(picture(1, 96), box) < sharpness(sharp, box)
    assert sharpness(small, Box(0, 0, 12, 12)) < sharpness(sharp, box)
    assert sharpness(foggy, box) > 0.8 * sharpness(sharp, box)


def test_a_flat_region_is_not_sharp() -> None:
    flat = np.full((50, 50, 3), 90, np.uint8)
    flat[::2] += 1
    assert sharpness(flat, Box(0, 0, 50, 50)) < 0.5
