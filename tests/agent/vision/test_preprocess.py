"""From pixels to the input tensor."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contract.errors import BadContentError
from agent.vision.preprocess import (
    Quantisation,
    difference_hash,
    fill_input,
    hash_distance,
    pixel_table,
    region_hash,
)
from agent.vision.types import Box, Image
from tests import makers

INTEGERS = st.sampled_from([np.dtype(np.uint8), np.dtype(np.int8)])


def noise(height: int = 40, width: int = 60, seed: int = 1) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@given(
    INTEGERS,
    st.floats(1e-4, 1.0),
    st.integers(0, 255),
    st.floats(-2, 1),
    st.floats(0.1, 3),
)
def test_table_follows_the_formula(
    dtype: np.dtype[np.generic], scale: float, offset: int, low: float, span: float
) -> None:
    lowest = -128 if dtype == np.int8 else 0
    zero_point = lowest + offset
    table = pixel_table(dtype, Quantisation(scale, zero_point), (low, low + span))
    assert table.values.dtype == dtype
    for pixel in range(0, 256, 5):
        real = low + pixel / 255 * span
        exact = min(max(real / scale + zero_point, lowest), lowest + 255)
        assert abs(int(table.values[pixel]) - exact) <= 0.5 + 1e-6
    assert np.all(np.diff(table.values.astype(int)) >= 0)


@given(INTEGERS, st.floats(1e-4, 1.0), st.integers(-128, 127))
def test_without_a_range_pixels_span_the_whole_domain(
    dtype: np.dtype[np.generic], scale: float, zero_point: int
) -> None:
    table = pixel_table(dtype, Quantisation(scale, zero_point), None)
    lowest = -128 if dtype == np.int8 else 0
    assert table.offset == lowest
    assert np.array_equal(table.values.astype(int), np.arange(256) + lowest)


@given(st.floats(-3, 0), st.floats(0.1, 3))
def test_float_table(low: float, span: float) -> None:
    table = pixel_table(np.dtype(np.float32), Quantisation(0.0, 0), (low, low + span))
    expected = low + np.arange(256) / 255 * span
    assert np.abs(table.values.astype(float) - expected).max() < 1e-5


def test_unsupported_inputs_are_refused() -> None:
    with pytest.raises(BadContentError, match="pixel_range"):
        pixel_table(np.dtype(np.float32), Quantisation(0.0, 0), None)
    with pytest.raises(BadContentError, match="int16"):
        pixel_table(np.dtype(np.int16), Quantisation(1.0, 0), None)


@pytest.mark.parametrize("rgb", [True, False])
@pytest.mark.parametrize(
    ("dtype", "quantisation", "pixel_range"),
    [
        (np.uint8, Quantisation(1 / 255, 0), None),
        (np.int8, Quantisation(1 / 255, -128), None),
        (np.int8, Quantisation(0.013, 5), (-1.0, 1.0)),
        (np.float32, Quantisation(0.0, 0), (0.0, 1.0)),
    ],
)
def test_every_path_writes_what_the_table_says(
    dtype: type[np.generic],
    quantisation: Quantisation,
    pixel_range: tuple[float, float] | None,
    rgb: bool,
) -> None:
    table = pixel_table(np.dtype(dtype), quantisation, pixel_range)
    view = np.zeros((1, 16, 24, 3), dtype)
    small = fill_input(view, noise(), Box(3, 5, 50, 39), table, rgb)
    assert small.shape == (16, 24, 3)
    assert np.array_equal(view[0], table.values[small[..., ::-1] if rgb else small])


def test_same_size_is_copied_exactly() -> None:
    image, view = noise(16, 24), np.zeros((1, 16, 24, 3), np.uint8)
    table = pixel_table(np.dtype(np.uint8), Quantisation(1.0, 0), None)
    fill_input(view, image, Box(0, 0, 24, 16), table, rgb=False)
    assert np.array_equal(view[0], image)


@pytest.mark.parametrize(
    "box", [Box(-1, 0, 5, 5), Box(5, 5, 5, 9), Box(70, 0, 80, 9), Box(9, 9, 3, 3)]
)
def test_boxes_outside_are_refused(box: Box) -> None:
    table = pixel_table(np.dtype(np.uint8), Quantisation(1.0, 0), None)
    with pytest.raises(BadContentError, match="not inside"):
        fill_input(np.zeros((1, 8, 8, 3), np.uint8), noise(), box, table, rgb=True)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_hash_distance_counts_bits(a: int, b: int) -> None:
    assert hash_distance(a, b) == hash_distance(b, a) == sum((a ^ b) >> i & 1 for i in range(64))
    assert hash_distance(a, a) == 0


def test_the_hash_tells_one_region_from_another() -> None:
    image = makers.picture(1, side=200)
    one, same, other = (region_hash(image, Box(x, 20, x + 70, 90)) for x in (10, 10, 110))
    assert one == same
    assert hash_distance(one, other) > 8


def test_hash_knows_the_same_picture_in_other_light() -> None:
    soft = np.asarray(np.linspace(0, 180, 64 * 64 * 3).reshape(64, 64, 3), np.uint8)
    soft[20:40, 20:40] = 220
    assert hash_distance(difference_hash(soft), difference_hash(soft // 2)) <= 6
    assert hash_distance(difference_hash(soft), difference_hash(noise(64, 64))) > 12
