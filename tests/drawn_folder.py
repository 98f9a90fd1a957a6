"""Small data folders of drawn pictures, in every layout that is read."""

import csv
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from agent.vision.types import Image

LABELS = ("disc", "points left", "points right")
PROFILE = """
name = "drawn"
title = "Drawn shapes"
instructions = "Say what is drawn."
[augmentation]
rotate_degrees = 5.0
brightness = 0.2
[[class]]
label = "disc"
description = "A red disc."
symmetry = "both"
[[class]]
label = "points left"
description = "A blue triangle that points left."
mirror = "points right"
[[class]]
label = "points right"
description = "A blue triangle that points right."
mirror = "points left"
"""


@dataclass(frozen=True)
class Row:
    """One annotated picture."""

    path: str
    index: int
    track: str
    image: Image


def draw(index: int, rng: np.random.Generator) -> Image:
    side = int(rng.integers(28, 40))
    image = np.full((side, side, 3), rng.integers(60, 200, 3), np.uint8)
    a, b, middle = side // 4, side - side // 4, side // 2
    if index == 0:
        cv2.circle(image, (middle, middle), side // 4, (20, 20, 220), -1)
    else:
        tip, back = (a, b) if index == 1 else (b, a)
        points = np.array([[tip, middle], [back, a], [back, b]], np.int32)
        cv2.fillPoly(image, [points], (230, 60, 20))
    noise = rng.normal(0, 6, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def rows(tracks: int = 4, frames: int = 3, suffix: str = ".png") -> list[Row]:
    rng = np.random.default_rng(5)
    return [
        Row(f"{index}/{track:02d}_{frame}{suffix}", index, f"{track:02d}", draw(index, rng))
        for index in range(len(LABELS))
        for track in range(tracks)
        for frame in range(frames)
    ]


def encoded(row: Row) -> bytes:
    return bytes(cv2.imencode(Path(row.path).suffix, row.image)[1])


def write_classes(root: Path, header: str = "class_id,name", first_id: int = 0) -> None:
    lines = [header, *(f"{first_id + i},{name}" for i, name in enumerate(LABELS))]
    (root / "classes.csv").write_text("\n".join(lines) + "\n")


def write_table(path: Path, header: Sequence[str], table: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *table])


def write_zip(path: Path, pictures: Sequence[Row], folder: str = "") -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for row in pictures:
            archive.writestr(folder + row.path, encoded(row))


def write_files(root: Path, pictures: Sequence[Row]) -> None:
    for row in pictures:
        (root / row.path).parent.mkdir(parents=True, exist_ok=True)
        (root / row.path).write_bytes(encoded(row))


def short_table(root: Path, pictures: list[Row]) -> None:
    """Write classes and a table without tracks or splits."""
    write_classes(root)
    write_table(root / "any-name.csv", ("path", "class_id"), [(r.path, r.index) for r in pictures])


def full_folder(root: Path, tracks: int = 4, frames: int = 3) -> Path:
    """One zip, boxes, sizes, tracks and a split: everything that may be there."""
    root.mkdir(parents=True, exist_ok=True)
    pictures = rows(tracks, frames)
    write_classes(root)
    write_zip(root / "images.zip", pictures)
    header = (
        "path", "archive", "class_id", "track", "width", "height",
        "roi_x1", "roi_y1", "roi_x2", "roi_y2", "split",
    )  # fmt: skip
    table = []
    for row in pictures:
        side = len(row.image)
        box = (side // 5, side // 5, side - side // 5, side - side // 5)
        split = "val" if row.track == "00" else "train"
        table.append((row.path, "images.zip", row.index, row.track, side, side, *box, split))
    write_table(root / "annotations.csv", header, table)
    return root


def class_folders(root: Path, pictures: Sequence[Row]) -> Path:
    """One sub-folder a class, `_` for spaces."""
    for n, row in enumerate(pictures):
        path = root / LABELS[row.index].replace(" ", "_") / f"{n:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(row))
    return root


def packed(path: Path, **changes: Any) -> Path:
    """One npz as MedMNIST has them; arrays may be changed, or left out by None."""
    rng = np.random.default_rng(5)
    arrays: dict[str, Any] = {}
    for split, count in (("train", 24), ("val", 9)):
        indices = np.arange(count) % len(LABELS)
        images = [cv2.resize(draw(int(i), rng), (28, 28)) for i in indices]
        arrays[f"{split}_images"] = np.stack(images)[..., ::-1]
        arrays[f"{split}_labels"] = indices[:, None].astype(np.uint8)
    kept = {name: array for name, array in (arrays | changes).items() if array is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez_compressed(file, **kept)
    return path


def empty_png() -> bytes:
    return b"\x89PNG\r\n\x1a\n this is no picture"


def huge_png(width: int = 40_000, height: int = 40_000) -> bytes:
    """A small file that promises more pixels than OpenCV decodes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")
