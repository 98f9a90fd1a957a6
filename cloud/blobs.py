"""Pictures as tar shards in a folder or an object store. Adapter.

One shard per ingested batch, in WebDataset's form: `ID.jpg`, `ID.json`, `ID.context.jpg` lie
side by side, so training tools stream it as it is, and `tar tf` reads it. A picture is found by
shard, offset and length.

A folder is written by our own hands (temp file, fsync, rename, folder fsync), because obstore
never syncs a local put, and a receipt must not lie. Object stores are durable when they answer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit
from zlib import adler32

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from agent.base.files import sync_folder, write_synced
from agent.contract.errors import UnavailableError

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)
TIMEOUTS: Final = {"timeout": "60s", "connect_timeout": "10s"}


class Place(NamedTuple):
    """Where some bytes lie."""

    shard: str
    offset: int
    length: int


@dataclass(slots=True)
class ShardBuilder:
    """A tar file growing in memory."""

    name: str
    _parts: list[bytes] = field(default_factory=list)
    _size: int = 0

    def add(self, member: str, data: bytes, at: float) -> Place:
        """Append one file.

        Args:
            member: Its name inside the tar.
            data: Its content.
            at: Unix time of its entry.

        Returns:
            Where its content will lie.
        """
        header = tar_header(member, len(data), int(at))
        place = Place(self.name, self._size + len(header), len(data))
        padding = bytes(-len(data) % BLOCK)
        self._parts += (header, data, padding)
        self._size += len(header) + len(data) + len(padding)
        return place

    def finish(self) -> bytes:
        """Return the whole tar file."""
        return b"".join((*self._parts, END))


def tar_header(name: str, size: int, at: int) -> bytes:
    """Return one POSIX ustar header: a plain file, mode 0644 (`tarfile` takes ten times as long).

    Raises:
        ValueError: a name over 100 bytes, or a size or time that does not fit its field.
    """
    raw = name.encode("ascii")
    if len(raw) > 100 or not (0 <= size < 8**11 and 0 <= at < 8**11):
        raise ValueError(f"tar member {name[:120]!r} of {size} bytes does not fit")
    front = b"%b0000644\0000000000\0000000000\0%011o\0%011o\0" % (raw.ljust(100, b"\0"), size, at)
    # The sum of all bytes, its own field blank; of so few, Adler-32 holds it in its lower half.
    total = (adler32(front) - 1 & 0xFFFF) + 8 * ord(" ") + _TAIL_SUM
    return b"%b%06o\0 %b" % (front, total, _TAIL)


_TAIL: Final = (b"0" + bytes(100) + b"ustar\x0000").ljust(BLOCK - 156, b"\0")
_TAIL_SUM: Final = sum(_TAIL)


class Blobs:
    """Writes shards once, reads pieces of them.

    Args:
        url: `file:///folder`, `s3://bucket/path`, `gs://...`, `az://...`. Credentials of the
            object stores come from their usual environment variables.

    Raises:
        UnavailableError: the folder cannot be made, or the address is not one.
    """

    def __init__(self, url: str) -> None:
        """Open the store."""
        self.url = url
        self._folder: Path | None = None
        options: dict[str, Any] = {}
        try:
            if urlsplit(url).scheme == "file":
                self._folder = Path(unquote(urlsplit(url).path))
                make_folder(self._folder)
            elif not url.startswith("memory:"):
                options = {"client_options": TIMEOUTS}
            self._store = from_url(url, **options)
        except (BaseError, OSError, ValueError) as error:
            raise UnavailableError(f"objects_url {url}: {error}") from error

    def write(self, name: str, data: bytes) -> None:
        """Write one object; when this returns, it is durable.

        Raises:
            UnavailableError: it may or may not be there; writing it again is safe.
        """
        try:
            if self._folder is None:
                obstore.put(self._store, name, data)
            else:
                write_durably(self._folder / name, data)
        except (BaseError, OSError) as error:
            raise UnavailableError(f"{self.url} {name}: {error}") from error

    def read(self, place: Place) -> bytes:
        """Return the bytes at a place.

        Raises:
            UnavailableError: they cannot be read now.
        """
        if place.length == 0:
            return b""
        try:
            found = obstore.get_range(
                self._store, place.shard, start=place.offset, length=place.length
            )
            return bytes(found)
        except (BaseError, OSError) as error:
            raise UnavailableError(f"{self.url} {place.shard}: {error}") from error

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects; those that are not there are no error.

        Raises:
            UnavailableError: some may be left.
        """
        for name in names:
            try:
                if self._folder is None:
                    obstore.delete(self._store, name)
                else:
                    (self._folder / name).unlink(missing_ok=True)
            except FileNotFoundError:
                continue
            except (BaseError, OSError) as error:
                raise UnavailableError(f"{self.url} {name}: {error}") from error

    def newest(self, prefix: str, depth: int) -> list[str]:
        """Return the names of the newest objects below a prefix.

        Args:
            prefix: Folder, without a slash at its end.
            depth: Levels of dated folders below it; the last two of each level are followed.

        Raises:
            UnavailableError: the store does not answer.
        """
        try:
            found = obstore.list_with_delimiter(self._store, prefix=prefix)
        except (BaseError, OSError) as error:
            raise UnavailableError(f"{self.url} {prefix}: {error}") from error
        if depth == 0:
            return [item["path"] for item in found["objects"]]
        folders = sorted(found["common_prefixes"])[-2:]
        return [name for folder in folders for name in self.newest(folder, depth - 1)]

    def tidy(self) -> int:
        """Delete temp files that a crash left in a local folder; return how many."""
        left = list(self._folder.rglob("*.tmp")) if self._folder else []
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)


def write_durably(path: Path, data: bytes) -> None:
    """Write a file that survives a power cut once this returns.

    Raises:
        OSError: disk full or gone; the final name is untouched.
    """
    make_folder(path.parent)
    write_synced(path, data)
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder durably: each new level is synced in the one above it."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    _sync_all(p.parent for p in missing)


def _sync_all(folders: Iterable[Path]) -> None:
    for folder in folders:
        sync_folder(folder)
