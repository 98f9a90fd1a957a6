"""Files that survive a power cut, and databases only read. Adapter."""

import os
import sqlite3
from pathlib import Path


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
