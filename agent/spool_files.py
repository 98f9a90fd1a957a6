"""What lies in the spool's folder, also after crashes and upgrades. Adapter."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.base.files import sync_folder, write_synced
from agent.contract.codec import Look, decode_look
from agent.contract.errors import BadContentError, UnavailableError

log = logging.getLogger(__name__)

FORMAT: Final = 2
FORMAT_FILE: Final = "format"
SUFFIX: Final = ".look"
BAD_SUFFIX: Final = ".bad"
MAX_BAD: Final = 100
"""Files set aside that are kept, the newest."""
_NAME: Final = re.compile(r"^([0-9a-f]{32})\.(\d{4})\.look$")
_OLD_NAME: Final = re.compile(r"^[0-9a-f]{32}\.look$")


@dataclass(frozen=True, slots=True)
class FileName:
    """`ID.VALUE.look`."""

    look_id: str
    value: int
    """What the look is worth, 0..1000."""

    def __str__(self) -> str:
        return f"{self.look_id}.{self.value:04d}{SUFFIX}"


def value_of(look: Look) -> int:
    """Return what a look is worth keeping, 0..1000."""
    return round(1_000 * look.meta.worth)


def prepare_folder(folder: Path) -> None:
    """Make the spool's folders, and bring those of an older version up to date.

    Raises:
        BadContentError: a newer version made it; nothing was touched.
        OSError: disk full, read-only or gone.
    """
    looks, mark = folder / "looks", folder / FORMAT_FILE
    looks.mkdir(parents=True, exist_ok=True)
    found = mark.read_text(errors="replace").strip() if mark.exists() else ""
    if found == str(FORMAT):
        return
    if found:
        raise BadContentError(f"{folder}: made by a newer secondlook (format {found}); upgrade")
    _rename_old(looks)
    for left in folder.glob("spool.db*"):
        left.unlink()  # the index of format 1: the files hold all of it
    write_synced(mark, f"{FORMAT}\n".encode())
    sync_folder(folder)


def find_looks(looks: Path) -> Iterator[tuple[FileName, int]]:
    """Yield the name and the bytes of each look; clear away what a crash left beside them.

    Raises:
        OSError: the folder cannot be read.
    """
    with os.scandir(looks) as entries:
        for entry in entries:
            name = _name_of(entry)
            if entry.name.endswith(".tmp"):
                _clear(Path(entry.path))
            elif not name:
                if not entry.name.endswith(BAD_SUFFIX):
                    log.warning("spool_stranger file=%s: left alone", entry.path)
            elif (size := entry.stat().st_size) == 0:
                log.warning("spool_file_empty file=%s", entry.name)
                _clear(Path(entry.path))
            else:
                yield name, size


@dataclass(frozen=True, slots=True)
class WaitingLook:
    """One waiting look, as its file tells without being opened."""

    name: FileName
    bytes: int

    @property
    def since(self) -> float:
        """Unix seconds when it was made: ids begin with the time."""
        return int(self.name.look_id[:12], 16) / 1000


def read_spool(folder: Path) -> list[WaitingLook]:
    """List the waiting looks, oldest first, without touching anything; beside a live agent too.

    Raises:
        UnavailableError: there is no readable spool in `folder`.
    """
    looks = folder / "looks"
    found = []
    try:
        with os.scandir(looks) as entries:
            for entry in entries:
                if name := _name_of(entry):
                    with suppress(FileNotFoundError):  # receipted meanwhile
                        found.append(WaitingLook(name, entry.stat().st_size))
    except OSError as error:
        raise UnavailableError(f"{looks}: {error.strerror}; has the agent run here?") from error
    return sorted(found, key=lambda item: item.name.look_id)


def read_look(folder: Path, item: WaitingLook) -> Look | None:
    """Read a waiting look; None where it is gone or damaged.

    Raises:
        UnavailableError: it cannot be read.
    """
    path = folder / "looks" / str(item.name)
    try:
        return _decoded(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnavailableError(f"{path}: {error.strerror}; use sudo") from error


def prune_bad(looks: Path) -> None:
    """Keep the newest files that were set aside, and say so when older ones go."""
    bad = sorted(looks.glob(f"*{BAD_SUFFIX}"))[:-MAX_BAD]
    for path in bad:
        _clear(path)
    if bad:
        log.warning("spool_set_aside_pruned files=%d kept=%d", len(bad), MAX_BAD)


def _rename_old(looks: Path) -> None:
    """Give the files of format 1 names with values."""
    for path in [p for p in looks.iterdir() if _OLD_NAME.match(p.name)]:
        look = _decoded(path.read_bytes())
        if look is None:
            log.warning("spool_file_unreadable file=%s: set aside", path.name)
            path.rename(path.with_suffix(BAD_SUFFIX))
        else:
            # Format 1 knew no worth but the doubt.
            value = round(1_000 * (1.0 - look.meta.margin))
            path.rename(looks / str(FileName(look.meta.look_id, value)))
    sync_folder(looks)


def _name_of(entry: "os.DirEntry[str]") -> FileName | None:
    """Read a look's file name; None for anything else, also where it only bears such a name."""
    match = _NAME.match(entry.name)
    if match and entry.is_file(follow_symlinks=False):
        return FileName(match[1], int(match[2]))
    return None


def _decoded(payload: bytes) -> Look | None:
    try:
        return decode_look(payload)
    except BadContentError:
        return None


def _clear(path: Path) -> None:
    """Delete a left-over; on a read-only disk it just stays."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("spool_left_over file=%s reason=%s", path, error.strerror)
