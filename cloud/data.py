"""A folder of labelled images in one of three layouts: a CSV, class folders, one npz. Adapter."""

import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from agent.contract.errors import BadContentError, UnavailableError
from agent.vision.types import Image
from cloud.annotations import (
    CLASSES_NAME,
    Sample,
    find_annotations,
    read_classes,
    to_sample,
)
from cloud.arrays import SUFFIX, Arrays, list_arrays
from cloud.classfolders import list_class_folders
from cloud.listing import Listing
from cloud.pictures import decoded

VAL_SHARE: Final = 0.2
TRAIN, VAL = "train", "val"


@dataclass(frozen=True, slots=True)
class DataFolder:
    """What a data folder says, before any image is decoded."""

    root: Path
    labels: tuple[str, ...]
    """Class names by rising class id."""
    samples: tuple[Sample, ...]
    annotations: str
    """Name of the annotation CSV or npz."""
    sha256: str = field(repr=False)
    """Of the annotation CSV or npz; of class folders: of the names and sizes of all files."""
    missing: tuple[str, ...] = ()
    """Annotated images that are nowhere in the folder."""
    ordered: bool = True
    """False: the order of the classes tells nothing; they go by name alone."""

    @property
    def name(self) -> str:
        """Name of the data set: of the folder, or of the npz in it."""
        packed = self.annotations.lower().endswith(SUFFIX)
        return self.annotations if packed else self.root.resolve().name

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, sorted; empty where the folder has none."""
        return tuple(sorted({s.split for s in self.samples} - {""}))

    def of(self, split: str) -> tuple[Sample, ...]:
        """Return the samples of one split.

        Raises:
            BadContentError: no such split.
        """
        chosen = tuple(s for s in self.samples if s.split == split)
        if not chosen:
            known = ", ".join(self.splits) or "none"
            raise BadContentError(f"{self.root}: no split {split!r}; it has: {known}")
        return chosen


def read_folder(root: Path) -> DataFolder:
    """Read classes and annotations, and find every image.

    Three layouts are known by what lies there:

    - `classes.csv` (`class_id,name`) and one more CSV with at least `path,class_id`; `archive`,
      `roi_x1..roi_y2`, `width`, `height`, `track` and `split` are used where present. Without an
      `archive` column, paths are looked for beside the CSV and in every zip there.
    - One sub-folder of images per class, see `cloud.classfolders`.
    - One `.npz`, see `cloud.arrays`; `root` may also be the file itself.

    Raises:
        BadContentError: a file, column or value is missing or wrong, layouts are mixed, an
            object's images are in two splits, an object is listed twice, or no image is where the
            annotation says.
        UnavailableError: the folder cannot be read.
    """
    if root.is_file() and root.suffix.lower() == SUFFIX:
        return _listed(root.parent, list_arrays(root))
    if not root.is_dir():
        raise UnavailableError(f"{root}: not a folder and no {SUFFIX}; check the path")
    by_name = {path.name.lower(): path for path in sorted(root.iterdir())}
    tables = [path.name for name, path in by_name.items() if name.endswith(".csv")]
    folders = [path.name for path in by_name.values() if path.is_dir() and path.name[0] != "."]
    packed = [path for name, path in by_name.items() if name.endswith(SUFFIX)]
    if packed:
        others = [path.name for path in packed[1:]] + folders
        others += [name for name in tables if name.lower() != CLASSES_NAME]
        if others:
            raise BadContentError(
                f"{root}: {packed[0].name} beside {others[0]}: more than one data set; name the"
                f" {SUFFIX} itself, or move one away"
            )
        return _listed(root, list_arrays(packed[0]))
    if CLASSES_NAME in by_name:
        return _annotated(root, by_name[CLASSES_NAME])
    if folders and not tables:
        return _listed(root, list_class_folders(root))
    beside = f" beside {tables[0]}" if tables else f", no folder per class and no {SUFFIX}"
    raise BadContentError(f"{root}: no {CLASSES_NAME} (columns class_id,name){beside}")


def _listed(root: Path, found: Listing) -> DataFolder:
    return DataFolder(
        root, found.labels, found.samples, found.source, found.sha256, ordered=found.ordered
    )


def _annotated(root: Path, classes: Path) -> DataFolder:
    names = read_classes(classes)
    source, rows = find_annotations(root)
    indices = {class_id: index for index, class_id in enumerate(names)}
    samples = [to_sample(row, indices, f"{source.name} line {n}") for n, row in rows]
    found, missing = _locate(root, samples)
    _refuse_half_split(source, found)
    _refuse_repeats(source, found)
    _refuse_leaks(source, found)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return DataFolder(root, tuple(names.values()), found, source.name, digest, missing)


def split_by_track(folder: DataFolder, seed: int = 0) -> DataFolder:
    """Give a folder without splits but with tracks a deterministic one.

    About a fifth of each class's tracks, at least one where there are two, become `val`.
    A folder that has splits, or no tracks, is returned as it is.
    """
    if folder.splits or not all(s.track for s in folder.samples):
        return folder
    tracks: dict[int, set[str]] = {}
    for sample in folder.samples:
        tracks.setdefault(sample.index, set()).add(sample.track)
    held = {
        (index, track)
        for index, names in tracks.items()
        for track in _held_back(f"{seed}/{folder.labels[index]}/", names)
    }
    return replace(
        folder,
        samples=tuple(
            replace(s, split=VAL if (s.index, s.track) in held else TRAIN) for s in folder.samples
        ),
    )


def split_by_image(folder: DataFolder, seed: int = 0) -> DataFolder:
    """Split a folder without splits as `split_by_track` does, images without a track one by one.

    Near-identical images may then fall on both sides: figures on `val` are optimistic.
    """
    alone = tuple(replace(s, track=s.track or s.name) for s in folder.samples)
    split = split_by_track(replace(folder, samples=alone), seed).samples
    # An image without a track has none afterwards either: figures say what they are over.
    samples = tuple(
        replace(s, split=drawn.split) for s, drawn in zip(folder.samples, split, strict=True)
    )
    return replace(folder, samples=samples)


def decode(folder: DataFolder, samples: Iterable[Sample]) -> Iterator[tuple[Sample, Image | str]]:
    """Yield each sample with its BGR image, or with the reason why it is refused."""
    archives: dict[str, zipfile.ZipFile | Arrays] = {}
    try:
        for sample in samples:
            if sample.archive and sample.archive not in archives:
                path = folder.root / sample.archive
                packed = path.suffix.lower() == SUFFIX
                archives[sample.archive] = Arrays(path) if packed else _open(path)
            yield sample, _decode(folder.root, archives.get(sample.archive), sample)
    finally:
        for archive in archives.values():
            archive.close()


def _held_back(salt: str, names: set[str]) -> list[str]:
    count = max(1, round(len(names) * VAL_SHARE)) if len(names) > 1 else 0
    return sorted(names, key=lambda name: hashlib.sha256((salt + name).encode()).digest())[:count]


def _locate(root: Path, samples: list[Sample]) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    """Return the samples with their archive filled in, and the names of those found nowhere."""
    named = {s.archive for s in samples} - {""}
    for name in sorted(named):
        if not (root / name).is_file():
            raise BadContentError(f"{root}: archive {name!r} is annotated but not there")
    archives = sorted(named | {p.name for p in root.iterdir() if p.suffix.lower() == ".zip"})
    members = {}
    for name in archives:
        with _open(root / name) as archive:
            members[name] = frozenset(archive.namelist())
    found, missing = [], []
    for sample in samples:
        home = _home(root, members, sample)
        if home is None:
            missing.append(sample)
        else:
            found.append(replace(sample, archive=home))
    if missing:
        _refuse_shifted(missing[0], members)
    if not found:
        raise BadContentError(
            f"{root}: none of {len(samples)} annotated images is there, first"
            f" {missing[0].path!r}; paths are relative to the folder or to a zip in it"
        )
    return tuple(found), tuple(s.name for s in missing)


def _home(root: Path, members: dict[str, frozenset[str]], sample: Sample) -> str | None:
    if sample.archive:
        return sample.archive if sample.path in members[sample.archive] else None
    if (root / sample.path).is_file():
        return ""
    return next((name for name, paths in members.items() if sample.path in paths), None)


def _refuse_shifted(sample: Sample, members: dict[str, frozenset[str]]) -> None:
    """Say so when a zip holds an annotated image under another leading folder."""
    for name, paths in members.items():
        for path in sorted(paths):
            if path.endswith(f"/{sample.path}") or sample.path.endswith(f"/{path}"):
                raise BadContentError(
                    f"{name} holds {path!r} but the annotation says {sample.path!r}: zip the"
                    " images again without (or with) that leading folder, or edit the path column"
                )


def _refuse_repeats(source: Path, samples: tuple[Sample, ...]) -> None:
    """Refuse an image in two splits, and an object listed twice.

    A second row for the same object weighs it double or contradicts the first; which of the two
    is meant only the author knows. Rows with other boxes in the same image are other objects.
    """
    splits: dict[tuple[str, str], str] = {}
    seen = set()
    for sample in samples:
        first = splits.setdefault((sample.archive, sample.path), sample.split)
        if first != sample.split:
            raise BadContentError(
                f"{source}: {sample.name}: in split {first!r} and in {sample.split!r}; the same"
                " image on both sides makes every figure worthless: keep one of them"
            )
        known = (sample.archive, sample.path, sample.roi)
        if known in seen:
            what = f"roi {sample.roi.as_tuple()}" if sample.roi else "the whole image"
            raise BadContentError(
                f"{source}: {sample.name}: {what} is listed twice; keep one of the rows"
            )
        seen.add(known)


def _refuse_leaks(source: Path, samples: tuple[Sample, ...]) -> None:
    splits: dict[tuple[int, str], str] = {}
    for sample in samples:
        if not sample.track:
            continue
        first = splits.setdefault((sample.index, sample.track), sample.split)
        if first != sample.split:
            raise BadContentError(
                f"{source}: {sample.name}: track {sample.track} of its class is in split"
                f" {first!r} and in {sample.split!r}; near-identical images on both sides make"
                " every figure worthless: keep a track together"
            )


def _refuse_half_split(source: Path, samples: tuple[Sample, ...]) -> None:
    without = sum(not s.split for s in samples)
    if 0 < without < len(samples):
        raise BadContentError(
            f"{source}: {without} of {len(samples)} rows have no split; give every row one, or"
            " leave the column out"
        )


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        raise UnavailableError(f"{path}: {error.strerror}; check the path") from error
    except zipfile.BadZipFile as error:
        raise BadContentError(f"{path}: not a zip: {error}; copy it again") from error


def _decode(root: Path, archive: zipfile.ZipFile | Arrays | None, sample: Sample) -> Image | str:
    if isinstance(archive, Arrays):
        return archive.image(sample.path)
    try:
        data = archive.read(sample.path) if archive else (root / sample.path).read_bytes()
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        return f"cannot be read: {error}"
    image = decoded(data)
    if isinstance(image, str):
        return image
    return _misfit(sample, image.shape[1], image.shape[0]) or image


def _misfit(sample: Sample, width: int, height: int) -> str:
    """Say how the annotation contradicts the image; empty where it does not."""
    if sample.size and sample.size != (width, height):
        return f"annotated as {sample.size[0]}x{sample.size[1]} but is {width}x{height}"
    if sample.roi and (sample.roi.x1 > width or sample.roi.y1 > height):
        return f"roi {sample.roi.as_tuple()} reaches outside {width}x{height}"
    return ""
