"""What a run may learn from beside labelled images: scenes, teachers, an earlier run, a model."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.messages import NONE_OF_THESE
from agent.vision.engine import Engine, read_model
from agent.vision.types import Box, Image, Region, whole
from cloud.evaluate import evaluate
from cloud.train.background import background_patches
from cloud.train.command import Trained, train
from cloud.train.model import build, with_answers
from cloud.train.targets import mean_answer, softened
from tests.drawn_folder import LABELS, PROFILE, draw, full_folder

# Keras and TensorFlow are behind numpy's deprecations.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning:keras", "ignore::DeprecationWarning:tensorflow"
    ),
]
SMALL = {
    "side": 24, "width": 0.25, "epochs": 6, "batch": 32, "calibration": 32, "dropout": 0.0,
    "learning_rate": 5e-3, "balance": 1.0,
}  # fmt: skip
Run = Callable[..., Trained]


def scene(rng: np.random.Generator) -> Image:
    """A street without signs: grey noise in coarse blocks, some of it reddish."""
    blocks = rng.integers(60, 200, (12, 16, 1)) + rng.integers(-25, 25, (12, 16, 3))
    return np.asarray(cv2.resize(np.clip(blocks, 0, 255).astype(np.uint8), (320, 240)), np.uint8)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sources")
    (root / "profile.toml").write_text(PROFILE)
    (root / "data").mkdir()
    full_folder(root / "data", tracks=8, frames=8)
    (root / "scenes" / "frames").mkdir(parents=True)
    rng = np.random.default_rng(3)
    lines = ["image,width,height,label,xmin,ymin,xmax,ymax"]
    for n in range(24):
        cv2.imwrite(str(root / "scenes" / "frames" / f"{n}.png"), scene(rng))
        lines.append(f"{n}.png,320,240,disc,10,10,40,40")
    (root / "scenes" / "annotations.csv").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def run(place: Path) -> Run:
    def trained(name: str, data: str = "data", **more: object) -> Trained:
        changes = {**SMALL, **more.pop("changes", {})}  # type: ignore[dict-item]
        return train(
            str(place / "profile.toml"), place / data, place / f"{name}.tflite",
            console=Console(quiet=True), changes=changes, **more,  # type: ignore[arg-type]
        )  # fmt: skip

    return trained


@pytest.fixture(scope="module")
def with_none(run: Run, place: Path) -> Trained:
    return run("dev", background=place / "scenes")


def test_scenes_teach_what_is_none_of_the_classes(with_none: Trained) -> None:
    engine = Engine(read_model(with_none.model))
    assert engine.model.labels == (*LABELS, NONE_OF_THESE)
    assert engine.labels == LABELS
    rng = np.random.default_rng(77)
    street = scene(rng)
    boxes = [Box(x, y, x + 40, y + 40) for x in (20, 90, 200) for y in (30, 110, 180)]
    answers = [engine.classify(street, Region(box)).label for box in boxes]
    assert answers.count("") >= 8
    picture = draw(0, rng)
    assert engine.classify(picture, Region(whole(picture))).label == "disc"
    manifest = engine.model.manifest
    assert manifest is not None
    assert manifest.unknown is not None
    assert manifest.trained_on == "data train; none of these: scenes"


def test_a_final_run_learns_from_all_and_keeps_the_figures(
    with_none: Trained, run: Run, place: Path
) -> None:
    final = run(
        "final", background=place / "scenes", development=with_none.model, changes={"seed": 2}
    )
    first, second = (read_model(t.model).manifest for t in (with_none, final))
    assert first is not None
    assert second is not None
    assert (second.temperature, second.unknown) == (first.temperature, first.unknown)
    assert (first.refit, second.refit) == (False, True)
    report = evaluate(final.model, place / "data", "val")
    assert any("has learned from these images" in note for note in report.notes)
    assert evaluate(with_none.model, place / "data", "val").notes == ()
    assert final.metrics == with_none.metrics
    assert second.recipe == {**first.recipe, "seed": 2}
    assert second.trained_on == "data train and val; none of these: scenes"
    assert all(epoch.val_accuracy is None for epoch in final.history)
    assert final.drop.images == with_none.drop.images


def test_a_teachers_answers_are_learned_too(with_none: Trained, run: Run, place: Path) -> None:
    pupil = run(
        "pupil", background=place / "scenes", teachers=(with_none.weights,),
        changes={"teacher_share": 0.7, "epochs": 2},
    )  # fmt: skip
    alone = run("alone", background=place / "scenes", changes={"epochs": 2})
    # The same images in the same order: only the targets differ.
    assert pupil.history[0].loss != alone.history[0].loss
    assert pupil.drop.images == alone.drop.images


def test_a_trained_model_learns_more_and_forgets_less_with_replay(
    with_none: Trained, run: Run, place: Path
) -> None:
    new = place / "new"
    new.mkdir()
    full_folder(new, tracks=8, frames=6)
    table = (new / "annotations.csv").read_text().splitlines()
    only_discs = [line for line in table if not line.startswith(("1/", "2/"))]
    (new / "annotations.csv").write_text("\n".join(only_discs))
    changes = {"epochs": 30, "learning_rate": 5e-3}
    alone = run("more-alone", "new", start=with_none.model, changes=changes)
    replayed = run(
        "more", "new", start=with_none.model, replay=place / "data",
        background=place / "scenes", changes=changes,
    )  # fmt: skip
    assert alone.known.images == 0
    assert replayed.known.images > replayed.new.images > 0
    assert replayed.new.errors == 0
    assert replayed.known.errors <= replayed.known.images // 20
    rng = np.random.default_rng(5)
    pictures = [draw(index, rng) for index in (1, 2) for _ in range(20)]

    def wrong(trained: Trained) -> int:
        engine = Engine(read_model(trained.model))
        answers = [engine.classify(p, Region(whole(p))).index for p in pictures]
        return sum(a != 1 + n // 20 for n, a in enumerate(answers))

    assert wrong(alone) > 20
    assert wrong(replayed) <= 4


def test_what_does_not_go_together_is_refused(
    with_none: Trained, run: Run, place: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadContentError, match="exclude each other"):
        run("x", start=with_none.model, development=with_none.model)
    with pytest.raises(BadContentError, match="exclude each other"):
        run("x", replay=place / "data")
    with pytest.raises(BadContentError, match="made for 24 pixels a side, not 32"):
        run("x", start=with_none.model, changes={"side": 32})
    lonely = tmp_path / "lonely.tflite"
    lonely.write_bytes(with_none.model.read_bytes())
    with pytest.raises(UnavailableError, match=r"lonely\.keras: no such file"):
        run("x", start=lonely)
    lonely.with_suffix(".keras").write_bytes(b"not a network")
    with pytest.raises(BadContentError, match=r"lonely\.keras: not a network of this trainer"):
        run("x", start=lonely)


def test_a_network_grows_new_answers_and_keeps_the_old_ones() -> None:
    old = build(24, 2, 0.25, 0.0)
    grown = with_answers(old, ("b", "a"), ("a", "b", "c"), 0.25, 0.0)
    pixels = np.random.default_rng(0).random((4, 24, 24, 3), np.float32)
    before, after = (np.asarray(n.predict_on_batch(pixels)) for n in (old, grown))
    assert after.shape == (4, 3)
    assert after[:, [1, 0]] == pytest.approx(before, abs=1e-5)
    with pytest.raises(BadContentError, match="knows 'b', which is no class"):
        with_answers(old, ("b", "a"), ("a", "c"), 0.25, 0.0)
    with pytest.raises(BadContentError, match="other layers than this trainer builds"):
        with_answers(old, ("b", "a"), ("a", "b"), 0.5, 0.0)


def test_patches_touch_nothing_that_is_marked() -> None:
    street = scene(np.random.default_rng(1))
    marked = (Box(100, 80, 180, 160),)
    patches = background_patches(street, marked, np.random.default_rng(2))
    free = background_patches(street, (), np.random.default_rng(2))
    assert 0 < len(patches) < len(free)
    for patch in patches:
        height, width = patch.image.shape[:2]
        assert 0 <= patch.box.x0 < patch.box.x1 <= width
        assert 0 <= patch.box.y0 < patch.box.y1 <= height
    again = background_patches(street, marked, np.random.default_rng(2))
    assert [p.box for p in again] == [p.box for p in patches]
    assert background_patches(street, (whole(street),), np.random.default_rng(2)) == ()


def test_targets_are_distributions() -> None:
    one_hot = np.eye(4, dtype=np.float32)[[0, 2]]
    assert softened(one_hot, 0.0) == pytest.approx(one_hot)
    assert softened(one_hot, 0.2)[0] == pytest.approx([0.85, 0.05, 0.05, 0.05])
    logits = np.array([[0.0, 2.0, 0.0, 0.0]] * 2, np.float32)
    answers = mean_answer((logits, logits), 2.0)
    e = np.exp(1.0)
    assert answers[0] == pytest.approx(np.array([1, e, 1, 1]) / (3 + e), abs=1e-6)
    taught = softened(one_hot, 0.0, answers, 0.25)
    assert taught.sum(axis=1) == pytest.approx([1, 1])
    assert taught[0, 0] == pytest.approx(0.75 + 0.25 / (3 + e), abs=1e-6)


def test_what_does_not_fit_the_run_before_is_refused(
    with_none: Trained, run: Run, place: Path
) -> None:
    with pytest.raises(BadContentError, match=r"dev\.tflite: made with another answers"):
        run("x", development=with_none.model)
    other = place / "other"
    other.mkdir()
    full_folder(other, tracks=5, frames=4)
    with pytest.raises(BadContentError, match=r"dev\.tflite: made with another data"):
        run("x", "other", background=place / "scenes", development=with_none.model)
    with pytest.raises(BadContentError, match=r"dev\.tflite: is what this run begins with"):
        run("dev", start=with_none.model)
    with pytest.raises(BadContentError, match=r"a teacher and its share .* go together"):
        run("x", changes={"teacher_share": 0.5})
    with pytest.raises(BadContentError, match=r"a teacher and its share .* go together"):
        run("x", teachers=(with_none.weights,))
    taught = {"changes": {"teacher_share": 0.5}, "teachers": (with_none.weights,)}
    with pytest.raises(BadContentError, match=r"24 pixels a side and 4 answers, .* 24 and 3"):
        run("x", **taught)


def test_other_pixels_under_a_checkpoint_are_noticed(run: Run, place: Path) -> None:
    changes = {"epochs": 1}
    shifting = place / "shifting"
    shifting.mkdir()
    full_folder(shifting, tracks=5, frames=4)
    run("shifting", "shifting", changes=changes)
    table = (shifting / "annotations.csv").read_bytes()
    with zipfile.ZipFile(shifting / "images.zip") as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    image = cv2.imdecode(np.frombuffer(held["0/01_0.png"], np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    image[0, 0] ^= 1
    held["0/01_0.png"] = bytes(cv2.imencode(".png", image)[1])
    with zipfile.ZipFile(shifting / "images.zip", "w") as archive:
        for name, content in held.items():
            archive.writestr(name, content)
    assert (shifting / "annotations.csv").read_bytes() == table
    with pytest.raises(BadContentError, match="another recipe or other data"):
        run("shifting", "shifting", changes=changes)
