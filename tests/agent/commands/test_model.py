"""`secondlook model show`."""

import hashlib
import json
from pathlib import Path

import cv2
import pytest

from agent.commands.model_words import label_words, metric
from agent.contract.manifest import ModelManifest, UnknownSpec, append_metadata
from agent.vision.shipped import shipped_model, shipped_models
from tests.agent.commands.conftest import Cli
from tests.makers import picture

FIXTURES = Path(__file__).resolve().parents[2] / "data"
SHIPPED = shipped_model("traffic-signs.tflite")
MANIFEST = ModelManifest(
    name="colours",
    version="7",
    temperature=0.75,
    unknown=UnknownSpec(threshold=-2.5, kept=9_900),
    thresholds={"red": 0.25},
    profile="paint",
    license="CC0-1.0",
    trained_on="paints train, train.csv",
    data_sha256="ab" * 32,
    recipe={"side": 16, "learning_rate": 0.002},
    seed=11,
    metrics={"val_accuracy_bp": 9_974, "val_images": 7_830},
)


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A model file whose manifest holds everything."""
    path = tmp_path / "colours.tflite"
    data = (FIXTURES / "int8_logits.tflite").read_bytes()
    path.write_bytes(append_metadata(data, ("red", "green", "blue"), MANIFEST))
    return path


def test_everything_in_a_manifest_is_shown(cli: Cli, full: Path) -> None:
    ran = cli("model", "show", full)
    assert ran.code == 0
    for words in (
        "colours, version 7", "classification, profile paint",
        hashlib.sha256(full.read_bytes()).hexdigest(), "8 x 3 int8, scale", "0.75",
        "energy above -2.5; 99.00 % of known", "red 0.25", "val accuracy 99.74 %",
        "val images 7,830", "paints train, train.csv", "ab" * 32,
        "learning rate 0.002, side 16", "11", "CC0-1.0", "3: red; green; blue",
    ):  # fmt: skip
        assert words in ran.out, words
    assert max(map(len, ran.out.splitlines())) <= 80


def test_json_holds_all_labels_and_the_manifest(cli: Cli, full: Path) -> None:
    told = json.loads(cli("model", "show", full, "--json").out)
    assert told["labels"] == ["red", "green", "blue"]
    assert ModelManifest.model_validate(told["manifest"]) == MANIFEST
    assert told["sha256"] == hashlib.sha256(full.read_bytes()).hexdigest()
    assert told["size"] == full.stat().st_size
    assert told["input"]["dtype"] == "int8"
    assert told["outputs"][0]["shape"] == [1, 3]


def test_shipped_models_are_listed_and_known_by_name(cli: Cli) -> None:
    listed = cli("model", "show")
    assert all(path.name in listed.out for path in shipped_models())
    assert max(map(len, listed.out.splitlines())) <= 80
    by_name = json.loads(cli("model", "show", SHIPPED.name, "--json").out)
    assert by_name == json.loads(cli("model", "show", SHIPPED, "--json").out)
    assert len(by_name["labels"]) == 44
    told = json.loads(cli("model", "show", "--json").out)
    assert {"name": SHIPPED.name, "sha256": by_name["sha256"]} in told


def test_without_manifest_the_tensors_tell(cli: Cli, tmp_path: Path) -> None:
    bare = FIXTURES / "int8_logits.tflite"
    ran = cli("model", "show", bare)
    assert ran.code == 0
    assert "(no manifest)" in ran.out
    assert "none inside or beside it; give --labels FILE" in ran.out
    labels = tmp_path / "x.txt"
    labels.write_text("a\nb\nc\n")
    told = json.loads(cli("model", "show", bare, "--labels", labels, "--json").out)
    assert told["labels"] == ["a", "b", "c"]
    assert told["manifest"] is None


@pytest.mark.data
def test_all_stock_models(cli: Cli, data_dir: Path) -> None:
    for path in (data_dir / "models").glob("*.tflite"):
        ran = cli("model", "show", path)
        assert ran.code == 0, path
        assert ("detection" in ran.out) == path.name.startswith("ssd"), path
        assert max(map(len, ran.out.splitlines())) <= 80


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("mobilenet_v1_0.25_128_quant_edgetpu.tflite", "compiled for the Edge TPU"),
        ("unresolved_custom_op.tflite", "fake-op-double"),
    ],
)
def test_models_that_cannot_run_say_why(cli: Cli, data_dir: Path, name: str, why: str) -> None:
    ran = cli("model", "show", data_dir / "models" / "negative" / name)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert name in ran.err
    assert why in ran.err


def test_what_is_no_model_is_1_in_one_line(cli: Cli, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    cv2.imwrite(str(photo), picture(1))
    short = tmp_path / "short.tflite"
    short.write_bytes(SHIPPED.read_bytes()[: SHIPPED.stat().st_size // 2])
    empty = tmp_path / "empty.tflite"
    empty.write_bytes(b"")
    for path in (photo, short, empty):
        ran = cli("model", "show", path)
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert f"{path}: truncated or not a TFLite model; copy it again" in ran.err


def test_what_is_not_there_is_3_in_one_line(cli: Cli, tmp_path: Path) -> None:
    for path in (tmp_path / "no.tflite", Path("no.tflite"), tmp_path / SHIPPED.name):
        ran = cli("model", "show", path)
        assert (ran.code, ran.out, ran.err.count("\n")) == (3, "", 1)
        assert SHIPPED.name in ran.err
    assert cli("model", "show", tmp_path).code == 3


def test_words() -> None:
    assert metric("val_ece_bp", 1) == "val ece 0.01 %"
    assert metric("val_errors", 12_345) == "val errors 12,345"
    assert label_words(tuple("abcdef")) == "6: a; b; c; d, and 2 more"
    assert label_words(tuple("abcd")) == "4: a; b; c; d"
