import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.manifest import read_metadata
from agent.contract.profile import Augmentation
from agent.vision.engine import Engine, read_model
from agent.vision.preprocess import fill_input
from agent.vision.runtime import Runtime
from agent.vision.shipped import load_profile
from agent.vision.types import Box, whole
from cloud.data import read_folder
from cloud.evaluate import evaluate
from cloud.train.augment import Cut, _coloured, _warped, flipped, jittered, training_input
from cloud.train.batches import (
    UNIT,
    Examples,
    epoch_batches,
    epoch_order,
    make_batch,
    plain_inputs,
)
from cloud.train.command import Trained, train
from cloud.train.fit import Course, Epoch, fit
from cloud.train.material import load_examples, prepared
from cloud.train.recipe import Recipe, make_recipe
from tests.drawn_folder import LABELS, PROFILE, draw, full_folder

# Keras and TensorFlow are behind numpy's deprecations.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:keras", "ignore::DeprecationWarning:tensorflow"
)
STILL = Augmentation(rotate_degrees=0, scale=0, shift=0, shear=0, brightness=0)
SMALL = make_recipe(
    Recipe,
    {"side": 24, "width": 0.25, "epochs": 10, "batch": 16, "calibration": 32, "dropout": 0.0,
     "learning_rate": 5e-3}
)  # fmt: skip


def quiet() -> Console:
    return Console(quiet=True)


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("profile") / "drawn.toml"
    path.write_text(PROFILE)
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return full_folder(tmp_path_factory.mktemp("drawn"), tracks=8, frames=8)


@pytest.fixture(scope="module")
def examples() -> Examples:
    rng = np.random.default_rng(1)
    classes = np.array([0] * 12 + [1] * 6 + [2] * 2)
    images = tuple(draw(int(i), rng) for i in classes)
    boxes = tuple(whole(image) for image in images)
    return Examples(images, boxes, classes, LABELS, ("both", "none", "none"), (-1, 2, 1))


@pytest.fixture(scope="module")
def trained(profile: str, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    out = tmp_path_factory.mktemp("out") / "drawn.tflite"
    return train(profile, folder, out, terms="mine", console=quiet(), changes=SMALL.model_dump())


def test_a_few_epochs_make_a_model_that_the_device_runs(trained: Trained, folder: Path) -> None:
    report = evaluate(trained.model, folder, "val")
    assert report.n == 24
    assert report.matched_by == "name"
    assert report.accuracy >= 0.9
    assert trained.metrics["val_errors"] == report.errors
    assert trained.metrics["val_images"] == report.n
    assert trained.metrics["val_ece_bp"] == pytest.approx(10_000 * report.ece, abs=1)
    assert len(trained.history) == SMALL.epochs
    assert trained.history[-1].loss < trained.history[0].loss


def test_the_file_says_what_it_is(trained: Trained, folder: Path) -> None:
    model = read_model(trained.model)
    assert model.labels == LABELS
    assert model.manifest is not None
    assert model.manifest.output == "logits"
    assert model.manifest.license == "mine"
    assert model.manifest.input.margin == SMALL.margin
    assert model.manifest.metrics == trained.metrics
    assert model.manifest.data_sha256 == read_folder(folder).sha256
    assert model.manifest.trained_on == f"{folder.name} train"
    assert Recipe.model_validate(model.manifest.recipe) == SMALL
    runtime = Runtime(model.data, "m", "auto", 1)
    assert runtime.input.dtype == runtime.outputs[0].dtype == np.int8
    assert runtime.input.shape == (1, 24, 24, 3)
    assert runtime.input.quantisation.scale == pytest.approx(1 / 255)
    assert runtime.input.quantisation.zero_point == -128
    for kind in ("curves", "confusion"):
        picture = trained.model.with_name(f"drawn.{kind}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")


def test_a_finished_checkpoint_gives_the_same_bytes_again(
    trained: Trained, profile: str, folder: Path
) -> None:
    before = trained.model.read_bytes()
    trained.model.unlink()
    again = train(
        profile, folder, trained.model, terms="mine", console=quiet(), changes=SMALL.model_dump()
    )
    assert again.history == trained.history
    assert trained.model.read_bytes() == before


def test_another_recipe_does_not_take_up_the_checkpoint(
    trained: Trained, profile: str, folder: Path
) -> None:
    changed = SMALL.model_copy(update={"seed": 9}).model_dump()
    with pytest.raises(BadContentError, match="checkpoint of another recipe"):
        train(profile, folder, trained.model, console=quiet(), changes=changed)


def test_a_float_reference_runs_in_the_same_engine(
    trained: Trained, profile: str, folder: Path
) -> None:
    # The int8 model's finished checkpoint serves: only the export differs.
    out = trained.model.with_name("reference.tflite")
    source = trained.model.with_name("drawn.checkpoint")
    source.rename(out.with_name("reference.checkpoint"))
    train(profile, folder, out, precision="float16", console=quiet(), changes=SMALL.model_dump())
    out.with_name("reference.checkpoint").rename(source)
    engine = Engine(read_model(out))
    assert engine.input_size == (24, 24)
    _, manifest = read_metadata(out.read_bytes())
    assert manifest is not None
    assert manifest.input.pixel_range == (0.0, 1.0)
    int8 = Engine(read_model(trained.model))
    image = draw(0, np.random.default_rng(2))
    gap = np.abs(engine.logits(image, whole(image)) - int8.logits(image, whole(image)))
    assert float(gap.max()) < 0.5


@pytest.mark.slow
def test_an_interrupted_run_goes_on(examples: Examples, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop_after_first(epoch: Epoch) -> None:
        if epoch.number == 1:
            raise StopError

    recipe = SMALL.model_copy(update={"epochs": 2})
    seen: list[Epoch] = []

    def run(on_epoch: object) -> tuple[Epoch, ...]:
        assert callable(on_epoch)
        course = Course(examples, examples, recipe, STILL, tmp_path, "data")
        _, history = fit(course, lambda *_: None, on_epoch)
        return history

    with pytest.raises(StopError):
        run(stop_after_first)
    history = run(seen.append)
    assert [epoch.number for epoch in history] == [1, 2]
    assert [epoch.number for epoch in seen] == [2]
    assert len(list(tmp_path.glob("*.npz"))) == 1
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(BadContentError, match="not a checkpoint"):
        run(seen.append)


def test_poor_or_foreign_data_is_refused_before_training(
    profile: str, folder: Path, tmp_path: Path
) -> None:
    few = full_folder(tmp_path / "few", tracks=3, frames=2)
    lines = (few / "annotations.csv").read_text().splitlines()
    (few / "annotations.csv").write_text("\n".join(n for n in lines if not n.startswith("1/01_1.")))
    with pytest.raises(BadContentError, match=r"too few images .*'points left' 3"):
        train(profile, few, tmp_path / "m.tflite", console=quiet())
    with pytest.raises(BadContentError, match="class 'disc' is not in profile traffic-signs"):
        train("traffic-signs", folder, tmp_path / "m.tflite", console=quiet())
    with pytest.raises(BadContentError, match=r"recipe: epochs: .*\(got '0'\)"):
        train(profile, folder, tmp_path / "m.tflite", console=quiet(), changes={"epochs": 0})


def test_without_tensorflow_the_remedy_is_named(
    examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(UnavailableError, match=r"pip install '\.\[train\]'"):
        fit(Course(examples, examples, SMALL, STILL, tmp_path, "d"), lambda *_: None, print)


def test_splits_are_made_where_missing_and_said(folder: Path) -> None:
    console = Console(record=True, width=200, file=StringIO())
    full = read_folder(folder)
    assert prepared(full, console) is full
    bare = replace(full, samples=tuple(replace(s, split="") for s in full.samples))
    assert len(prepared(bare, console).of("val")) == 3 * 2 * 8
    none = replace(bare, samples=tuple(replace(s, track="") for s in bare.samples))
    assert len(prepared(none, console).of("val")) == round(0.2 * 64) * 3
    said = console.export_text()
    assert "tracks are held back" in said
    assert "one by one" in said


def test_classes_take_the_profiles_order(folder: Path, profile: str) -> None:
    shipped = load_profile(profile)
    task = shipped.model_copy(update={"classes": shipped.classes[::-1]})
    kept, refused = load_examples(read_folder(folder), task, "val")
    assert refused == ()
    assert kept.labels == tuple(reversed(LABELS))
    assert np.bincount(kept.classes).tolist() == [8, 8, 8]
    assert kept.classes[0] == 2
    assert kept.mirrors == (1, 0, -1, -1)


def test_rare_classes_are_drawn_more_often(examples: Examples) -> None:
    rng = np.random.default_rng(0)
    drawn = np.concatenate([epoch_order(examples.classes, 1.0, rng) for _ in range(30)])
    share = np.bincount(examples.classes[drawn]) / len(drawn)
    assert share == pytest.approx([1 / 3] * 3, abs=0.02)
    plain = epoch_order(examples.classes, 0.0, rng)
    assert sorted(plain) == list(range(20))
    assert plain.tolist() != sorted(plain)


def test_batches_depend_on_seed_and_epoch_only(examples: Examples) -> None:
    recipe = SMALL.model_copy(update={"batch": 8})

    def pixels(seed: int, epoch: int) -> list[bytes]:
        chosen = recipe.model_copy(update={"seed": seed})
        batches = epoch_batches(examples, chosen, Augmentation(), epoch)
        return [batch.tobytes() for batch, _ in batches]

    assert len(pixels(1, 1)) == 3
    assert pixels(1, 1) == pixels(1, 1)
    assert pixels(1, 1) != pixels(1, 2)
    assert pixels(1, 1) != pixels(2, 1)


def test_mirrored_pictures_carry_the_mirrors_class(examples: Examples) -> None:
    """The drawn triangles point where their class says, however they were flipped."""
    left = np.nonzero(examples.classes == 1)[0]
    pixels, targets = make_batch(
        examples, np.repeat(left, 8), SMALL, STILL, np.random.default_rng(4)
    )
    assert set(targets.argmax(1)) == {1, 2}
    blueness = pixels[..., 2] - pixels[..., 0]
    weight = blueness - blueness.min(axis=(1, 2), keepdims=True)
    columns = (weight * np.linspace(-1, 1, SMALL.side)).sum(axis=(1, 2))
    # More of a triangle lies at its back: left of the middle when it points right.
    points_right = columns < 0
    agreement = (points_right == (targets.argmax(1) == 2)).mean()
    assert agreement > 0.8


def test_flips_keep_to_the_symmetry() -> None:
    rng = np.random.default_rng(0)
    picture = draw(1, rng)
    for _ in range(20):
        assert flipped(picture, "none", mirror=False, rng=rng)[0] is picture
        up_down, mirrored = flipped(picture, "vertical", mirror=False, rng=rng)
        assert not mirrored
        assert any(np.array_equal(up_down, p) for p in (picture, picture[::-1]))


def test_undistorted_inputs_are_the_devices_own(examples: Examples, trained: Trained) -> None:
    """What training calls plain must be what `Engine` feeds the network, to the bit."""
    engine = Engine(read_model(trained.model))
    batches = list(plain_inputs(examples, SMALL))
    assert sum(len(pixels) for pixels, _ in batches) == len(examples)
    image = examples.images[0]
    box = examples.boxes[0].widened(SMALL.margin, image.shape[1], image.shape[0])
    tensor = np.empty((1, SMALL.side, SMALL.side, 3), np.int8)
    fill_input(tensor, image, box, engine._table, rgb=True)
    assert np.array_equal(batches[0][0][0], UNIT.values[tensor[0].astype(np.int16) + 128])


def test_augmentation_without_limits_is_a_plain_resize() -> None:
    """The warp must sample like the device's resize, or training sees shifted pictures."""
    rng = np.random.default_rng(8)
    image = np.asarray(
        np.clip(rng.normal(128, 40, (7, 9, 3)), 0, 255).astype(np.uint8).repeat(6, 0).repeat(6, 1)
    )
    box = Box(3, 5, 40, 39)
    still = _warped(image, box, 24, STILL, rng)
    resized = cv2.resize(image[5:39, 3:40], (24, 24), interpolation=cv2.INTER_LINEAR)
    inner = np.abs(still.astype(int) - resized.astype(int))[1:-1, 1:-1]
    assert inner.mean() < 2.0


def test_without_colour_grey_stays_grey() -> None:
    rng = np.random.default_rng(8)
    grey = np.repeat(draw(0, rng)[..., :1], 3, axis=2)
    still = [_coloured(grey, 0.5, 0.0, rng) for _ in range(50)]
    assert all((image.max(axis=2) == image.min(axis=2)).all() for image in still)
    assert any((image != grey).any() for image in still), "light may still change"
    tinted = [_coloured(grey, 0.5, 1.0, rng) for _ in range(50)]
    assert any((image.max(axis=2) != image.min(axis=2)).any() for image in tinted)


def test_the_profiles_recipe_comes_before_the_defaults_and_after_changes(
    folder: Path, profile: str, tmp_path: Path
) -> None:
    path = tmp_path / "drawn.toml"
    path.write_text(Path(profile).read_text().replace("[augm", "[recipe]\nside = 5\n[augm"))
    out = tmp_path / "m.tflite"
    with pytest.raises(BadContentError, match=r"recipe: side: .*\(got '5'\)"):
        train(str(path), folder, out, console=quiet())
    with pytest.raises(BadContentError, match=r"recipe: side: .*\(got '6'\)"):
        train(str(path), folder, out, console=quiet(), changes={"side": 6})


def test_research_use_is_said_before_training(folder: Path, tmp_path: Path) -> None:
    console = Console(record=True, width=200, file=StringIO())
    with pytest.raises(BadContentError, match="class 'disc' is not in profile medical"):
        train("medical", folder, tmp_path / "m.tflite", console=console)
    assert "profile medical is for research only" in console.export_text()


def test_jittered_boxes_stay_inside_and_near() -> None:
    rng = np.random.default_rng(8)
    image = draw(0, rng)
    side = len(image)
    box = Box(side // 4, side // 4, side - side // 4, side - side // 4)
    boxes = [jittered(box, image, Augmentation(), rng) for _ in range(300)]
    for other in boxes:
        assert 0 <= other.x0 < other.x1 <= side
        assert 0 <= other.y0 < other.y1 <= side
        assert other.overlap(box) > 0.4
    assert len({b.as_tuple() for b in boxes}) > 20
    tiny = Box(0, 0, 1, 1)
    assert jittered(tiny, image, Augmentation(), rng) == tiny


def test_every_distortion_keeps_shape_and_type() -> None:
    rng = np.random.default_rng(8)
    for index in range(200):
        image = draw(index % 3, rng)
        cut = Cut(32, 0.1, 0.3)
        small = training_input(image, whole(image), cut, Augmentation(brightness=0.9), rng)
        assert small.shape == (32, 32, 3)
        assert small.dtype == np.uint8
