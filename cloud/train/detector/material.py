"""Folders of scenes and of sign crops become material for training scenes. Adapter."""

from collections.abc import Collection
from pathlib import Path
from typing import Final

import numpy as np

from agent.vision.colour import propose_colour
from agent.vision.types import FloatArray, Image
from cloud.data import TRAIN, decode, read_folder, split_by_track
from cloud.scenes import Marked, Scene, pictures
from cloud.train.detector.compose import Material
from cloud.train.detector.cutouts import Cutout, cut_out
from cloud.train.detector.recipe import DetectorRecipe

SUSPECT_SIZE: Final = 8
"""Smallest side of what may be an unmarked sign, pixels of the scene."""
SUSPECTS: Final = 16
"""At most so many in a scene."""


def load_material(
    scenes: tuple[Scene, ...],
    ignored: Collection[str],
    signs: Path | None,
    recipe: DetectorRecipe,
) -> tuple[Material, tuple[str, ...]]:
    """Decode what may be learned from.

    Args:
        scenes: Annotated scenes for learning.
        ignored: Labels that are no signs; such objects are background.
        signs: Folder of sign crops, see `cloud.data.read_folder`; only its `train` split is
            used. None: no crops.
        recipe: Says which crops, and whether unmarked signs are suspected.

    Returns:
        The material, and what was refused with the reason.

    Raises:
        BadContentError, UnavailableError: as of `read_folder`.
    """
    frames, boxes, suspects, refused = [], [], [], []
    for scene, image in pictures(scenes):
        if isinstance(image, str):
            refused.append(image)
        else:
            frames.append(image)
            boxes.append(as_array(scene.objects, ignored))
            if recipe.suspects:
                suspects.append(_suspects(image, scene.objects))
    cutouts, also_refused = _load_signs(signs, recipe.crop_step) if signs else ((), ())
    material = Material(tuple(frames), tuple(boxes), cutouts, tuple(suspects))
    return material, (*refused, *also_refused)


def as_array(objects: tuple[Marked, ...], ignored: Collection[str]) -> FloatArray:
    """Return the boxes of signs, shape (n, 4)."""
    found = [o.box.as_tuple() for o in objects if o.label not in ignored]
    return np.array(found, np.float32).reshape(-1, 4)


def _suspects(image: Image, objects: tuple[Marked, ...]) -> FloatArray:
    """Return patches in the colours and outlines of signs that overlap nothing marked."""
    found = [
        region.box.as_tuple()
        for region in propose_colour(image, SUSPECT_SIZE, SUSPECTS)
        if not any(region.box.overlap(o.box) > 0.1 for o in objects)
    ]
    return np.array(found, np.float32).reshape(-1, 4)


def _load_signs(root: Path, step: int) -> tuple[tuple[Cutout, ...], tuple[str, ...]]:
    folder = split_by_track(read_folder(root))
    samples = folder.of(TRAIN) if folder.splits else folder.samples
    cutouts, refused = [], []
    for sample, image in decode(folder, samples[::step]):
        if isinstance(image, str):
            refused.append(f"{sample.name}: {image}")
        else:
            cutouts.append(cut_out(image, sample.box(image), folder.labels[sample.index]))
    return tuple(cutouts), tuple(refused)
