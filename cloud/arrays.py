"""Images and labels in one `.npz`, as MedMNIST publishes them. Adapter.

`train_images`, `train_labels` and the same for `val` and `test`: grey (N, h, w) or RGB
(N, h, w, 3) uint8, labels (N,) or (N, 1) whole numbers.
"""

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from agent.contract.errors import BadContentError, UnavailableError
from agent.vision.types import Image
from cloud.annotations import CLASSES_NAME, Sample, read_classes
from cloud.listing import SPLITS, Listing

Array = npt.NDArray[Any]
SUFFIX: Final = ".npz"


class Arrays:
    """An open `.npz`; each array is read when it is first asked for."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            BadContentError: not an `.npz`.
            UnavailableError: the file cannot be read.
        """
        self._path = path
        self._read: dict[str, Array] = {}
        try:
            # NumPy takes other files for bare arrays, and leaves a broken zip open.
            if not zipfile.is_zipfile(path):
                raise BadContentError(f"{path}: not an .npz with named arrays; copy it again")
            self._file = np.load(path, allow_pickle=False)
        except OSError as error:
            raise UnavailableError(f"{path}: {error.strerror}; check the path") from error

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that are there."""
        return tuple(split for split in SPLITS if f"{split}_images" in self._file.files)

    def images(self, split: str) -> Array:
        """Return the images of a split, (N, h, w) or (N, h, w, 3) uint8.

        Raises:
            BadContentError: of another shape or type, or damaged.
        """
        images = self._array(f"{split}_images")
        fits = images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
        if images.dtype != np.uint8 or not fits or 0 in images.shape:
            raise BadContentError(
                f"{self._path}: {split}_images are {images.dtype} {images.shape}; need uint8"
                " (N, h, w) or (N, h, w, 3)"
            )
        return images

    def labels(self, split: str) -> npt.NDArray[np.int64]:
        """Return the class ids of a split's images, (N,).

        Raises:
            BadContentError: missing, not one whole number an image, or damaged.
        """
        labels = self._array(f"{split}_labels")
        count = len(self.images(split))
        if labels.dtype.kind not in "iu" or labels.shape not in ((count,), (count, 1)):
            raise BadContentError(
                f"{self._path}: {split}_labels are {labels.dtype} {labels.shape}; need one whole"
                f" number for each of {count} images"
            )
        return labels.reshape(count).astype(np.int64)

    def image(self, name: str) -> Image:
        """Return one image, BGR, by the name that `list_arrays` gave it."""
        split, _, number = name.partition("/")
        image = self.images(split)[int(number)]
        way = cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR
        return np.asarray(cv2.cvtColor(image, way), np.uint8)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _array(self, key: str) -> Array:
        if key not in self._read:
            if key not in self._file.files:
                raise BadContentError(f"{self._path}: no array {key!r}")
            try:
                self._read[key] = self._file[key]
            except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
                raise BadContentError(f"{self._path}: {key}: {error}; copy it again") from error
        return self._read[key]


def list_arrays(path: Path) -> Listing:
    """List the images of an `.npz`.

    Classes are named by `classes.csv` beside it; without one by their numbers ("0", "1"), which
    a profile takes up as aliases.

    Raises:
        BadContentError: an array is missing, damaged or of a wrong shape or type, or a label has
            no name.
        UnavailableError: the file cannot be read.
    """
    arrays = Arrays(path)
    try:
        found = {split: arrays.labels(split).tolist() for split in arrays.splits}
    finally:
        arrays.close()
    used = sorted({label for labels in found.values() for label in labels})
    table = path.parent / CLASSES_NAME
    names = read_classes(table) if table.is_file() else {label: str(label) for label in used}
    unnamed = [label for label in used if label not in names]
    if unnamed:
        raise BadContentError(f"{path}: label {unnamed[0]} is not in {table.name}")
    if len(names) < 2:
        raise BadContentError(
            f"{path}: {len(names)} classes, need at least 2 in train_images and train_labels (also"
            " val_ and test_)"
        )
    index = {label: n for n, label in enumerate(names)}
    samples = tuple(
        Sample(f"{split}/{n}", index[label], archive=path.name, split=split)
        for split, labels in found.items()
        for n, label in enumerate(labels)
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Listing(tuple(names.values()), samples, path.name, digest)
