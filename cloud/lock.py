"""One process at a time under one name in one state folder. Adapter."""

import fcntl
from pathlib import Path
from typing import TextIO

from agent.contract.errors import UnavailableError


def lock(folder: Path, name: str, taken: str) -> TextIO:
    """Hold a name until the returned file is closed, or the process ends however it does.

    Args:
        folder: The state folder; made where it is not there.
        name: Of a worker, or of another writer.
        taken: What to say where somebody holds it.

    Raises:
        UnavailableError: somebody holds it, or the folder cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / f"worker-{name}.lock").open("w")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise UnavailableError(f"{folder}: {taken}") from error
    except OSError as error:
        raise UnavailableError(f"state_dir {folder}: {error.strerror}") from error
    return file
