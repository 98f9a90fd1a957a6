import hashlib
import subprocess
import sys
from collections import defaultdict
from functools import lru_cache

import numpy as np
import pytest

from agent.camera.scene.options import CONDITIONS, SceneOptions, parse_scene
from agent.camera.scene.signs import LABELS
from agent.camera.scene.weather import STRETCH_S
from agent.camera.scene.world import Scene, TruthObject
from agent.vision.types import Box, Image

URI = "scene://5?frames=600"
FRESH = """
import hashlib
from agent.camera.scene.options import parse_scene
from agent.camera.scene.world import Scene
scene = Scene(parse_scene("scene://5?frames=600"))
for n in (333, 40):
    print(hashlib.sha256(scene.render(n).tobytes()).hexdigest(), scene.truth(n))
"""


@lru_cache(maxsize=16)
def scene_of(uri: str) -> Scene:
    return Scene(parse_scene(uri))


@lru_cache(maxsize=1)
def drive() -> tuple[tuple[TruthObject, ...], ...]:
    """The truth of a minute."""
    return tuple(scene_of(URI).truth(n) for n in range(600))


def digest(image: Image) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()


def test_frames_are_the_same_in_any_order() -> None:
    numbers = (0, 1, 39, 40, 79, 80, 333, 599)
    forwards, backwards = Scene(parse_scene(URI)), Scene(parse_scene(URI))
    first = {n: (digest(forwards.render(n)), forwards.truth(n)) for n in numbers}
    second = {n: (digest(backwards.render(n)), backwards.truth(n)) for n in numbers[::-1]}
    assert first == second
    assert len({picture for picture, _ in first.values()}) == len(numbers)


def test_a_fresh_process_draws_the_same() -> None:
    scene = scene_of(URI)
    here = "".join(f"{digest(scene.render(n))} {scene.truth(n)}\n" for n in (333, 40))
    there = subprocess.run(
        [sys.executable, "-c", FRESH], check=True, capture_output=True, text=True, timeout=120
    )
    assert there.stdout == here


def test_two_seeds_differ() -> None:
    one, other = scene_of("scene://1"), scene_of("scene://2")
    assert digest(one.render(50)) != digest(other.render(50))
    assert one.truth(50) != other.truth(50)


@pytest.mark.parametrize("condition", ["day", "dusk", "rain", "night"])
def test_truth_boxes_lie_on_the_signs(condition: str) -> None:
    scene = scene_of(f"scene://8?conditions={condition}")
    overlaps = []
    for n in range(0, 900, 12):
        change = np.abs(scene.render(n).astype(int) - scene.render(n, signs=False))
        changed = change.max(axis=2) > 12
        posts = [item for item in scene.truth(n) if item.track % 8 == 0]
        for item in posts:
            wide = item.box.widened(0.25, 640, 480)
            alone = all(other is item or wide.overlap(other.box) == 0 for other in posts)
            if item.visibility < 0.72 or item.size < 28 or not alone:
                continue
            ys, xs = np.nonzero(changed[wide.y0 : wide.y1, wide.x0 : wide.x1])
            x, y, far_x, far_y = (int(v) for v in (xs.min(), ys.min(), xs.max(), ys.max()))
            found = Box(wide.x0 + x, wide.y0 + y, wide.x0 + far_x + 1, wide.y0 + far_y + 1)
            overlaps.append(found.overlap(item.box))
    assert len(overlaps) >= 15
    # Branches and signs too far for the truth widen what changed around a few.
    assert np.quantile(overlaps, 0.15) > 0.8


def test_signs_come_near_and_pass() -> None:
    sizes: dict[int, list[float]] = defaultdict(list)
    for truth in drive():
        for item in truth:
            if item.track % 8 == 0:
                sizes[item.track].append(item.size)
    whole = [s for track, s in sizes.items() if 8 * 5 < track < 8 * 25]
    assert len(whole) >= 15
    assert all(s == sorted(s) for s in whole)
    assert sum(s[0] <= 16 for s in whole) >= 0.8 * len(whole)
    assert sum(70 <= s[-1] <= 130 for s in whole) >= 0.6 * len(whole)


def test_truth_is_sane() -> None:
    for truth in drive():
        assert len({item.track for item in truth}) == len(truth)
        for item in truth:
            assert 0 <= item.box.x0 < item.box.x1 <= 640
            assert 0 <= item.box.y0 < item.box.y1 <= 480
            assert 0 < item.visibility <= 1
            assert item.label is None or item.label in LABELS


def test_there_are_signs_and_puzzles() -> None:
    labels = {item.track: item.label for truth in drive() for item in truth}
    posts = {track: label for track, label in labels.items() if track % 8 == 0}
    assert len({label for label in posts.values() if label}) >= 20
    assert sum(label is None for label in posts.values()) >= 2
    assert any(label is None and track % 8 for track, label in labels.items())


def test_each_sign_comes_before_any_comes_twice_too_often() -> None:
    scene = scene_of("scene://3?signs_per_minute=240")
    labels = {i.track: i.label for n in range(0, 160, 4) for i in scene.truth(n) if i.label}
    counts = [list(labels.values()).count(label) for label in LABELS]
    assert max(counts) <= 2


def test_conditions_take_turns_and_show() -> None:
    scene = scene_of(URI)
    steps = range(0, round(len(CONDITIONS) * STRETCH_S * 10), 10)
    assert {scene.condition(n) for n in steps} == set(CONDITIONS)
    assert scene.condition(0) == "day"
    frames = {c: scene_of(f"scene://5?conditions={c}").render(30) for c in CONDITIONS}
    light = {condition: frame.mean() for condition, frame in frames.items()}
    assert light["night"] < 0.8 * light["dusk"] < 0.8 * light["day"]
    far = {condition: frame[200:260].std() for condition, frame in frames.items()}
    assert far["fog"] < 0.5 * far["day"]
    bright = {condition: (frame.min(axis=2) > 250).mean() for condition, frame in frames.items()}
    assert bright["glare"] > 0.01 + bright["dusk"]


def test_fog_lowers_visibility() -> None:
    clear = {i.track: i for i in scene_of("scene://5?conditions=day").truth(30)}
    foggy = {i.track: i for i in scene_of("scene://5?conditions=fog").truth(30)}
    assert foggy
    assert all(foggy[track].visibility < clear[track].visibility for track in foggy)


def test_a_cut_has_the_label_of_the_object_it_shows() -> None:
    scene = scene_of(URI)
    told = [(n, i) for n in range(0, 600, 7) for i in scene.truth(n) if i.size > 40]
    assert {item.label is None for _, item in told} == {True, False}
    for n, item in told:
        assert scene.label_at(n, item.box) == item.label
    n, item = next((n, i) for n, i in told if i.label)
    assert scene.label_at(n, Box(300, 440, 340, 480)) is None
    assert scene.label_at(n, item.box.widened(1.0, 640, 480)) is None


@pytest.mark.parametrize(("width", "height"), [(160, 120), (320, 240), (1280, 720), (480, 640)])
def test_other_sizes_are_drawn(width: int, height: int) -> None:
    scene = Scene(SceneOptions(3, width, height, frames=10))
    image = scene.render(4)
    assert image.shape == (height, width, 3)
    assert image.dtype == np.uint8
    assert image.std() > 10
    assert scene.truth(4)


def test_pictures_are_handed_over() -> None:
    scene = scene_of(URI)
    first = scene.render(10)
    kept = digest(first)
    first[:] = 0
    assert digest(scene.render(10)) == kept
