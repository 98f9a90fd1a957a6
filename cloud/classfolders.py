"""A folder with one sub-folder of images per class. Adapter.

`ROOT/CLASS/IMAGE`, or `ROOT/train/CLASS/IMAGE` and `ROOT/val/CLASS/IMAGE`. Names of folders are
the labels. What starts with a dot is passed over.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import cv2

from agent.contract.errors import BadContentError, UnavailableError
from cloud.annotations import Sample
from cloud.listing import SPLITS, Listing


def list_class_folders(root: Path) -> Listing:
    """List the images of all class folders.

    The hash is over names and sizes: an image that is added, removed, renamed or replaced by one
    of another size changes it.

    Raises:
        BadContentError: fewer than two classes, an empty or nested class folder, images that
            belong to no class, or class folders beside `train` and `val`.
        UnavailableError: a folder cannot be read.
    """
    tops = _folders(root)
    splits = [path for path in tops if path.name in SPLITS]
    if splits and len(splits) != len(tops):
        other = next(path.name for path in tops if path not in splits)
        raise BadContentError(
            f"{root}: {splits[0].name}/ beside {other}/: put every class into"
            f" {' and '.join(f'{path.name}/' for path in splits)}, or make no splits"
        )
    homes = [(p, top.name) for top in splits for p in _folders(top)] or [(p, "") for p in tops]
    for place in {root, *splits}:
        _refuse_loose(place)
    labels = tuple(sorted({home.name for home, _ in homes}))
    if len(labels) < 2:
        raise BadContentError(
            f"{root}: {len(labels)} folders of images, need one for each of at least 2 classes"
        )
    digest = hashlib.sha256()
    samples = []
    for home, split in homes:
        for path, size in _images(home):
            name = path.relative_to(root).as_posix()
            digest.update(f"{name}\0{size}\n".encode())
            samples.append(Sample(name, labels.index(home.name), split=split))
    return Listing(labels, tuple(samples), "names of files", digest.hexdigest(), ordered=False)


def _visible(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise UnavailableError(f"{place}: {error.strerror}; check its permissions") from error


def _folders(place: Path) -> list[Path]:
    return [path for path in _visible(place) if path.is_dir()]


def _images(home: Path) -> Iterator[tuple[Path, int]]:
    """Yield the files of a class folder with their sizes; decoding tells which are images."""
    inside = _visible(home)
    nested = next((path.name for path in inside if path.is_dir()), "")
    if nested:
        raise BadContentError(f"{home}: holds the folder {nested}/; images lie directly in a class")
    if not inside:
        raise BadContentError(f"{home}: no image of this class; add some or remove the folder")
    for path in inside:
        yield path, path.stat().st_size


def _refuse_loose(place: Path) -> None:
    """Refuse images beside class folders; a README may lie there."""
    for path in _visible(place):
        if path.is_file() and cv2.haveImageReader(str(path)):
            raise BadContentError(
                f"{path}: an image beside class folders; move it into the folder of its class"
            )
