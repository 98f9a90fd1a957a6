import math
from pathlib import Path

import numpy as np
import pytest

from agent.contract.errors import BadContentError
from agent.contract.manifest import DetectorSpec, ModelManifest, append_metadata
from agent.vision.engine import Engine, read_model
from agent.vision.heatmap import (
    MAX_CANDIDATES,
    Maps,
    decode,
    find_maps,
    keep_best,
    peaks,
    raw_threshold,
    to_boxes,
)
from agent.vision.preprocess import Quantisation, Tensor
from agent.vision.runtime import TensorSpec
from agent.vision.types import Box, Detection, FloatArray

TINY = Path(__file__).resolve().parents[2] / "data"
SPEC = DetectorSpec(stride=8, nms_iou=0.4)
INT8 = np.dtype(np.int8)
SCORE = Quantisation(0.1, 20)
CODE = Quantisation(0.02, -10)


def tensor(
    name: str, channels: int, quantisation: Quantisation = SCORE, grid: int = 8
) -> TensorSpec:
    return TensorSpec(0, name, (1, grid, grid, channels), INT8, quantisation)


SCORES, BOXES = tensor("scores", 1), tensor("boxes", 4, CODE)


def quantised(values: FloatArray, quantisation: Quantisation) -> Tensor:
    raw = np.rint(values / quantisation.scale + quantisation.zero_point)
    return np.asarray(np.clip(raw, -128, 127), np.int8)


def maps(
    *objects: tuple[int, int, float, tuple[float, float, float, float]],
) -> tuple[Tensor, Tensor]:
    """Maps of 8 x 8 cells with (row, column, logit, code) at some of them."""
    scores = np.full((1, 8, 8, 1), -9.0, np.float32)
    codes = np.zeros((1, 8, 8, 4), np.float32)
    for row, column, logit, code in objects:
        scores[0, row, column] = logit
        codes[0, row, column] = code
    return quantised(scores, SCORE), quantised(codes, CODE)


def found(
    *objects: tuple[int, int, float, tuple[float, float, float, float]],
    min_score: float = 0.3,
    temperature: float = 1.0,
    frame: tuple[int, int] = (64, 64),
) -> tuple[Detection, ...]:
    read = Maps(SCORES, BOXES, SPEC, temperature)
    return decode(*maps(*objects), read, min_score, frame)


LOG2 = math.log(2)


def test_a_peak_becomes_a_box_in_the_pixels_of_the_frame() -> None:
    # The middle of cell (row 3, column 5) is (44, 28) of 64; the frame is twice as wide and
    # three times as high as the model input.
    (detection,) = found((3, 5, 2.0, (0.5, -0.5, LOG2, 0.0)), frame=(128, 192))
    assert detection.index == 0
    assert detection.score == pytest.approx(1 / (1 + math.exp(-2.0)), abs=1e-5)
    assert detection.box == Box(2 * 40, 3 * 20, 2 * 56, 3 * 28)


def test_the_best_comes_first_and_weak_ones_not_at_all() -> None:
    here = (0.0, 0.0, 0.0, 0.0)
    detections = found((1, 1, 0.5, here), (1, 6, 2.0, here), (6, 1, -0.5, here))
    assert [d.box.x0 for d in detections] == [48, 8, 8]
    assert [d.box.y0 for d in detections] == [8, 8, 48]
    assert len(found((6, 1, -0.9, here))) == 0
    assert found() == ()


def test_a_temperature_moves_scores_and_threshold_alike() -> None:
    here = (0.0, 0.0, 0.0, 0.0)
    (sharp,) = found((4, 4, 1.0, here), min_score=0.8, temperature=0.5)
    assert sharp.score == pytest.approx(1 / (1 + math.exp(-2.0)), abs=1e-5)
    assert found((4, 4, 1.0, here), min_score=0.7, temperature=2.0) == ()


def test_an_offset_moves_scores_down_and_the_threshold_with_them() -> None:
    spec = DetectorSpec(stride=8, offset=1.5)
    read = Maps(SCORES, BOXES, spec, 0.5)
    one = maps((4, 4, 2.0, (0.0, 0.0, 0.0, 0.0)))
    (detection,) = decode(*one, read, 0.7, (64, 64))
    assert detection.score == pytest.approx(1 / (1 + math.exp(-1.0)), abs=1e-5)
    assert decode(*one, read, 0.75, (64, 64)) == ()


def test_a_cell_below_its_neighbour_is_no_peak() -> None:
    # Far apart boxes, so that only the neighbour can silence the weaker cell.
    small = (0.0, 0.0, -1.0, -1.0)
    detections = found((3, 3, 2.0, small), (3, 4, 1.9, small), (3, 6, 1.5, small))
    assert [d.box.x0 for d in detections] == [27, 51]


def test_equal_neighbours_of_one_object_become_one_box() -> None:
    # Both cells mean the same place.
    detections = found((3, 3, 2.0, (0.5, 0.0, LOG2, LOG2)), (3, 4, 2.0, (-0.5, 0.0, LOG2, LOG2)))
    assert [d.box for d in detections] == [Box(24, 20, 40, 36)]


def test_boxes_end_at_the_frame_and_empty_ones_are_left_out() -> None:
    (detection,) = found((0, 0, 2.0, (0.0, 0.0, 3.0, LOG2)))
    assert detection.box == Box(0, 0, 64, 12)
    assert found((0, 0, 2.0, (-2.0, 0.0, 0.0, 0.0))) == ()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("min_score", [0.0, 0.05, 0.3, 0.5, 0.731, 0.99, 1.0])
def test_the_raw_threshold_is_the_score_threshold(dtype: type, min_score: float) -> None:
    quantisation = Quantisation(0.07, 20)
    raw: Tensor = np.arange(256, dtype=np.uint8).view(dtype)
    scores = 1 / (1 + np.exp(-((raw.astype(np.float64) - 20) * 0.07 - 0.4) / 1.3))
    spec = DetectorSpec(stride=8, offset=0.4)
    read = Maps(TensorSpec(0, "s", (1, 8, 8, 1), np.dtype(dtype), quantisation), BOXES, spec, 1.3)
    least = raw_threshold(read, min_score)
    passed = raw.astype(np.float64) >= least
    clear = np.abs(scores - min_score) > 1e-6
    np.testing.assert_array_equal(passed[clear], (scores >= min_score)[clear])


def test_a_score_that_was_given_passes_as_its_own_threshold() -> None:
    for logit in np.arange(-3.0, 3.0, 0.1):
        (detection,) = found((4, 4, float(logit), (0.0, 0.0, 0.0, 0.0)), min_score=0.01)
        again = found((4, 4, float(logit), (0.0, 0.0, 0.0, 0.0)), min_score=detection.score)
        assert len(again) == 1, logit


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.float32])
def test_peaks_are_those_of_a_plain_search(dtype: type) -> None:
    rng = np.random.default_rng(4)
    raw: Tensor = rng.integers(0, 100, (13, 9, 2)).astype(dtype)
    expected = set()
    for row, column, index in np.ndindex(raw.shape):
        around = raw[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2, index]
        if raw[row, column, index] >= max(60, around.max()):
            expected.add((row, column, index))
    cells = peaks(raw, 60.0)
    assert {tuple(cell) for cell in cells.tolist()} == expected
    values = raw[tuple(cells.T)].astype(int)
    assert list(values) == sorted(values, reverse=True)


def test_peaks_of_one_channel_and_at_most_so_many() -> None:
    raw = np.full((40, 40, 1), 7, np.int8)
    assert len(peaks(raw, 7.0)) == MAX_CANDIDATES
    assert len(peaks(raw, 8.0)) == 0


def test_overlapping_boxes_of_other_classes_stay() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [1, 1, 11, 11], [20, 0, 30, 10]], np.float32)
    assert keep_best(boxes, np.array([0, 0, 1, 0]), 0.4) == [0, 2, 3]
    assert keep_best(boxes, np.array([0, 0, 1, 0]), 0.7) == [0, 1, 2, 3]


def test_sizes_without_bounds_stay_finite() -> None:
    codes = np.array([[0, 0, 90, 90]], np.float32)
    assert np.isfinite(to_boxes(codes, np.array([[1, 1]]), SPEC)).all()


def test_outputs_are_told_by_their_channels() -> None:
    scores, boxes = tensor("a", 3), tensor("b", 4)
    manifest = ModelManifest(name="m", detector=SPEC, temperature=0.5)
    found = find_maps((boxes, scores), 3, (64, 64), manifest)
    assert found == Maps(scores, boxes, SPEC, 0.5)
    assert found.tensors == (scores, boxes)
    assert find_maps((boxes, scores), 3, (64, 64), ModelManifest(name="m")) is None
    assert find_maps((boxes, scores), 3, (64, 64), None) is None


@pytest.mark.parametrize(
    ("outputs", "classes"),
    [
        ((tensor("a", 4), tensor("b", 4)), 4),
        ((tensor("a", 1),), 1),
        ((tensor("a", 2), tensor("b", 4)), 1),
        ((tensor("a", 1, grid=9), tensor("b", 4, grid=9)), 1),
    ],
)
def test_maps_that_do_not_fit_are_refused(outputs: tuple[TensorSpec, ...], classes: int) -> None:
    with pytest.raises(BadContentError, match="need scores"):
        find_maps(outputs, classes, (64, 64), ModelManifest(name="m", detector=SPEC))


def test_a_manifest_of_another_model_is_refused_by_the_engine(tmp_path: Path) -> None:
    manifest = ModelManifest(name="wrong", task="detection", detector=SPEC)
    content = (TINY / "int8_logits.tflite").read_bytes()
    path = tmp_path / "wrong.tflite"
    path.write_bytes(append_metadata(content, ("a", "b", "c"), manifest))
    with pytest.raises(BadContentError, match=r"wrong\.tflite: outputs .* need scores"):
        Engine(read_model(path))
