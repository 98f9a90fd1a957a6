"""Files that survive a power cut. Adapter."""

import os
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
