"""A folder of pictures, and the pictures in zip files in it. Adapter.

`dir:///srv/pictures?limit=100&every=10&loop=1`: recursive, in order of path; `every=K` takes the
first of each K pictures, `limit` ends a round after so many, `loop` starts over. The folder is
walked as pictures are taken, so a large one costs no memory.
"""

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from agent.camera.base import Shot
from agent.camera.decoder import MAX_PIXELS
from agent.camera.uri import parse_local
from agent.contract.errors import BadContentError, UnavailableError
from agent.vision.types import Image

SUFFIXES: Final = (
    ".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff",
)  # fmt: skip
MAX_BYTES: Final = 64 * 1024 * 1024

Item = tuple[str, bytes | BadContentError]
"""Name and encoded picture, or what is wrong with it."""


class StillsSource:
    """Pictures that have nothing to do with one another. The number is the picture's index."""

    live = False
    still = True

    def __init__(self, uri: str) -> None:
        """Check the URI.

        Raises:
            BadContentError: a parameter is unknown or out of range.
        """
        parsed = parse_local(uri, "limit", "every", "loop")
        self._folder = parsed.path
        self._limit = parsed.whole("limit", 0, 0, 10**9)
        self._every = parsed.whole("every", 1, 1, 10**9)
        self._loop = parsed.flag("loop")
        self._items: Iterator[tuple[int, Item]] | None = None
        self._taken = 0

    def open(self) -> None:
        """Start at the first picture.

        Raises:
            UnavailableError: there is no such folder.
            BadContentError: neither it nor a folder or zip file in it holds a picture.
        """
        self.close()
        if not self._folder.is_dir():
            raise UnavailableError(f"picture folder {self._folder}: no such folder")
        if next(_items(self._folder), None) is None:
            raise BadContentError(
                f"picture folder {self._folder}: no pictures in it ({' '.join(SUFFIXES)} or .zip)"
            )
        self._taken = 0
        self._items = self._round()

    def read(self) -> Shot | None:
        """Return the next picture; None after the last, or at the limit.

        Raises:
            UnavailableError: not open.
            BadContentError: names a picture (or zip file) that cannot be read.
        """
        if self._items is None:
            raise UnavailableError(f"picture folder {self._folder}: not open")
        entry = next(self._items, None)
        if entry is None and self._loop and self._taken:
            self._items = self._round()
            entry = next(self._items, None)
        if entry is None:
            return None
        number, (name, data) = entry
        self._taken += 1
        if isinstance(data, BadContentError):
            raise data
        return Shot(decode_image(data, name), number)

    def close(self) -> None:
        """Forget the place."""
        self._items = None

    def _round(self) -> Iterator[tuple[int, Item]]:
        items = islice(enumerate(_items(self._folder)), 0, None, self._every)
        return islice(items, self._limit or None)


def decode_image(data: bytes, name: str) -> Image:
    """Decode a picture in any format that OpenCV reads, turned upright as its EXIF says.

    Args:
        data: The encoded picture.
        name: Its name, for the message.

    Returns:
        Height x width x 3, BGR.

    Raises:
        BadContentError: not a picture, or too large a one.
    """
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error:
        image = None
    if image is None:
        raise BadContentError(f"picture {name}: not an image that OpenCV reads")
    if image.shape[0] * image.shape[1] > MAX_PIXELS:
        raise BadContentError(f"picture {name}: more than {MAX_PIXELS} pixels")
    return np.asarray(image, np.uint8)


def _items(folder: Path) -> Iterator[Item]:
    for path in _walk(folder):
        if path.suffix.lower() == ".zip":
            yield from _zip_items(path)
        elif path.suffix.lower() in SUFFIXES:
            yield str(path), _file_bytes(path)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield files in order of path, one folder in memory at a time."""
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield Path(root, name)


def _file_bytes(path: Path) -> bytes | BadContentError:
    try:
        if path.stat().st_size > MAX_BYTES:
            return BadContentError(f"picture {path}: more than {MAX_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        return BadContentError(f"picture {path}: {error.strerror}")


def _zip_items(path: Path) -> Iterator[Item]:
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        yield str(path), BadContentError(f"zip file {path}: {error}")
        return
    with closing(archive):
        members = [m for m in archive.infolist() if m.filename.lower().endswith(SUFFIXES)]
        for member in sorted(members, key=lambda m: m.filename):
            name = f"{path}/{member.filename}"
            yield name, _member_bytes(archive, member, name)


def _member_bytes(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str
) -> bytes | BadContentError:
    if member.file_size > MAX_BYTES:
        return BadContentError(f"picture {name}: more than {MAX_BYTES} bytes")
    try:
        return archive.read(member)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        return BadContentError(f"picture {name}: {error}")
    except (RuntimeError, NotImplementedError) as error:
        # Encrypted, or packed in a way that zipfile does not know.
        return BadContentError(f"picture {name}: {error}")
