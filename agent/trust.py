"""Which config keys this device believes: one TUF root file, the rest is fetched. Adapter.

The config key is the TUF target `keys/config.json` = `{"keys": [{"keyid": ..., "keytype": ...,
"scheme": ..., "keyval": {...}}]}`. Verified metadata is cached in the state folder, so a device
without its repository still knows the key it saw last, until that metadata expires.
"""

import hashlib
import json
import logging
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from securesystemslib.exceptions import FormatError, StorageError
from securesystemslib.signer import Key, SSlibKey
from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.api.metadata import Metadata
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig
from tuf.ngclient.urllib3_fetcher import Urllib3Fetcher

from agent.base.backoff import delays
from agent.base.clock import Clock
from agent.base.files import write_synced
from agent.contract.config import TrustConfig
from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.messages import first_problem
from agent.machine import CLOCK_FLOOR

log = logging.getLogger(__name__)
CONFIG_KEYS: Final = "keys/config.json"
REFRESH_S: Final = 3_600.0
RETRY_S: Final = (2.0, 600.0)
HURRY_S: Final = 10.0
TICK_S: Final = 0.5
REMEMBERED: Final = "config-keys.json"
REMEMBER_S: Final = 7 * 86_400.0
"""As long as the repository's snapshot lasts."""
CHUNK: Final = 64 * 1024


class FileFetcher(FetcherInterface):
    """Reads a repository in a folder, for `file://` addresses."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = Path(unquote(urlsplit(url).path))
        try:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    yield chunk
        except FileNotFoundError as error:
            raise DownloadHTTPError(f"{path}: not there", 404) from error
        except OSError as error:
            raise DownloadError(f"{path}: {error}") from error


def fetch_config_keys(config: TrustConfig, folder: Path, floor: float) -> list[Key]:
    """Refresh TUF metadata and return the config keys.

    Args:
        config: Root file and repository address.
        folder: Where verified metadata and targets are cached.
        floor: Unix time that has certainly passed; what expired before it is stale, even where
            the clock has fallen back.

    Returns:
        The keys; empty when the device has no root file.

    Raises:
        UnavailableError: root file or repository cannot be reached.
        BadContentError: the repository does not verify, or its key target is not one.
    """
    if not config.root_file:
        return []
    base = config.repository.rstrip("/")
    try:
        root = Path(config.root_file).read_bytes()
        for name in ("metadata", "targets"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        updater = Updater(
            str(folder / "metadata"),
            f"{base}/metadata/",
            str(folder / "targets"),
            f"{base}/targets/",
            fetcher=FileFetcher() if base.startswith("file:") else Urllib3Fetcher(),
            config=UpdaterConfig(),
            bootstrap=root,
        )
        updater.refresh()
        _check_fresh(folder / "metadata", floor)
        target = updater.get_targetinfo(CONFIG_KEYS)
        if target is None:
            raise BadContentError(f"{base}: has no target {CONFIG_KEYS}; run keys init again")
        path = updater.find_cached_target(target) or updater.download_target(target)
        return parse_keys(Path(path).read_bytes())
    except RepositoryError as error:
        raise BadContentError(f"{base}: {error}; was the repository made by this root?") from error
    except (DownloadError, StorageError, OSError) as error:
        raise UnavailableError(f"{config.root_file} / {base}: {error}") from error


def _check_fresh(metadata: Path, floor: float) -> None:
    """Refuse what TUF took only because the clock has fallen back."""
    passed = datetime.fromtimestamp(floor, timezone.utc)
    for role in ("root", "timestamp", "snapshot", "targets"):
        signed = Metadata[Any].from_file(str(metadata / f"{role}.json")).signed
        if signed.is_expired(passed):
            raise BadContentError(
                f"{role}.json expired on {signed.expires:%Y-%m-%d}, the clock says even less:"
                " set it right"
            )


def parse_keys(data: bytes) -> list[Key]:
    """Read the key target.

    Raises:
        BadContentError: not the form that the module docstring shows.
    """
    try:
        entries = json.loads(data)["keys"]
        return [SSlibKey.from_dict(dict(e).pop("keyid"), _without_id(e)) for e in entries]
    except (ValueError, KeyError, TypeError, FormatError) as error:
        raise BadContentError(f"{CONFIG_KEYS}: {first_problem(error)}") from error


def _without_id(entry: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in entry.items() if name != "keyid"}


class KeyKeeper:
    """Keeps the config keys fresh; `keys` may be read from any thread."""

    def __init__(
        self,
        config: TrustConfig,
        folder: Path,
        clock: Clock,
        floor: Callable[[], float] = lambda: CLOCK_FLOOR,
    ) -> None:
        """Start with the keys verified last, if that was not too long ago.

        Args:
            config: Root file and repository address.
            folder: For the cache.
            clock: Paces refreshes.
            floor: Tells the newest signed time seen; may raise UnavailableError.
        """
        self._config = config
        self._folder = folder
        self._clock = clock
        self._floor = floor
        self._wake = threading.Event()
        self.keys: Sequence[Key] = self._remembered()
        self.problem = "" if config.root_file else "no trust root: fleet config is refused"

    def hurry(self) -> None:
        """Refresh soon: somebody was refused for want of a key."""
        self._wake.set()

    def refresh(self) -> bool:
        """Fetch the keys. False where that failed; the keys known so far stay."""
        try:
            self.keys = fetch_config_keys(self._config, self._folder, self._floor())
        except (BadContentError, UnavailableError) as error:
            if not self.problem:
                log.warning("trust_refresh_failed reason=%s", error)
            self.problem = f"trust: {error}"[:200]
            return False
        if self._config.root_file:
            self.problem = ""
            self._remember()
        return True

    def run(self, stop: threading.Event) -> None:
        """Refresh every hour, after a failure sooner, and when hurried."""
        waits = delays(*RETRY_S, random.Random())  # noqa: S311 - jitter
        while not stop.is_set():
            if self.refresh():
                waits = delays(*RETRY_S, random.Random())  # noqa: S311 - jitter
                self._rest(REFRESH_S, stop)
            else:
                self._rest(next(waits), stop)

    def _rest(self, seconds: float, stop: threading.Event) -> None:
        """Wait; a hurry cuts it short, but not below what spares the repository."""
        started = self._clock.monotonic()
        while (rested := self._clock.monotonic() - started) < seconds:
            if stop.wait(TICK_S) or (self._wake.is_set() and rested >= HURRY_S):
                break
        self._wake.clear()

    def _remember(self) -> None:
        entries = [{"keyid": key.keyid, **key.to_dict()} for key in self.keys]
        kept = {"at": self._clock.now(), "root": self._root_hash(), "keys": entries}
        try:
            write_synced(self._folder / REMEMBERED, json.dumps(kept).encode())
        except OSError as error:
            log.debug("keys_not_remembered reason=%s", error)

    def _remembered(self) -> Sequence[Key]:
        """Return the keys of the last refresh: like TUF's own cache, and no older than it."""
        try:
            data = (self._folder / REMEMBERED).read_bytes()
            kept = json.loads(data)
            age = max(self._clock.now(), self._floor()) - float(kept["at"])
            if kept["root"] != self._root_hash() or not 0 <= age < REMEMBER_S:
                return []
            return parse_keys(data)
        except (OSError, ValueError, KeyError, TypeError, BadContentError):
            return []

    def _root_hash(self) -> str:
        return hashlib.sha256(Path(self._config.root_file).read_bytes()).hexdigest()
