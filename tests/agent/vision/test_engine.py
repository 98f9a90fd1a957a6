"""The same tests for each TFLite runtime: litert, and tflite-runtime beside numpy 1."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.manifest import InputSpec, ModelManifest, append_metadata
from agent.contract.messages import NONE_OF_THESE
from agent.vision.engine import Engine, ModelFile, read_model
from agent.vision.runtime import MODULES, RuntimeName
from agent.vision.types import Box, Image, Region, whole

FIXTURES = Path(__file__).resolve().parents[2] / "data"
RGB = ("red", "green", "blue")

TOP1 = {
    "bird.png": (20, 0.99),
    "cat_720p.jpg": (286, 0.88),
    "grace_hopper.png": (653, 0.88),
    "hot_dog.jpg": (935, 0.96),
    "parrot.jpg": (89, 1.00),
    "pets.jpg": (196, 0.50),
}
OBJECTS = {
    "bird.png": {"bird": 0.75},
    "cat_720p.jpg": {"cat": 0.73},
    "grace_hopper.png": {"person": 0.72, "tie": 0.66},
    "hot_dog.jpg": {"hotdog": 0.71, "diningtable": 0.55},
    "parrot.jpg": {"bird": 0.81},
    "pets.jpg": {"dog": 0.81},
}


@pytest.fixture(params=["litert", "tflite-runtime"])
def runtime(request: pytest.FixtureRequest) -> RuntimeName:
    name: RuntimeName = request.param
    package = MODULES[name].partition(".")[0]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{name} is not installed here")
    return name


def picture(data_dir: Path, name: str) -> Image:
    return np.asarray(cv2.imread(str(data_dir / "images" / name)), np.uint8)


def stock(data_dir: Path, name: str, labels: str = "") -> ModelFile:
    folder = data_dir / "models"
    return read_model(folder / f"{name}.tflite", folder / labels if labels else None)


def packed(folder: Path, name: str, **manifest: object) -> ModelFile:
    data = (FIXTURES / f"{name}.tflite").read_bytes()
    path = folder / f"{name}-packed.tflite"
    path.write_bytes(
        append_metadata(data, RGB, ModelManifest.model_validate({"name": name, **manifest}))
    )
    return read_model(path)


def bare(folder: Path, name: str, labels: tuple[str, ...] = RGB) -> ModelFile:
    side = folder / "labels.txt"
    side.write_text("\n".join(labels) + "\n")
    return read_model(FIXTURES / f"{name}.tflite", side)


def plain(red: int, green: int, blue: int) -> Image:
    return np.full((20, 30, 3), (blue, green, red), np.uint8)


@pytest.mark.data
@pytest.mark.parametrize("name", TOP1)
def test_stock_classifier_gives_the_known_top_1(
    runtime: RuntimeName, data_dir: Path, name: str
) -> None:
    model = stock(data_dir, "mobilenet_v2_1.0_224_quant", "imagenet_labels.txt")
    image = picture(data_dir, name)
    prediction = Engine(model, runtime).classify(image, Region(whole(image)))
    index, score = TOP1[name]
    assert prediction.index == index
    assert prediction.label == model.labels[index]
    assert prediction.score == pytest.approx(score, abs=0.08)
    assert prediction.scores.shape == (1001,)
    assert float(prediction.scores.sum()) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.data
@pytest.mark.parametrize("name", OBJECTS)
def test_stock_detector_finds_the_known_objects(
    runtime: RuntimeName, data_dir: Path, name: str
) -> None:
    engine = Engine(stock(data_dir, "ssd_mobilenet_v1_coco_quant"), runtime)
    assert engine.is_detector
    image = picture(data_dir, name)
    found = engine.detect(image, 0.5)
    best: dict[str, float] = {}
    for detection in found:
        label = engine.labels[detection.index].replace(" ", "")
        best[label] = max(best.get(label, 0.0), detection.score)
        assert detection.box.area > 100
        assert detection.box.x1 <= image.shape[1]
        assert detection.box.y1 <= image.shape[0]
    assert best.keys() >= OBJECTS[name].keys()
    for label, score in OBJECTS[name].items():
        assert best[label] == pytest.approx(score, abs=0.08)
    assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)


@pytest.mark.data
def test_int8_person_model(runtime: RuntimeName, data_dir: Path) -> None:
    engine = Engine(stock(data_dir, "vww_96_int8"), runtime)
    clip = cv2.VideoCapture(str(data_dir / "video/one-by-one-person-detection.mp4"))
    images = {}
    for number in range(301):
        clip.grab()
        if number in (30, 300):
            images[number] = np.asarray(clip.retrieve()[1], np.uint8)
    empty, person = (engine.classify(i, Region(whole(i))) for i in images.values())
    assert (empty.label, person.label) == ("non_person", "person")
    assert min(empty.margin, person.margin) > 0.9


@pytest.mark.parametrize(
    ("name", "pixel_range"),
    [
        ("float_in_out", (0.0, 1.0)),
        ("int8_logits", (-1.0, 1.0)),
        ("uint8_odd_scale", (-0.3, 2.1)),
        ("softmax_int8", None),
    ],
)
def test_any_scale_and_zero_point(
    runtime: RuntimeName, tmp_path: Path, name: str, pixel_range: tuple[float, float] | None
) -> None:
    engine = Engine(bare(tmp_path, name), runtime, pixel_range=pixel_range)
    for i, colour in enumerate([(200, 30, 30), (30, 200, 30), (30, 30, 200)]):
        image = plain(*colour)
        prediction = engine.classify(image, Region(whole(image)))
        low, high = pixel_range or (0.0, 1.0)
        reals = [low + c / 255 * (high - low) for c in colour]
        logits = 6 * np.array(reals) + (0.1, 0.0, -0.1)
        expected = np.exp(logits) / np.exp(logits).sum()
        assert prediction.label == RGB[i]
        assert np.abs(prediction.scores - expected).max() < 0.03
        assert prediction.margin == pytest.approx(
            float(np.sort(expected)[-1] - np.sort(expected)[-2]), abs=0.05
        )


def test_manifest_says_range_channels_margin_and_temperature(
    runtime: RuntimeName, tmp_path: Path
) -> None:
    spec = InputSpec(channels="bgr", pixel_range=(0.0, 1.0), margin=0.5)
    model = packed(tmp_path, "float_in_out", input=spec.model_dump(), temperature=2.0)
    assert model.labels == RGB
    engine = Engine(model, runtime)
    image = plain(0, 0, 0)
    image[5:15, 10:20] = (255, 255, 255)
    image[:, :5] = (0, 0, 255)
    prediction = engine.classify(image, Region(Box(10, 5, 20, 15)))
    # The margin of half a side sees the black around: a quarter of the cut is white.
    logits = (6 * np.full(3, 0.25) + (0.1, 0.0, -0.1)) / 2
    expected = np.exp(logits) / np.exp(logits).sum()
    assert np.abs(prediction.scores - expected).max() < 0.01
    assert prediction.energy == pytest.approx(-2 * float(np.log(np.exp(logits).sum())), abs=0.1)
    blue = plain(0, 0, 255)
    assert engine.classify(blue, Region(whole(blue))).label == "red"  # channels are swapped


def test_hash_of_a_file_is_checked(tmp_path: Path) -> None:
    with pytest.raises(BadContentError, match=r"float_in_out.*sha256.*fetch it again"):
        read_model(FIXTURES / "float_in_out.tflite", sha256="0" * 64)
    with pytest.raises(UnavailableError, match="check the path"):
        read_model(tmp_path / "nothing.tflite")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("grey_input", r"\(1, 8, 8, 1\).*colour input"),
        ("two_inputs", r"inputs.*need one"),
        ("flat_input", r"\(1, 192\).*need one of shape"),
        ("float_in_out", r"pixel_range"),
    ],
)
def test_wrong_inputs_are_refused(
    runtime: RuntimeName, tmp_path: Path, name: str, match: str
) -> None:
    with pytest.raises(BadContentError, match=rf"(?s){name}\.tflite.*{match}"):
        Engine(bare(tmp_path, name), runtime)


@pytest.mark.parametrize("count", [1, 2, 4, 1000])
def test_a_wrong_number_of_labels_is_refused(
    runtime: RuntimeName, tmp_path: Path, count: int
) -> None:
    labels = tuple(f"class {i}" for i in range(count))
    with pytest.raises(BadContentError, match=rf"int8_logits.*3 outputs but {count} labels; give"):
        Engine(bare(tmp_path, "int8_logits", labels), runtime)


def test_no_labels_is_refused(runtime: RuntimeName) -> None:
    with pytest.raises(BadContentError, match=r"int8_logits.*no labels.*--labels"):
        Engine(read_model(FIXTURES / "int8_logits.tflite"), runtime)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.97])
def test_truncated_files_are_refused(runtime: RuntimeName, tmp_path: Path, share: float) -> None:
    data = (FIXTURES / "int8_logits.tflite").read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(data[: int(len(data) * share)])
    (tmp_path / "cut.txt").write_text("\n".join(RGB))
    with pytest.raises(BadContentError, match=r"cut\.tflite.*(copy it again|sha256)"):
        Engine(read_model(path), runtime)


@pytest.mark.data
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_stock_files_are_refused(
    runtime: RuntimeName, data_dir: Path, tmp_path: Path, share: float
) -> None:
    data = (data_dir / "models/vww_96_int8.tflite").read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(data[: int(len(data) * share)])
    (tmp_path / "cut.txt").write_text("no\nyes\n")
    with pytest.raises(BadContentError, match=r"cut\.tflite.*(copy it again|sha256)"):
        Engine(read_model(path), runtime)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("mobilenet_v1_0.25_128_quant_edgetpu", r"Edge TPU.*without _edgetpu"),
        ("unresolved_custom_op", r"fake-op-double.*built-in operators"),
    ],
)
def test_models_with_foreign_operators_are_refused(
    runtime: RuntimeName, data_dir: Path, name: str, match: str
) -> None:
    folder = data_dir / "models"
    model = read_model(folder / f"negative/{name}.tflite", folder / "imagenet_labels.txt")
    with pytest.raises(BadContentError, match=rf"(?s){name}\.tflite: .*{match}"):
        Engine(model, runtime)


def test_a_missing_runtime_is_named_with_its_remedy(tmp_path: Path) -> None:
    absent: RuntimeName = "tflite-runtime"
    if importlib.util.find_spec("tflite_runtime"):
        pytest.skip("tflite-runtime is installed here")
    with pytest.raises(UnavailableError, match=r"tflite-runtime: pip install"):
        Engine(bare(tmp_path, "int8_logits"), absent)


def test_regions_outside_the_frame_are_refused(runtime: RuntimeName, tmp_path: Path) -> None:
    engine = Engine(packed(tmp_path, "int8_logits"), runtime)
    with pytest.raises(BadContentError, match="not inside the frame"):
        engine.classify(plain(1, 2, 3), Region(Box(40, 40, 50, 50)))


def test_the_input_view_is_not_held(runtime: RuntimeName, tmp_path: Path) -> None:
    # A view that lives across invoke() makes the interpreter refuse to run.
    engine = Engine(packed(tmp_path, "int8_logits"), runtime)
    image = plain(200, 10, 10)
    first = engine.classify(image, Region(whole(image)))
    for _ in range(50):
        again = engine.classify(image, Region(whole(image)))
    assert np.array_equal(first.scores, again.scores)


def test_predictions_do_not_change_with_the_next_frame(
    runtime: RuntimeName, tmp_path: Path
) -> None:
    engine = Engine(packed(tmp_path, "int8_logits"), runtime)
    first = engine.classify(plain(200, 10, 10), Region(Box(0, 0, 30, 20)))
    before = first.scores.copy()
    engine.classify(plain(10, 10, 200), Region(Box(0, 0, 30, 20)))
    assert np.array_equal(first.scores, before)


def test_an_output_for_none_of_these_is_no_class(runtime: RuntimeName) -> None:
    stock_file = read_model(FIXTURES / "int8_logits.tflite", None)
    engine = Engine(replace(stock_file, labels=("red", "green", NONE_OF_THESE)), runtime)
    assert engine.labels == ("red", "green")
    blue, red = (np.zeros((8, 8, 3), np.uint8) for _ in range(2))
    blue[..., 0], red[..., 2] = 255, 255
    nothing = engine.classify(blue, Region(whole(blue)))
    assert (nothing.index, nothing.label) == (-1, "")
    assert nothing.scores.shape == (2,)
    assert nothing.score == pytest.approx(1 - float(nothing.scores.sum()), abs=1e-5)
    something = engine.classify(red, Region(whole(red)))
    assert something.label == "red"
    # What is none of the classes has little evidence of any of them.
    assert nothing.energy > something.energy
