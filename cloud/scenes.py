"""A folder of annotated scenes: pictures with boxes, one CSV. Adapter.

The layout: `frames/` with the pictures and `annotations.csv` with the columns `image`, `label`,
`xmin`, `ymin`, `xmax`, `ymax` (pixels; exclusive ends) and, where present, `width`, `height` and
`split`. A picture without objects has one row whose label and box are empty.
"""

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from agent.contract.errors import BadContentError, UnavailableError
from agent.vision.preprocess import difference_hash, hash_distance
from agent.vision.types import Box, Image

ANNOTATIONS: Final = "annotations.csv"
FRAMES: Final = "frames"
COLUMNS: Final = ("image", "label", "xmin", "ymin", "xmax", "ymax")
VAL_SHARE: Final = 0.25
ALIKE_BITS: Final = 10
"""Pictures whose difference hashes differ in at most so many of 64 bits are one place."""


@dataclass(frozen=True, slots=True)
class Marked:
    """One annotated object."""

    box: Box
    label: str


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture and what is marked in it."""

    name: str
    path: Path = field(repr=False)
    objects: tuple[Marked, ...]
    split: str = ""


@dataclass(frozen=True, slots=True)
class SceneFolder:
    """What a folder of scenes says, before any picture is decoded."""

    root: Path
    scenes: tuple[Scene, ...]
    sha256: str = field(repr=False)
    """Of the annotation CSV."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of all objects, sorted."""
        return tuple(sorted({o.label for s in self.scenes for o in s.objects}))


def read_scenes(root: Path) -> SceneFolder:
    """Read the annotations of a folder of scenes.

    Raises:
        BadContentError: a column or value is missing or wrong, or no picture is there.
        UnavailableError: the folder or the CSV cannot be read.
    """
    path = root / ANNOTATIONS
    try:
        data = path.read_bytes()
        rows = list(csv.DictReader(data.decode("utf-8-sig").splitlines()))
    except OSError as error:
        raise UnavailableError(f"{path}: {error.strerror}; check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadContentError(f"{path}: not a UTF-8 CSV: {error}") from error
    missing = [name for name in COLUMNS if rows and name not in rows[0]]
    if not rows or missing:
        raise BadContentError(
            f"{path}: no column {missing[0]!r}; need {','.join(COLUMNS)}" if missing
            else f"{path}: no rows"
        )  # fmt: skip
    objects: dict[str, list[Marked]] = {}
    splits: dict[str, str] = {}
    for line, row in enumerate(rows, 2):
        name = (row["image"] or "").strip()
        marked = _marked(row, f"{path.name} line {line}")
        objects.setdefault(name, []).extend([marked] if marked else [])
        splits[name] = (row.get("split") or "").strip()
    scenes = tuple(
        Scene(name, _picture(root, name), tuple(found), splits[name])
        for name, found in objects.items()
    )
    return SceneFolder(root, scenes, hashlib.sha256(data).hexdigest())


def read_picture(scene: Scene) -> Image:
    """Decode a scene's picture, BGR uint8.

    Raises:
        BadContentError: it is no picture, or a box reaches outside it.
        UnavailableError: the file cannot be read.
    """
    try:
        data = scene.path.read_bytes()
    except OSError as error:
        raise UnavailableError(f"{scene.path}: {error.strerror}; check the path") from error
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise BadContentError(f"{scene.name}: not a picture that OpenCV reads")
    height, width = image.shape[:2]
    for marked in scene.objects:
        if marked.box.x1 > width or marked.box.y1 > height:
            raise BadContentError(
                f"{scene.name}: box {marked.box.as_tuple()} reaches outside {width}x{height}"
            )
    return np.asarray(image, np.uint8)


def pictures(scenes: tuple[Scene, ...]) -> Iterator[tuple[Scene, Image | str]]:
    """Yield each scene with its picture, or with the reason why it is refused."""
    for scene in scenes:
        try:
            yield scene, read_picture(scene)
        except (BadContentError, UnavailableError) as error:
            yield scene, str(error)


def held_back(scenes: tuple[Scene, ...], share: float = VAL_SHARE) -> frozenset[str]:
    """Choose the pictures that no training sees: always the same ones, by name.

    Pictures of one place, by their difference hashes, stay on one side: the choice is made by
    the smallest name among those alike. Pictures that cannot be read are on no side that counts.
    """
    places: list[tuple[int, str]] = []
    held = set()
    for scene, image in sorted(pictures(scenes), key=lambda pair: pair[0].name):
        if isinstance(image, str):
            continue
        dhash = difference_hash(image)
        alike = (name for known, name in places if hash_distance(known, dhash) <= ALIKE_BITS)
        place = next(alike, scene.name)
        places.append((dhash, place))
        drawn = int.from_bytes(hashlib.sha256(place.encode()).digest()[:4], "big") / 2**32
        if drawn < share:
            held.add(scene.name)
    return frozenset(held)


def held_names(folder: SceneFolder) -> frozenset[str]:
    """Return the pictures held back: the folder's own `val` split, else those of `held_back`."""
    if any(scene.split for scene in folder.scenes):
        return frozenset(scene.name for scene in folder.scenes if scene.split == "val")
    return held_back(folder.scenes)


def _marked(row: dict[str, str], place: str) -> Marked | None:
    label = (row["label"] or "").strip()
    texts = [(row[name] or "").strip() for name in COLUMNS[2:]]
    if not label and not any(texts):
        return None
    try:
        box = Box(*(int(text) for text in texts))
    except ValueError:
        raise BadContentError(
            f"{place}: box {','.join(texts)!r} is not four whole numbers"
        ) from None
    if not label or min(box.as_tuple()) < 0 or box.width <= 0 or box.height <= 0:
        raise BadContentError(f"{place}: need a label and a box xmin < xmax, ymin < ymax, not"
                              f" {label!r} {box.as_tuple()}")  # fmt: skip
    return Marked(box, label)


def _picture(root: Path, name: str) -> Path:
    if not name or name.startswith("/") or ".." in Path(name).parts:
        raise BadContentError(f"{root}: image {name[:100]!r} must lie inside the folder")
    for path in (root / FRAMES / name, root / name):
        if path.is_file():
            return path
    raise BadContentError(f"{root}: image {name!r} is annotated but not in {FRAMES}/")
