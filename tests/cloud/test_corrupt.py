import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contract.errors import BadContentError
from agent.vision.types import Box, Image
from cloud.corrupt import KINDS, SEVERITIES, Kind, corrupt, parse_corruption, rng_of

ALL = pytest.mark.parametrize("kind", KINDS)


def sign(side: int) -> tuple[Image, Box]:
    """A red ring with a black bar on a street-grey ground; the box is four fifths of it."""
    large = np.full((400, 400, 3), (130, 135, 140), np.uint8)
    cv2.circle(large, (200, 200), 150, (235, 235, 235), -1)
    cv2.circle(large, (200, 200), 145, (40, 30, 190), 30)
    cv2.rectangle(large, (120, 180), (280, 220), (20, 20, 20), -1)
    image = np.asarray(cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    rim = side // 10
    return image, Box(rim, rim, side - rim, side - rim)


def harm(image: Image, box: Box, kind: Kind, severity: int, draws: int = 12) -> float:
    """Mean change of the object, as the model sees it, over some draws."""
    inside = (slice(box.y0, box.y1), slice(box.x0, box.x1))

    def seen(picture: Image) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.asarray(
            cv2.resize(picture[inside], (16, 16), interpolation=cv2.INTER_AREA), float
        )

    spoilt = (corrupt(image, box, kind, severity, rng_of(n, "x", kind, 0)) for n in range(draws))
    return float(np.mean([np.abs(seen(image) - seen(s)).mean() for s in spoilt]))


def test_the_names_are_frozen() -> None:
    assert KINDS == (
        "blur", "motion", "fog", "night", "rain", "jpeg", "low-resolution", "occlusion",
    )  # fmt: skip
    assert SEVERITIES == (1, 2, 3, 4, 5)


@ALL
def test_same_arguments_same_picture_and_the_given_one_stays(kind: Kind) -> None:
    image, box = sign(60)
    before = image.copy()
    first, again = (corrupt(image, box, kind, 3, rng_of(1, "a.png", kind, 3)) for _ in range(2))
    assert np.array_equal(first, again)
    assert np.array_equal(image, before)
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    assert not np.array_equal(first, image)


@pytest.mark.parametrize("kind", ["motion", "fog", "night", "rain", "occlusion"])
def test_seed_name_and_severity_each_change_what_chance_draws(kind: Kind) -> None:
    image, box = sign(60)
    drawn = [
        corrupt(image, box, kind, 3, rng_of(*key)).tobytes()
        for key in ((1, "a", kind, 3), (2, "a", kind, 3), (1, "b", kind, 3), (1, "a", kind, 4))
    ]
    assert len(set(drawn)) == 4


@ALL
def test_each_severity_is_worse_than_the_one_before(kind: Kind) -> None:
    image, box = sign(80)
    steps = [harm(image, box, kind, severity) for severity in SEVERITIES]
    assert steps == sorted(steps)
    assert steps[-1] > 1.3 * steps[0]


@ALL
def test_small_and_large_signs_suffer_alike(kind: Kind) -> None:
    small, large = (harm(*sign(side), kind, 5) for side in (40, 200))
    assert small == pytest.approx(large, rel=0.35)


@pytest.mark.parametrize("share", [(1, 0.06), (5, 0.28)])
def test_so_much_is_hidden(share: tuple[int, float]) -> None:
    white = np.full((100, 100, 3), 255, np.uint8)
    box = Box(10, 10, 90, 90)
    hidden = []
    for n in range(60):
        spoilt = corrupt(white, box, "occlusion", share[0], rng_of(n, "x", "occlusion", 1))
        hidden.append(float((spoilt[10:90, 10:90].max(axis=2) < 250).mean()))
    assert 0.6 * share[1] < np.mean(hidden) < 1.5 * share[1]


@given(
    st.sampled_from(KINDS),
    st.integers(1, 5),
    st.integers(1, 70),
    st.integers(1, 70),
    st.tuples(*[st.integers(0, 70)] * 4),
)
def test_any_picture_and_any_box_in_it_will_do(
    kind: Kind, severity: int, width: int, height: int, at: tuple[int, int, int, int]
) -> None:
    x0, y0 = min(at[0], width - 1), min(at[1], height - 1)
    x1, y1 = min(x0 + 1 + at[2], width), min(y0 + 1 + at[3], height)
    image = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    box = Box(x0, y0, x1, y1)
    spoilt = corrupt(image, box, kind, severity, rng_of(1, "x", kind, severity))
    assert spoilt.shape == image.shape
    assert spoilt.dtype == np.uint8


def test_words_for_the_command_line() -> None:
    assert parse_corruption("low-resolution:5") == ("low-resolution", 5)
    for wrong in ("fog", "fog:", "fog:0", "fog:6", "fog:1.0", "snow:3", ":3", "fog:3:3"):
        with pytest.raises(BadContentError, match="need KIND:SEVERITY"):
            parse_corruption(wrong)
