"""Looks waiting for their receipt: one file each, and the folder is the only record. Adapter.

A look is accepted when its file is written, synced, renamed and the folder synced. The file's name
holds what must be known to choose among thousands (`ID.VALUE.look`, the value in thousandths), so
an index in memory is enough, and is read from the folder at each start: nothing on disk can
disagree with the files, an SD card is written once per look, and a full disk can still be freed,
for `unlink` works where a database's DELETE does not.
"""

import logging
import os
import shutil
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from agent.base.clock import Clock
from agent.base.crash import crash_point
from agent.base.files import storage, sync_folder, write_synced
from agent.contract.codec import Look, encode_look
from agent.contract.config import SpoolConfig
from agent.contract.errors import BadContentError, UnavailableError
from agent.spool_files import (
    BAD_SUFFIX,
    FileName,
    find_looks,
    prepare_folder,
    prune_bad,
    value_of,
)
from agent.spool_index import SpoolIndex, SpoolItem

log = logging.getLogger(__name__)

CLEARED: Final = 8
"""Looks evicted for one new one, at most, where the disk is short of space."""
MOST_UNANSWERED: Final = 10_000
LONG_AGO: Final = -1e18
"""Monotonic seconds: looks found at the start are backlog."""


class Spool:
    """Accepted looks on disk, bounded in bytes. Safe to call from several threads.

    Raises:
        UnavailableError: the folder cannot be written.
        BadContentError: the folder was made by a newer version.
    """

    def __init__(self, folder: Path, config: SpoolConfig, clock: Clock) -> None:
        """Open (and where needed tidy) the spool in `folder`."""
        self._folder = folder
        self._looks = folder / "looks"
        self._config = config
        self._clock = clock
        self._lock = threading.Lock()
        self._bytes = 0
        self._undeleted: set[Path] = set()
        """Files of forgotten looks that the disk would not delete yet."""
        self.accepted = 0
        self.evicted = 0
        self.set_asides = 0
        self.unanswered: set[str] = set()
        """Looks accepted, also by an earlier run that left them here, and not yet answered."""
        self._index = SpoolIndex()
        try:
            prepare_folder(folder)
            self._read_folder()
        except (OSError, BadContentError) as error:
            self._index.close()
            if isinstance(error, BadContentError):
                raise
            raise UnavailableError(f"spool {folder}: {error}; check disk and owner") from error

    def put(self, looks: Sequence[Look]) -> list[str]:
        """Accept looks: when this returns, they are on disk.

        Returns:
            Ids of the accepted looks; a look that is too large, or that the byte bound has no
            room for, is left out and counted as evicted.

        Raises:
            UnavailableError: the disk refused; nothing of this batch is accepted yet, and putting
                it again is safe.
        """
        with storage("spool"), self._lock:
            self._delete_left()  # where it cannot, the new looks may still find room
            written: list[SpoolItem] = []
            try:
                for look in looks:
                    if item := self._write(look):
                        written.append(item)
                        # At once, so that a better one of the same batch may take its place.
                        self._index.add([item], self._clock.monotonic())
                        crash_point("spool-after-file")
                accepted = [item for item in written if self._index.get(item.look_id)]
                if accepted:
                    sync_folder(self._looks)
                self._ledger("accepted", [f"{item.look_id} {item.bytes}" for item in accepted])
            except OSError:
                self._drop([item for item in written if self._index.get(item.look_id)])
                raise
            crash_point("spool-after-accept")
            self.accepted += len(accepted)
            self._owe(accepted)
            return [item.look_id for item in accepted]

    def live(self, limit: int, now: float) -> list[SpoolItem]:
        """Return looks of the last half minute that are due at monotonic `now`, in order."""
        with self._lock:
            return self._index.live(limit, now)

    def backlog(self, limit: int, now: float) -> list[SpoolItem]:
        """Return older looks that are due at monotonic `now`, the most valuable first."""
        with self._lock:
            return self._index.backlog(limit, now)

    def payload(self, item: SpoolItem) -> bytes | None:
        """Return a look's bytes as sent; None where its file is gone (and forget it).

        Raises:
            UnavailableError: the disk does not let us read it.
        """
        with storage("spool"), self._lock:
            try:
                return self._path(item.name).read_bytes()
            except FileNotFoundError:
                if self._index.get(item.look_id):
                    self._evicted(item.look_id, "somebody deleted its file")
                    self._remove([item])
                return None

    def replace(self, item: SpoolItem, payload: bytes) -> None:
        """Put smaller bytes in a look's place: the broker would not take it as it was."""
        with storage("spool"), self._lock:
            if self._index.get(item.look_id) is None:
                return  # evicted meanwhile
            write_synced(self._path(item.name), payload)
            self._bytes += len(payload) - item.bytes
            self._index.resize(item.look_id, len(payload))

    def set_aside(self, item: SpoolItem, why: str) -> None:
        """Take a look that cannot be sent out of the line; its file stays, as `ID.bad`."""
        with storage("spool"), self._lock:
            path = self._path(item.name)
            path.rename(path.with_name(item.look_id + BAD_SUFFIX))
            self.set_asides += 1
            self._evicted(item.look_id, why)
            self._remove([item])

    def answered(self, look_ids: Iterable[str]) -> None:
        """Note that nothing more is expected for these looks."""
        with self._lock:
            self.unanswered.difference_update(look_ids)

    def sent(self, look_id: str, due_at: float, attempts: int = 1) -> None:
        """Note that a look was sent; without a receipt it is due again at `due_at`.

        Args:
            look_id: Which.
            due_at: Monotonic seconds.
            attempts: 1; -1 where the broker has refused it, so that it was not sent after all; 0
                where only the time changes.
        """
        with self._lock:
            self._index.sent(look_id, due_at, attempts)

    def hasten(self, due_at: float) -> None:
        """Make every look due by `due_at` at the latest (after a reconnect)."""
        with self._lock:
            self._index.hasten(due_at)

    def forget(self, look_ids: Iterable[str]) -> int:
        """Delete looks that have their receipt. Returns how many were there.

        Raises:
            UnavailableError: the disk did not delete some. They are not sent again in this
                process, and after its restart they get their receipt again.
        """
        with storage("spool"), self._lock:
            # Once each: a look that was sent twice may be receipted twice in one message.
            known = [item for i in dict.fromkeys(look_ids) if (item := self._index.get(i))]
            self._drop(known)
            self._ledger("receipted", [item.look_id for item in known])
            if problem := self._delete_left():
                raise problem
            return len(known)

    def totals(self) -> tuple[int, int]:
        """Return how many looks wait, and the bytes of their files."""
        with self._lock:
            return self._index.count(), self._bytes

    def by_attempts(self) -> dict[int, int]:
        """Return how many looks were sent how often without a receipt; 10: ten times or more."""
        with self._lock:
            return self._index.by_attempts()

    def close(self) -> None:
        """Close the index."""
        with self._lock:
            self._index.close()

    def _path(self, name: FileName) -> Path:
        return self._looks / str(name)

    def _owe(self, items: Sequence[SpoolItem]) -> None:
        """Note that these look for an answer; of too many the cloud seems to answer none."""
        self.unanswered.update(item.look_id for item in items)
        while len(self.unanswered) > MOST_UNANSWERED:
            self.unanswered.pop()

    def _write(self, look: Look) -> SpoolItem | None:
        payload = encode_look(look)
        item = SpoolItem(look.meta.look_id, len(payload), value_of(look), 0)
        if not self._make_room(item):
            self._evicted(item.look_id, "the spool is full of better ones")
            return None
        path = self._path(item.name)
        self._undeleted.discard(path)
        write_synced(path, payload)
        self._bytes += item.bytes
        return item

    def _make_room(self, new: SpoolItem) -> bool:
        """Evict the least valuable, the oldest of equals; False where the new look is that."""
        cleared = 0
        while (over := self._bytes + new.bytes > self._config.max_bytes) or self._short_of_space():
            lowest = self._index.lowest()
            if lowest is None or lowest.value > new.value:
                return False
            if not over and (cleared == CLEARED or not self._would_help(new)):
                return False  # others have filled the disk: our looks are not the remedy
            self._evicted(lowest.look_id, "the spool is full")
            self._remove([lowest])
            cleared += 1
        return True

    def _would_help(self, new: SpoolItem) -> bool:
        """Tell whether evicting all that is worth less would free the space that is short."""
        free = shutil.disk_usage(self._looks).free
        return free + self._index.bytes_worth(new.value) >= self._config.min_free_bytes

    def _evicted(self, look_id: str, why: str) -> None:
        self._ledger("evicted", [look_id])
        if not self.evicted:
            log.warning("look_evicted id=%s bytes=%d: %s", look_id, self._bytes, why)
        self.evicted += 1
        self.unanswered.discard(look_id)

    def _short_of_space(self) -> bool:
        return shutil.disk_usage(self._looks).free < self._config.min_free_bytes

    def _remove(self, items: Sequence[SpoolItem]) -> None:
        self._drop(items)
        self._delete_left()

    def _drop(self, items: Sequence[SpoolItem]) -> None:
        """Take looks out of the line; their files are deleted as soon as the disk does it."""
        self._index.drop(items)
        for item in items:
            self._undeleted.add(self._path(item.name))
            self._bytes -= item.bytes

    def _delete_left(self) -> OSError | None:
        """Delete the files of forgotten looks; return what kept one of them, if anything did."""
        problem = None
        for path in tuple(self._undeleted):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                problem = error
            else:
                self._undeleted.discard(path)
        return problem

    def _ledger(self, word: str, items: Sequence[str]) -> None:
        if not self._config.ledger or not items:
            return
        with (self._folder / "ledger.log").open("a") as file:
            file.writelines(f"{word} {i}\n" for i in items)
            file.flush()
            os.fsync(file.fileno())

    def _read_folder(self) -> None:
        found: dict[str, SpoolItem] = {}
        for name, size in find_looks(self._looks):
            item = found.setdefault(name.look_id, SpoolItem(name.look_id, size, name.value, 0))
            if item.name != name:  # one id twice: somebody copied files
                self._undeleted.add(self._path(name))
        items = list(found.values())
        prune_bad(self._looks)
        self._index.add(items, LONG_AGO)
        self._bytes = sum(item.bytes for item in items)
        self._owe(items)
        # A crash between the files and the ledger: they were accepted all the same.
        self._ledger("accepted", [f"{item.look_id} {item.bytes}" for item in items])
