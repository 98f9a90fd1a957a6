"""Files over HTTP: a known size, a known hash, a time limit. Adapter."""

import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from agent.base.clock import Clock
from agent.base.files import sync_folder
from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.stock import Source

SCHEMES: Final = ("https://", "http://")
CHUNK: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Patience:
    """How long may be waited."""

    total_s: float
    """For the whole file."""
    silence_s: float = 30.0
    """For the next bytes."""


def fetch(
    wanted: Source,
    path: Path,
    patience: Patience,
    clock: Clock,
    on_bytes: Callable[[int], None],
) -> None:
    """Download a file; it gets its name only once its hash is right.

    Args:
        wanted: Address, hash and size. http:// is as safe as https:// here: the hash decides.
        path: The file to write, in a folder that is made if need be.
        patience: Time limits.
        clock: Measures the total.
        on_bytes: Told how many bytes each piece has.

    Raises:
        BadContentError: too long, or another hash; nothing is left behind.
        UnavailableError: no connection, refused, cut off, too slow, or the disk; nothing is
            left behind.
    """
    with _in_place(path) as file:
        digest = hashlib.sha256()
        for piece in _pieces(wanted, patience, clock):
            file.write(piece)
            digest.update(piece)
            on_bytes(len(piece))
        if digest.hexdigest() != wanted.sha256:
            raise BadContentError(
                f"{wanted.url}: sha256 {digest.hexdigest()}, expected {wanted.sha256};"
                " try again, or another address"
            )


def _pieces(wanted: Source, patience: Patience, clock: Clock) -> Iterator[bytes]:
    """Yield what an address gives, at most `wanted.size` bytes."""
    if not wanted.url.lower().startswith(SCHEMES):
        raise BadContentError(f"{wanted.url}: use an https:// or http:// address")
    deadline = clock.monotonic() + patience.total_s
    got = 0
    try:
        opener = urllib.request.build_opener()
        timeout = min(patience.silence_s, patience.total_s)
        with opener.open(wanted.url, timeout=timeout) as response:
            promised = response.length or 0
            # Not read(): that waits until a piece is full, however slowly its bytes drip in.
            while piece := response.read1(CHUNK):
                got += len(piece)
                _check(wanted, got, clock.monotonic() > deadline, patience)
                yield piece
            if got < promised:
                raise UnavailableError(
                    f"{wanted.url}: cut off after {got} of {promised} bytes; try again"
                )
    except urllib.error.HTTPError as error:
        error.close()
        raise UnavailableError(
            f"{wanted.url}: {error.code} {error.reason}; try another address"
        ) from error
    except TimeoutError as error:
        raise UnavailableError(f"{wanted.url}: silent for {timeout:g} s; try again") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "reason", None) or error
        words = getattr(why, "strerror", None) or why
        raise UnavailableError(f"{wanted.url}: {words}; check address and network") from error


def _check(wanted: Source, got: int, late: bool, patience: Patience) -> None:
    if got > wanted.size:
        raise BadContentError(
            f"{wanted.url}: longer than the {wanted.size} bytes expected; try another address"
        )
    if late:
        raise UnavailableError(
            f"{wanted.url}: {got} of {wanted.size} bytes in {patience.total_s:g} s;"
            " try again with more time"
        )


@contextmanager
def _in_place(path: Path) -> Iterator[IO[Any]]:
    """Give a new file beside `path`, which takes its name when all went well."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = tempfile.NamedTemporaryFile(  # noqa: SIM115 - closed below, then renamed
            dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
        )
    except OSError as error:
        raise UnavailableError(f"{path.parent}: {error.strerror}; choose another folder") from error
    part = Path(file.name)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise UnavailableError(f"{path}: {error.strerror}; free or check the disk") from error
    finally:
        part.unlink(missing_ok=True)
