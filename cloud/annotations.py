"""classes.csv and the annotation CSV of a data folder. Adapter."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from agent.contract.errors import BadContentError, UnavailableError
from agent.vision.types import Box, Image, whole

CLASSES_NAME: Final = "classes.csv"
ROI_COLUMNS: Final = ("roi_x1", "roi_y1", "roi_x2", "roi_y2")
MAX_SEEN: Final = 5
MAX_HEADER: Final = 120
"""Columns and files that an error repeats, in files and characters."""
Row = tuple[int, dict[str, str]]
"""Line number and values by lower-case column name."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One annotated image."""

    path: str
    """As the annotation names it: inside `archive`, or under the folder."""
    index: int
    """Position of the class in `DataFolder.labels`."""
    archive: str = ""
    """Zip that holds it; empty: a plain file."""
    roi: Box | None = None
    """The object inside the image; None: the whole image."""
    size: tuple[int, int] | None = None
    """Annotated width and height."""
    track: str = ""
    """Images of one physical object share it (with the class); empty: unknown."""
    split: str = ""

    @property
    def name(self) -> str:
        """The image's name in messages."""
        return f"{self.archive}:{self.path}" if self.archive else self.path

    def box(self, image: Image) -> Box:
        """Return the region to look at in the decoded image."""
        return self.roi or whole(image)


def read_classes(path: Path) -> dict[int, str]:
    """Return class names by rising class id.

    Raises:
        BadContentError: columns, ids or names are wrong.
        UnavailableError: the file cannot be read.
    """
    header, rows = read_csv(path)
    if not {"class_id", "name"} <= set(header):
        raise BadContentError(f"{path}: columns {', '.join(header)}; need class_id,name")
    names: dict[int, str] = {}
    for line, row in rows:
        class_id = _integer(row, "class_id", f"{path.name} line {line}")
        if class_id in names or not row.get("name") or row["name"] in names.values():
            raise BadContentError(
                f"{path} line {line}: class_id and name must be new and not empty"
            )
        names[class_id] = row["name"]
    if len(names) < 2:
        raise BadContentError(f"{path}: {len(names)} classes, need at least 2")
    return dict(sorted(names.items()))


def find_annotations(root: Path) -> tuple[Path, list[Row]]:
    """Return the one CSV beside `classes.csv` that has `path` and `class_id`, and its rows.

    Raises:
        BadContentError: there is none or more than one, or it is empty.
        UnavailableError: a file cannot be read.
    """
    candidates = []
    seen = []
    for path in sorted(root.iterdir()):
        if path.suffix.lower() == ".csv" and path.name.lower() != CLASSES_NAME:
            header, rows = read_csv(path)
            seen.append(f"{path.name} ({', '.join(header)[:MAX_HEADER]})")
            if {"path", "class_id"} <= set(header):
                candidates.append((path, rows))
    if len(candidates) != 1:
        fitting = ", ".join(path.name for path, _ in candidates)
        found = fitting or f"no such one among {'; '.join(seen[:MAX_SEEN]) or 'none'}"
        raise BadContentError(
            f"{root}: need exactly one CSV with columns path,class_id beside {CLASSES_NAME};"
            f" found {found}"
        )
    if not candidates[0][1]:
        raise BadContentError(f"{candidates[0][0]}: no rows")
    return candidates[0]


def _integer(row: dict[str, str], column: str, place: str) -> int:
    try:
        return int(row.get(column, ""))
    except ValueError:
        raise BadContentError(
            f"{place}: {column} {row.get(column, '')!r} is not a whole number"
        ) from None


def to_sample(row: dict[str, str], indices: dict[int, int], place: str) -> Sample:
    """Check one annotation row.

    Args:
        row: Values by column.
        indices: Position of each class id.
        place: File and line, for messages.

    Raises:
        BadContentError: a value is wrong.
    """
    class_id = _integer(row, "class_id", place)
    if class_id not in indices:
        raise BadContentError(f"{place}: class_id {class_id} is not in {CLASSES_NAME}")
    path, archive = (row.get(name, "").replace("\\", "/") for name in ("path", "archive"))
    for name in (path or ".", archive):
        if name == "." or name.startswith("/") or ".." in Path(name).parts:
            raise BadContentError(f"{place}: path {name[:100]!r} must lie inside the folder")
    roi = size = None
    if any(row.get(name) for name in ROI_COLUMNS):
        roi = Box(*(_integer(row, name, place) for name in ROI_COLUMNS))
        if roi.area == 0 or min(roi.as_tuple()) < 0:
            raise BadContentError(f"{place}: roi {roi.as_tuple()} is empty or negative")
    if row.get("width") and row.get("height"):
        size = _integer(row, "width", place), _integer(row, "height", place)
    return Sample(
        path,
        indices[class_id],
        archive,
        roi,
        size,
        row.get("track", ""),
        row.get("split", ""),
    )


def _delimiter(file: TextIO) -> str:
    """Return `;` where the first line knows no comma but that, as spreadsheets may write it."""
    first = file.readline()
    file.seek(0)
    return ";" if ";" in first and "," not in first else ","


def read_csv(path: Path) -> tuple[tuple[str, ...], list[Row]]:
    """Return the lower-case column names and the rows of a CSV, as people and spreadsheets make it.

    Commas or semicolons, any line ends, a byte order mark, empty lines and spaces around values
    are all taken. A row that is too short lacks its last columns.

    Raises:
        BadContentError: it is no UTF-8 CSV.
        UnavailableError: the file cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=_delimiter(file))
            header = tuple(name.strip().lower() for name in next(reader, []))
            rows = [
                (reader.line_num, dict(zip(header, (v.strip() for v in row), strict=False)))
                for row in reader
                if row
            ]
    except OSError as error:
        raise UnavailableError(f"{path}: {error.strerror}; check the path") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadContentError(f"{path}: not a UTF-8 CSV: {error}") from error
    return header, rows
