import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.contract.config import Point
from agent.privacy import apply_masks
from agent.vision.types import Image

LEFT: tuple[Point, ...] = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
share = st.floats(0, 1)


def white(height: int, width: int) -> Image:
    return np.full((height, width, 3), 255, np.uint8)


@settings(deadline=None)
@given(
    corners=st.lists(st.tuples(share, share), min_size=3, max_size=3),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
)
def test_no_pixel_that_a_triangle_touches_survives(
    corners: list[Point], height: int, width: int
) -> None:
    masked = apply_masks(white(height, width), [corners])
    polygon = np.array(corners, np.float32) * np.array([width, height], np.float32)
    for y, x in np.argwhere(masked.any(axis=2)):
        # Nothing of the polygon in the surviving pixel x..x+1, y..y+1.
        for dx, dy in ((0.5, 0.5), (0.01, 0.01), (0.99, 0.01), (0.01, 0.99), (0.99, 0.99)):
            inside = cv2.pointPolygonTest(polygon, (float(x + dx), float(y + dy)), False)  # noqa: FBT003
            assert inside < 0, (x, y)


def test_what_is_not_masked_stays() -> None:
    masked = apply_masks(white(40, 60), [LEFT])
    assert not masked[:, :30].any()
    assert (masked[:, 33:] == 255).all()


def test_the_whole_frame() -> None:
    whole: tuple[Point, ...] = ((0, 0), (1, 0), (1, 1), (0, 1))
    assert not apply_masks(white(31, 17), [whole]).any()


def test_overlapping_masks_do_not_uncover_each_other() -> None:
    middle: tuple[Point, ...] = ((0.25, 0.0), (0.75, 0.0), (0.75, 1.0), (0.25, 1.0))
    assert not apply_masks(white(40, 60), [LEFT, middle, LEFT])[:, :45].any()


def test_it_works_in_place() -> None:
    image = white(10, 10)
    assert apply_masks(image, [LEFT]) is image


@pytest.mark.parametrize("kind", ["strided", "read-only"])
def test_memory_that_cannot_be_written_through_is_copied(kind: str) -> None:
    image = white(40, 40)[::2, ::2] if kind == "strided" else white(20, 20)
    if kind == "read-only":
        image.flags.writeable = False
    masked = apply_masks(image, [LEFT])
    assert not masked[:, :10].any()


def test_without_masks_nothing_happens() -> None:
    image = white(4, 4)
    assert apply_masks(image, ()) is image
    assert (image == 255).all()
