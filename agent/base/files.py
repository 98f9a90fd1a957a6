"""Files that survive a power cut, and databases only read. Adapter."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from agent.contract.errors import UnavailableError


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file beside its final name, sync it, and rename it into place.

    The folder is not synced: callers that write many files do that once, by `sync_folder`.

    Raises:
        OSError: disk full, read-only or gone; the final name is untouched.
    """
    part = path.with_name(path.name + ".tmp")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make renames and deletions inside a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storage(what: str) -> Iterator[None]:
    """Say in our own words that a disk or a database on it fails.

    Raises:
        UnavailableError: full, read-only, broken or gone; `what` names it.
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise UnavailableError(f"{what}: {error}; free or check the disk") from error


def lock_folder(folder: Path, holder: str) -> TextIO:
    """Claim a folder for this process, until the returned file is closed or the process ends.

    Raises:
        UnavailableError: another process has it, or it cannot be written.
    """
    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise UnavailableError(
                f"{folder}: another {holder} runs on it; stop that one, or set another state_dir"
            ) from error
    except OSError as error:
        raise UnavailableError(f"{path}: {error.strerror}; check disk and owner") from error
    return file


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open a SQLite file for reading alone; works beside a live daemon and after a killed one.

    Raises:
        sqlite3.Error: not there, not readable, or no database.
    """
    address = path.absolute().as_uri()
    db = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=5)
    try:
        db.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError:
        db.close()
        # A reader who may not write into the folder cannot share memory with a writer. Without a
        # log there is none, and the file is all there is to read.
        if not path.is_file() or path.with_name(path.name + "-wal").exists():
            raise
        db = sqlite3.connect(f"{address}?immutable=1", uri=True)
    except sqlite3.DatabaseError:
        db.close()
        raise
    return db
