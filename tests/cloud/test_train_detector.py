"""The detector's trainer on drawn scenes: red and white discs before noise."""

from collections.abc import Callable
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from agent.contract.errors import BadContentError
from agent.contract.manifest import DetectorSpec
from agent.vision.engine import Engine, read_model
from agent.vision.heatmap import to_boxes
from agent.vision.runtime import Runtime
from agent.vision.types import Box, FloatArray, Image
from cloud.cli import app
from cloud.evaluate_detector import evaluate_detector
from cloud.scenes import Marked
from cloud.train.checkpoint import RunState, interrupted, restore, save
from cloud.train.detector.command import TrainedDetector, train_detector
from cloud.train.detector.compose import Material, _sorted_out, compose
from cloud.train.detector.cutouts import OUTLINES, Cutout, cut_out
from cloud.train.detector.fit import DetectorEpoch, epoch_scenes, fit_detector
from cloud.train.detector.material import _suspects
from cloud.train.detector.network import STRIDE, box_loss, score_loss
from cloud.train.detector.recipe import DetectorRecipe
from cloud.train.detector.targets import TrainingScene, box_target, score_target
from cloud.train.recipe import Recipe, make_recipe
from tests.drawn_folder import full_folder

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:keras", "ignore::DeprecationWarning:tensorflow"
)
SMALL = make_recipe(
    DetectorRecipe,
    {"side": 96, "input_side": 128, "width": 0.25, "epochs": 5, "scenes_per_epoch": 200, "batch": 4,
     "calibration": 16, "learning_rate": 5e-3, "pasted": 1, "distractors": 1}
)  # fmt: skip
NONE = np.empty((0, 4), np.float32)


def scene(rng: np.random.Generator) -> tuple[Image, Box]:
    """A frame of 120 x 90 with one disc."""
    coarse = rng.integers(60, 180, (6, 8, 3), np.uint8)
    image = np.asarray(cv2.resize(coarse, (120, 90)), np.uint8)
    radius = int(rng.integers(8, 20))
    x, y = int(rng.integers(radius, 120 - radius)), int(rng.integers(radius, 90 - radius))
    cv2.circle(image, (x, y), radius, (20, 20, 210), -1)
    cv2.circle(image, (x, y), radius // 2, (240, 240, 240), -1)
    return image, Box(x - radius, y - radius, x + radius + 1, y + radius + 1)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty frames, ten of them held back; one has a lamp that is no sign."""
    root = tmp_path_factory.mktemp("scenes")
    (root / "frames").mkdir()
    rng = np.random.default_rng(8)
    lines = ["image,label,xmin,ymin,xmax,ymax,split"]
    for n in range(40):
        image, box = scene(rng)
        cv2.imwrite(str(root / "frames" / f"{n:02d}.png"), image)
        split = "val" if n % 4 == 0 else "train"
        lines.append(",".join(map(str, (f"{n:02d}.png", "disc", *box.as_tuple(), split))))
    lines.append("01.png,lamp,0,0,9,9,train")
    (root / "annotations.csv").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def trained(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedDetector:
    signs = full_folder(tmp_path_factory.mktemp("signs"))
    out = tmp_path_factory.mktemp("out") / "discs.tflite"
    return run(scenes, out, signs)


def run(
    scenes: Path, out: Path, signs: Path | None = None, recipe: DetectorRecipe = SMALL
) -> TrainedDetector:
    return train_detector(
        scenes, out, signs, ("lamp",), terms="mine", console=Console(quiet=True),
        changes=recipe.model_dump(),
    )  # fmt: skip


@pytest.mark.slow
def test_a_few_epochs_make_a_detector_that_the_device_runs(
    trained: TrainedDetector, scenes: Path
) -> None:
    report = evaluate_detector(trained.model, scenes, "val")
    assert report.frames == report.objects == 10
    assert report.ap50 > 0.6
    assert trained.metrics["val_ap50_bp"] == pytest.approx(10_000 * report.ap50, abs=100)
    assert trained.metrics["val_recall_at_fppi_0_1_bp"] == round(10_000 * report.recall)
    assert report.recall_at_default == report.recall
    assert report.alarms_at_default <= 0.1
    assert trained.history[-1].loss < trained.history[0].loss


@pytest.mark.slow
def test_the_file_says_what_it_is(trained: TrainedDetector) -> None:
    model = read_model(trained.model)
    manifest = model.manifest
    assert model.labels == ("sign",)
    assert manifest is not None
    assert manifest.task == "detection"
    assert manifest.license == "mine"
    assert manifest.detector is not None
    assert manifest.detector.ignored == ("lamp",)
    assert DetectorRecipe.model_validate(manifest.recipe) == SMALL
    runtime = Runtime(model.data, "m", "auto", 1)
    assert runtime.input.shape == (1, 128, 128, 3)
    assert runtime.input.quantisation.scale == pytest.approx(1 / 255)
    assert runtime.input.quantisation.zero_point == -128
    assert {o.shape for o in runtime.outputs} == {(1, 16, 16, 1), (1, 16, 16, 4)}
    # Each map has its own steps.
    scales = {o.quantisation.scale for o in runtime.outputs}
    assert len(scales) == 2
    assert {o.dtype for o in runtime.outputs} == {np.dtype(np.int8)}


@pytest.mark.slow
def test_the_engine_finds_a_disc_at_any_frame_size(trained: TrainedDetector) -> None:
    engine = Engine(read_model(trained.model))
    assert engine.is_detector
    assert engine.labels == ("sign",)
    image, box = scene(np.random.default_rng(77))
    large = np.asarray(cv2.resize(image, (480, 270)), np.uint8)
    best = engine.detect(large, 0.05)[0]
    assert best.box.overlap(Box(4 * box.x0, 3 * box.y0, 4 * box.x1, 3 * box.y1)) > 0.5
    assert 0.05 <= best.score <= 1.0
    scores = [d.score for d in engine.detect(large, 0.01)]
    assert all(a >= b for a, b in pairwise(scores))
    engine.self_test()


@pytest.mark.slow
def test_a_finished_checkpoint_gives_the_same_bytes_again(
    trained: TrainedDetector, scenes: Path, tmp_path: Path
) -> None:
    before = trained.model.read_bytes()
    trained.model.unlink()
    signs = full_folder(tmp_path / "signs")
    # The same crops in a folder of another name are other data.
    with pytest.raises(BadContentError, match="checkpoint of another recipe or other data"):
        run(scenes, trained.model, None)
    (tmp_path / "signs").rename(tmp_path / "signs0")
    assert signs.name == "signs"
    again = run(scenes, trained.model, tmp_path / "signs0")
    assert again.history == trained.history
    assert trained.model.read_bytes() == before


@pytest.mark.slow
def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    recipe = SMALL.model_copy(update={"epochs": 2, "scenes_per_epoch": 16})
    found = material()
    held = (compose(found, recipe, np.random.default_rng(2)),)
    seen: list[DetectorEpoch] = []

    def stop(_: DetectorEpoch) -> None:
        raise KeyboardInterrupt

    def fit(on_epoch: Callable[[DetectorEpoch], None]) -> tuple[DetectorEpoch, ...]:
        _, history = fit_detector(found, held, recipe, tmp_path, "d", lambda *_: None, on_epoch)
        return history

    with pytest.raises(KeyboardInterrupt):
        fit(stop)
    # A kill in the middle of a write leaves this behind.
    (tmp_path / "state.json.new").write_text("{")
    history = fit(seen.append)
    assert [epoch.number for epoch in history] == [1, 2]
    assert [epoch.number for epoch in seen] == [2]
    config = pytest.importorskip("tensorflow.python.framework.config")
    assert config.is_op_determinism_enabled()
    (weights,) = tmp_path.glob("*.npz")
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(BadContentError, match=r"remove .* to start afresh"):
        fit(seen.append)


class SmallState(RunState):
    recipe: Recipe


def test_weights_and_optimiser_stand_where_they_stood(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")

    def model() -> Any:
        made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        made.compile(optimizer=keras.optimizers.AdamW(0.1), loss="mse", jit_compile=False)
        return made

    first, second = model(), model()
    inputs, targets = np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32)
    for _ in range(3):
        first.train_on_batch(inputs, targets)
    save(tmp_path, first, SmallState(recipe=Recipe(seed=3), data="d"), 3)
    state = interrupted(tmp_path, SmallState, Recipe(seed=3), "d")
    assert state == SmallState(recipe=Recipe(seed=3), data="d", weights="epoch-0003.npz")
    for recipe, data in ((Recipe(seed=4), "d"), (Recipe(seed=3), "e")):
        with pytest.raises(BadContentError, match="another recipe or other data"):
            interrupted(tmp_path, SmallState, recipe, data)
    restore(tmp_path, second, state)
    assert int(second.optimizer.iterations) == 3
    for one, two in ((first, second), (first.optimizer, second.optimizer)):
        for a, b in zip(one.variables, two.variables, strict=True):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)])
    other.compile(optimizer="sgd", loss="mse")
    with pytest.raises(BadContentError, match="not a checkpoint"):
        restore(tmp_path, other, state)


def material(frames: int = 4, signs: int = 5) -> Material:
    rng = np.random.default_rng(6)
    found = [scene(rng) for _ in range(frames)]
    crops = [scene(rng) for _ in range(signs)]
    return Material(
        tuple(image for image, _ in found),
        tuple(np.array([box.as_tuple()], np.float32) for _, box in found),
        tuple(cut_out(image, box, "No entry") for image, box in crops),
    )


def test_the_same_seed_gives_the_same_scenes_whatever_the_threads_do() -> None:
    recipe = make_recipe(DetectorRecipe, {"side": 64, "scenes_per_epoch": 20, "batch": 8})
    one, two = (list(epoch_scenes(material(), recipe, 3)) for _ in range(2))
    assert [len(pixels) for pixels, _ in one] == [8, 8, 4]
    for (pixels, targets), (again, same) in zip(one, two, strict=True):
        np.testing.assert_array_equal(pixels, again)
        for name, target in targets.items():
            np.testing.assert_array_equal(target, same[name])
    other = next(iter(epoch_scenes(material(), recipe, 4)))
    assert not np.array_equal(one[0][0], other[0])


@pytest.mark.parametrize("kind", ["frame_share", "mosaic_share", "drawn"])
def test_marked_signs_lie_inside_and_apart(kind: str) -> None:
    shares = {"frame_share": 0.0, "mosaic_share": 0.0}
    if kind in shares:
        shares[kind] = 1.0
    recipe = make_recipe(DetectorRecipe, {"side": 160, "pasted": 6, **shares})
    rng = np.random.default_rng(1)
    counts = []
    for _ in range(40):
        made = compose(material(), recipe, rng)
        assert made.pixels.shape == (160, 160, 3)
        assert made.complete == (kind == "drawn")
        assert (made.boxes >= 0).all()
        assert (made.boxes <= 160).all()
        assert ((made.boxes[:, 2:] - made.boxes[:, :2]) >= 4).all()
        boxes = [Box(*(int(v) for v in box)) for box in made.boxes.round()]
        if kind != "mosaic_share":
            overlaps = [a.overlap(b) for i, a in enumerate(boxes) for b in boxes[:i]]
            assert max(overlaps, default=0.0) < 0.2
        counts.append(len(boxes))
    assert max(counts) > 2


def test_a_pasted_sign_is_where_its_box_says() -> None:
    """The crop is pure red on a drawn ground: red pixels fill the box and end with it."""
    red = np.zeros((40, 40, 3), np.uint8)
    red[..., 2] = 255
    whole = Cutout(red, np.full((40, 40), 255, np.uint8))
    recipe = make_recipe(
        DetectorRecipe,
        {"side": 160, "pasted": 1, "distractors": 0, "frame_share": 0, "mosaic_share": 0},
    )
    rng = np.random.default_rng(5)
    gaps = []
    for _ in range(30):
        made = compose(Material((), (), (whole,)), recipe, rng)
        for x0, y0, x1, y1 in made.boxes.astype(int):
            cut = made.pixels[y0:y1, x0:x1].astype(int)
            excess = cut[..., 2] - cut[..., :2].max(axis=2)
            around = made.pixels[max(0, y0 - 4) : y1 + 4, max(0, x0 - 4) : x1 + 4].astype(int)
            total = np.clip(around[..., 2] - around[..., :2].max(axis=2), 0, None).sum()
            gaps.append(np.clip(excess, 0, None).sum() / max(1, total))
    assert len(gaps) > 10
    assert float(np.median(gaps)) > 0.8


def test_signs_cut_off_or_tiny_are_unclear() -> None:
    boxes = np.array(
        [[10, 10, 30, 30], [-15, 10, 5, 30], [-5, 10, 15, 30], [50, 50, 54, 80], [200, 0, 210, 9]],
        np.float32,
    )
    clear, unclear = _sorted_out(boxes, (100, 100))
    assert clear.tolist() == [[10, 10, 30, 30], [0, 10, 15, 30]]
    assert unclear.tolist() == [[0, 10, 5, 30], [50, 50, 54, 80]]
    assert [part.shape for part in _sorted_out(NONE, (9, 9))] == [(0, 4), (0, 4)]


def test_what_may_be_an_unmarked_sign_teaches_nothing() -> None:
    image, box = np.full((240, 320, 3), 128, np.uint8), Box(100, 80, 141, 121)
    cv2.circle(image, (120, 100), 20, (30, 30, 200), -1)

    def overlap(objects: tuple[Marked, ...]) -> float:
        found = [Box(*(int(v) for v in row)) for row in _suspects(image, objects)]
        return max((other.overlap(box) for other in found), default=0.0)

    assert overlap(()) > 0.5
    assert overlap((Marked(box, "disc"),)) <= 0.1
    doubtful = Material((image,), (NONE,), (), (np.array([box.as_tuple()], np.float32),))
    recipe = make_recipe(DetectorRecipe, {"side": 160, "frame_share": 1, "mosaic_share": 0})
    rng = np.random.default_rng(1)
    made = [compose(doubtful, recipe, rng) for _ in range(20)]
    assert all(len(m.boxes) == 0 for m in made)
    assert sum(len(m.unclear) for m in made) > 5


def blank(*boxes: tuple[float, ...], unclear: FloatArray = NONE) -> TrainingScene:
    pixels = np.zeros((96, 128, 3), np.uint8)
    return TrainingScene(pixels, np.array(boxes, np.float32).reshape(-1, 4), unclear, complete=True)


def test_what_is_taught_is_what_the_device_decodes() -> None:
    boxes = np.array([[10, 20, 40, 44], [60, 36, 126, 90], [70, 5, 79, 17]], np.float32)
    made = blank(*boxes.tolist())
    scores, codes = score_target(made, STRIDE), box_target(made, STRIDE)
    cells = np.argwhere(scores[..., 0] == 1.0)
    assert len(cells) == 3
    decoded = to_boxes(codes[cells[:, 0], cells[:, 1], :4], cells, DetectorSpec(stride=STRIDE))
    order = np.argsort(decoded[:, 0])
    np.testing.assert_allclose(decoded[order], boxes, atol=1e-3)
    # Every cell that learns a box learns the same one.
    taught = np.argwhere(codes[..., 4] > 0)
    assert len(taught) > 6
    all_boxes = to_boxes(codes[tuple(taught.T)][:, :4], taught, DetectorSpec(stride=STRIDE))
    assert {tuple(b) for b in all_boxes.round().tolist()} == {tuple(b) for b in boxes.tolist()}


def test_nothing_is_taught_where_it_is_unclear() -> None:
    made = blank((8, 8, 32, 32), unclear=np.array([[16, 16, 64, 48]], np.float32))
    weights = score_target(made, STRIDE)[..., 1]
    assert weights[2, 2] == 1.0, "a clear sign is learned all the same"
    assert weights[5, 7] == 0.0
    assert weights[8, 12] == 1.0


def score_of(made: TrainingScene, logits: FloatArray, unmarked: float = 1.0) -> float:
    targets = score_target(made, STRIDE)[None]
    return float(score_loss(unmarked)(targets, logits[None, ..., None]))


def test_the_score_loss_falls_towards_the_truth() -> None:
    made = blank((40, 40, 56, 56))
    right = np.where(score_target(made, STRIDE)[..., 0] == 1.0, 8.0, -8.0).astype(np.float32)
    unsure = np.zeros_like(right)
    assert score_of(made, right) < 0.01 < score_of(made, unsure) < score_of(made, -right)


def test_marks_that_are_not_complete_forgive_what_looks_like_a_sign() -> None:
    made = blank()
    logits = np.full((12, 16), -8.0, np.float32)
    logits[3, 3] = 4.0
    full = score_of(made, logits, 0.1)
    open_ = TrainingScene(made.pixels, made.boxes, made.unclear, complete=False)
    assert score_of(open_, logits, 0.1) == pytest.approx(0.1 * full, rel=0.01)
    assert score_of(open_, logits, 1.0) == pytest.approx(full, rel=0.01)


def test_the_box_loss_is_one_minus_overlap() -> None:
    made = blank((40, 40, 56, 56))
    target = box_target(made, STRIDE)[None]
    right = target[..., :4].copy()
    assert float(box_loss(2.0)(target, right)) == pytest.approx(0.0, abs=1e-5)
    # Twice as wide: IoU 1/2, and a tenth of log 2 for the code.
    wide = right.copy()
    wide[..., 2] += np.log(2)
    assert float(box_loss(2.0)(target, wide)) == pytest.approx(
        2 * (0.5 + 0.1 * np.log(2)), rel=1e-3
    )
    empty = box_target(blank(), STRIDE)[None]
    assert float(box_loss(2.0)(empty, right)) == 0.0


@pytest.mark.parametrize(
    ("label", "inside", "outside"),
    [
        ("No entry", [(30, 3), (3, 30)], [(2, 2), (57, 57)]),
        ("Stop", [(30, 3), (16, 6)], [(3, 3), (57, 57)]),
        ("Priority road", [(30, 4), (4, 30)], [(10, 10), (50, 50)]),
        ("General caution", [(30, 8), (6, 56)], [(10, 10), (50, 10)]),
        ("Yield", [(30, 52), (6, 4)], [(10, 50), (50, 50)]),
    ],
)
def test_signs_are_cut_along_their_outline(
    label: str, inside: list[tuple[int, int]], outside: list[tuple[int, int]]
) -> None:
    cutout = cut_out(np.full((60, 60, 3), 200, np.uint8), Box(0, 0, 60, 60), label)
    assert [int(cutout.mask[y, x]) for x, y in inside] == [255] * len(inside)
    assert [int(cutout.mask[y, x]) for x, y in outside] == [0] * len(outside)


def test_every_outline_is_of_a_class_of_the_benchmark(data_dir: Path) -> None:
    text = (data_dir / "gtsrb" / "classes.csv").read_text()
    assert all(f",{name}" in text or f'"{name}"' in text for name in OUTLINES)


def test_dark_crops_are_lit_up() -> None:
    dark = cut_out(np.full((20, 20, 3), 10, np.uint8), Box(0, 0, 20, 20), "Stop")
    assert dark.image.mean() > 90
    light = cut_out(np.full((20, 20, 3), 180, np.uint8), Box(0, 0, 20, 20), "Stop")
    assert (light.image == 180).all()


def test_what_cannot_be_trained_is_refused_before_it_starts(scenes: Path, tmp_path: Path) -> None:
    console = Console(file=StringIO())
    out = tmp_path / "x.tflite"
    with pytest.raises(BadContentError, match="no label 'lantern' to ignore; it has disc, lamp"):
        train_detector(scenes, out, None, ("lantern",), console=console)
    with pytest.raises(BadContentError, match="recipe: side"):
        train_detector(scenes, out, console=console, changes={"side": 100})
    alone = tmp_path / "alone"
    (alone / "frames").mkdir(parents=True)
    cv2.imwrite(str(alone / "frames" / "a.png"), np.zeros((40, 40, 3), np.uint8))
    (alone / "annotations.csv").write_text(
        "image,label,xmin,ymin,xmax,ymax,split\na.png,disc,1,1,9,9,train\n"
    )
    with pytest.raises(BadContentError, match="1 scenes to learn from and 0 held back"):
        train_detector(alone, out, console=console)


def test_the_command_line_hands_everything_on(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: dict[str, object] = {}

    def fake(
        scenes: Path, out: Path, signs: Path | None, ignored: list[str], **more: object
    ) -> None:
        called.update(scenes=scenes, out=out, signs=signs, ignored=ignored, **more)

    monkeypatch.setattr("cloud.train.detector.command.train_detector", fake)
    result = CliRunner().invoke(
        app,
        ["train-detector", "--scenes", str(scenes), "--out", str(tmp_path / "o"),
         "--signs", "s", "--ignore", "a", "--ignore", "b", "--terms", "mine",
         "--set", "epochs=3", "--set", "width=0.5", "--set", "seed=4", "--seed", "5"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert called == {
        "scenes": scenes, "out": tmp_path / "o", "signs": Path("s"), "ignored": ["a", "b"],
        "terms": "mine", "changes": {"epochs": "3", "width": "0.5", "seed": 5},
    }  # fmt: skip
