import csv
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.camera.scene.options import parse_scene
from agent.camera.scene.pen import Sprite
from agent.camera.scene.signs import draw_sign
from agent.camera.scene.world import Scene
from agent.vision.colour import propose_colour
from agent.vision.types import Box, Image

COLOURLESS = "End of"
"""Signs that end a rule are white, grey and black: colour cannot find them."""


def placed(sprite: Sprite, side: int, at: tuple[int, int], ground: Image) -> Box:
    height, width = sprite.alpha.shape
    size = (round(width * side / max(height, width)), round(height * side / max(height, width)))
    bgr = cv2.resize(sprite.bgr, size, interpolation=cv2.INTER_AREA)
    alpha = cv2.resize(sprite.alpha, size, interpolation=cv2.INTER_AREA)
    box = Box(at[0], at[1], at[0] + size[0], at[1] + size[1])
    cv2.copyTo(bgr, (alpha > 127).astype(np.uint8), ground[box.y0 : box.y1, box.x0 : box.x1])
    return box


@pytest.mark.parametrize("side", [20, 33, 80, 200])
@pytest.mark.parametrize(
    "label", ["Speed limit (50km/h)", "Yield", "Stop", "Priority road", "Keep right", "Road work"]
)
def test_a_sign_is_boxed_tightly(label: str, side: int) -> None:
    image = np.full((480, 640, 3), (125, 130, 128), np.uint8)
    box = placed(draw_sign(label), side, (201, 117), image)
    regions = propose_colour(image, 16, 8)
    assert len(regions) == 1
    assert regions[0].box.overlap(box) > 0.6
    assert 0.5 < regions[0].score <= 1


def test_a_blue_sign_before_the_sky_is_found() -> None:
    image = np.full((480, 640, 3), (225, 170, 110), np.uint8)
    box = placed(draw_sign("Ahead only"), 40, (300, 100), image)
    assert max(r.box.overlap(box) for r in propose_colour(image, 16, 8)) > 0.7


@pytest.mark.parametrize("grey", [0, 90, 255])
def test_nothing_is_found_in_nothing(grey: int) -> None:
    assert propose_colour(np.full((480, 640, 3), grey, np.uint8), 16, 8) == ()


def test_limits_are_kept() -> None:
    image = np.full((480, 640, 3), 128, np.uint8)
    for i in range(10):
        placed(draw_sign("Stop"), 20 + 3 * i, (10 + 60 * i, 100), image)
    assert len(propose_colour(image, 16, 64)) == 10
    assert len(propose_colour(image, 16, 3)) == 3
    large = propose_colour(image, 40, 64)
    assert 1 <= len(large) <= 4
    assert all(min(r.box.width, r.box.height) >= 40 for r in large)


@pytest.mark.parametrize("shape", [(1, 1), (2, 900), (900, 2), (33, 47), (1080, 1920)])
def test_any_size_and_noise_gives_regions_inside(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    for region in propose_colour(image, 2, 64):
        assert 0 <= region.box.x0 < region.box.x1 <= shape[1]
        assert 0 <= region.box.y0 < region.box.y1 <= shape[0]
        assert 0 <= region.score <= 1


def recall(condition: str) -> tuple[float, float, float]:
    """Return recall of all signs, of coloured ones, and false boxes a frame."""
    found: list[bool] = []
    coloured: list[bool] = []
    false = frames = 0
    for seed in (21, 22, 23):
        scene = Scene(parse_scene(f"scene://{seed}?conditions={condition}"))
        for n in range(0, 900, 15):
            regions, truth = propose_colour(scene.render(n), 16, 8), scene.truth(n)
            frames += 1
            false += sum(all(r.box.overlap(o.box) < 0.3 for o in truth) for r in regions)
            for item in truth:
                least = min(item.box.width, item.box.height)
                if item.label is None or least < 24 or item.visibility < 0.75:
                    continue
                hit = any(r.box.overlap(item.box) >= 0.5 for r in regions)
                found.append(hit)
                if not item.label.startswith(COLOURLESS):
                    coloured.append(hit)
    assert len(found) >= 80
    return sum(found) / len(found), sum(coloured) / len(coloured), false / frames


def test_signs_of_the_scene_are_found_by_day() -> None:
    of_all, of_coloured, false = recall("day")
    assert of_all >= 0.85
    assert of_coloured >= 0.93
    assert false <= 3


def test_signs_of_the_scene_are_found_at_night() -> None:
    _, of_coloured, false = recall("night")
    assert of_coloured >= 0.9
    assert false <= 3


@pytest.mark.data
def test_signs_on_real_roads_are_found(data_dir: Path) -> None:
    frames: dict[str, list[tuple[str, Box]]] = defaultdict(list)
    with (data_dir / "detection-frames" / "annotations.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            box = Box(*(int(row[key]) for key in ("xmin", "ymin", "xmax", "ymax")))
            frames[row["image"]].append((row["label"], box))
    hits: dict[str, list[bool]] = defaultdict(list)
    for name, items in frames.items():
        path = data_dir / "detection-frames" / "frames" / Path(name).name
        image = cv2.imread(str(path))
        assert image is not None, path
        regions = propose_colour(np.asarray(image, np.uint8), 16, 8)
        for label, box in items:
            if min(box.width, box.height) >= 16:
                hits[label].append(any(r.box.overlap(box) >= 0.5 for r in regions))
    shares = {label: sum(found) / len(found) for label, found in hits.items()}
    assert shares["stop"] >= 0.55
    assert shares["crosswalk"] >= 0.6
    assert shares["speedlimit"] >= 0.4
