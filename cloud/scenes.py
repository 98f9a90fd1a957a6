"""A folder of annotated scenes: pictures with boxes, one CSV. Adapter.

The layout: `frames/` with the pictures and `annotations.csv` with the columns `image`, `label`,
`xmin`, `ymin`, `xmax`, `ymax` (pixels; exclusive ends) and, where present, `split`. A picture
without objects has one row whose label and box are empty.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from agent.contract.errors import BadContentError, UnavailableError
from agent.vision.preprocess import difference_hash, hash_distance
from agent.vision.types import Box, Image
from cloud.annotations import Row, read_csv
from cloud.data import TRAIN, VAL
from cloud.pictures import decoded

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

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, sorted; empty where the folder has none."""
        return tuple(sorted({s.split for s in self.scenes} - {""}))

    def of(self, split: str) -> tuple[Scene, ...]:
        """Return the scenes of one split.

        Raises:
            BadContentError: no such split.
        """
        chosen = tuple(s for s in self.scenes if s.split == split)
        if not chosen:
            known = ", ".join(self.splits) or "none"
            raise BadContentError(
                f"{self.root / ANNOTATIONS}: no split {split!r}; it has: {known}; name one of"
                " them, or change the split column"
            )
        return chosen


def read_scenes(root: Path) -> SceneFolder:
    """Read the annotations of a folder of scenes.

    Raises:
        BadContentError: a column or value is missing or wrong, a picture is in two splits, only
            some rows have a split, or no picture is there.
        UnavailableError: the folder or the CSV cannot be read.
    """
    path = root / ANNOTATIONS
    header, rows = read_csv(path)
    missing = [name for name in COLUMNS if header and name not in header]
    if not rows or missing:
        raise BadContentError(
            f"{path}: no column {missing[0]!r}; need {','.join(COLUMNS)}" if missing
            else f"{path}: no rows"
        )  # fmt: skip
    splits = _splits(path, rows)
    objects: dict[str, list[Marked]] = {}
    for line, row in rows:
        marked = _marked(row, f"{path.name} line {line}")
        objects.setdefault(row["image"], []).extend([marked] if marked else [])
    scenes = tuple(
        Scene(name, _place(root, name), tuple(found), splits[name])
        for name, found in objects.items()
    )
    if not any(scene.path.is_file() for scene in scenes):
        raise BadContentError(
            f"{root}: none of {len(scenes)} annotated pictures is in {FRAMES}/, first"
            f" {scenes[0].name!r}; copy them there, or edit the image column"
        )
    return SceneFolder(root, scenes, hashlib.sha256(path.read_bytes()).hexdigest())


def read_picture(scene: Scene) -> Image:
    """Decode a scene's picture, BGR uint8.

    Raises:
        BadContentError: it is not there or no picture, or a box reaches outside it.
        UnavailableError: the file cannot be read.
    """
    try:
        image = decoded(scene.path.read_bytes())
    except FileNotFoundError:
        raise BadContentError(f"{scene.name}: annotated but not in {FRAMES}/") from None
    except OSError as error:
        raise UnavailableError(f"{scene.path}: {error.strerror}; check the path") from error
    if isinstance(image, str):
        raise BadContentError(f"{scene.name}: {image}")
    height, width = image.shape[:2]
    for marked in scene.objects:
        if marked.box.x1 > width or marked.box.y1 > height:
            raise BadContentError(
                f"{scene.name}: box {marked.box.as_tuple()} reaches outside {width}x{height}"
            )
    return image


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


def with_splits(folder: SceneFolder) -> SceneFolder:
    """Return the folder with its own splits, else with those of `held_back`: train and val."""
    if folder.splits:
        return folder
    held = held_back(folder.scenes)
    return replace(
        folder,
        scenes=tuple(replace(s, split=VAL if s.name in held else TRAIN) for s in folder.scenes),
    )


def _splits(path: Path, rows: list[Row]) -> dict[str, str]:
    """Return the split of each picture; empty where the folder has none."""
    without = [line for line, row in rows if not row.get("split")]
    if 0 < len(without) < len(rows):
        raise BadContentError(
            f"{path} line {without[0]}: no split, as in {len(without)} of {len(rows)} rows; give"
            " every row one, or leave the column out"
        )
    splits: dict[str, str] = {}
    for line, row in rows:
        name, split = row.get("image", ""), row.get("split", "")
        first = splits.setdefault(name, split)
        if first != split:
            raise BadContentError(
                f"{path} line {line}: image {name!r} is in split {split!r} here and in {first!r}"
                " above; give all its rows the same one"
            )
    return splits


def _marked(row: dict[str, str], place: str) -> Marked | None:
    label = row.get("label", "")
    texts = [row.get(name, "") for name in COLUMNS[2:]]
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


def _place(root: Path, name: str) -> Path:
    """Return where a picture is, or should be."""
    if not name or name.startswith("/") or ".." in Path(name).parts:
        raise BadContentError(f"{root}: image {name[:100]!r} must lie inside the folder")
    places = (root / FRAMES / name, root / name)
    return next((path for path in places if path.is_file()), places[0])
