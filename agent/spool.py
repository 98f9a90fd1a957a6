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
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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

log = logging.getLogger(__name__)

LIVE_S: Final = 30.0
"""A look counts as live for so long after it was accepted."""
MOST_UNANSWERED: Final = 10_000
LONG_AGO: Final = -1e18
"""Monotonic seconds: looks found at the start are backlog."""
_TABLE: Final = """
CREATE TABLE looks (
  look_id TEXT PRIMARY KEY,
  bytes INTEGER NOT NULL,
  value INTEGER NOT NULL,
  accepted_at REAL NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  due_at REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX looks_value ON looks (value DESC, look_id);
CREATE INDEX looks_accepted ON looks (accepted_at);
"""
_COLUMNS: Final = "look_id, bytes, value, attempts"


@dataclass(frozen=True, slots=True)
class SpoolItem:
    """One waiting look, as the index knows it."""

    look_id: str
    bytes: int
    value: int
    """What it is worth, in thousandths."""
    attempts: int
    """How often this process has sent it."""

    @property
    def name(self) -> FileName:
        """Its file's name."""
        return FileName(self.look_id, self.value)


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
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        self._db.executescript(_TABLE)
        try:
            prepare_folder(folder)
            self._read_folder()
        except (OSError, BadContentError) as error:
            self._db.close()
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
            self._delete_left()
            written: list[SpoolItem] = []
            try:
                for look in looks:
                    if item := self._write(look):
                        written.append(item)
                        crash_point("spool-after-file")
                if written:
                    sync_folder(self._looks)
            except OSError:
                self._bytes -= sum(item.bytes for item in written)
                self._undeleted.update(self._path(item.name) for item in written)
                raise
            self._ledger("accepted", [f"{item.look_id} {item.bytes}" for item in written])
            crash_point("spool-after-accept")
            self._index(written, self._clock.monotonic())
            self.accepted += len(written)
            self._owe(written)
            return [item.look_id for item in written]

    def live(self, limit: int, now: float) -> list[SpoolItem]:
        """Return looks of the last half minute that are due at monotonic `now`, in order."""
        return self._due("accepted_at >= ? ORDER BY accepted_at, look_id", limit, now)

    def backlog(self, limit: int, now: float) -> list[SpoolItem]:
        """Return older looks that are due at monotonic `now`, the most valuable first."""
        return self._due("accepted_at < ? ORDER BY value DESC, look_id", limit, now)

    def _due(self, which: str, limit: int, now: float) -> list[SpoolItem]:
        with self._lock:
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM looks WHERE due_at <= ? AND {which} LIMIT ?",  # noqa: S608
                (now, now - LIVE_S, max(0, limit)),
            )
            return [SpoolItem(*row) for row in rows]

    def payload(self, item: SpoolItem) -> bytes | None:
        """Return a look's bytes as sent; None where its file is gone (and forget it).

        Raises:
            UnavailableError: the disk does not let us read it.
        """
        with storage("spool"), self._lock:
            try:
                return self._path(item.name).read_bytes()
            except FileNotFoundError:
                if self._item(item.look_id):
                    self._evicted(item.look_id, "somebody deleted its file")
                    self._remove([item])
                return None

    def replace(self, item: SpoolItem, payload: bytes) -> None:
        """Put smaller bytes in a look's place: the broker would not take it as it was."""
        with storage("spool"), self._lock:
            write_synced(self._path(item.name), payload)
            self._bytes += len(payload) - item.bytes
            self._db.execute(
                "UPDATE looks SET bytes = ? WHERE look_id = ?", (len(payload), item.look_id)
            )

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
            self._db.execute(
                "UPDATE looks SET attempts = attempts + ?, due_at = ? WHERE look_id = ?",
                (attempts, due_at, look_id),
            )

    def hasten(self, due_at: float) -> None:
        """Make every look due by `due_at` at the latest (after a reconnect)."""
        with self._lock:
            self._db.execute("UPDATE looks SET due_at = ? WHERE due_at > ?", (due_at, due_at))

    def forget(self, look_ids: Iterable[str]) -> int:
        """Delete looks that have their receipt. Returns how many were there.

        Raises:
            UnavailableError: the disk did not delete some. They are not sent again in this
                process, and after its restart they get their receipt again.
        """
        with storage("spool"), self._lock:
            # Once each: a look that was sent twice may be receipted twice in one message.
            known = [item for i in dict.fromkeys(look_ids) if (item := self._item(i))]
            self._drop(known)
            self._ledger("receipted", [item.look_id for item in known])
            self._delete_left()
            return len(known)

    def totals(self) -> tuple[int, int]:
        """Return how many looks wait, and the bytes of their files."""
        with self._lock:
            count = self._db.execute("SELECT COUNT(*) FROM looks").fetchone()[0]
            return int(count), self._bytes

    def by_attempts(self) -> dict[int, int]:
        """Return how many looks were sent how often without a receipt."""
        with self._lock:
            rows = self._db.execute("SELECT attempts, COUNT(*) FROM looks GROUP BY attempts")
            return {int(attempts): int(count) for attempts, count in rows}

    def close(self) -> None:
        """Close the index."""
        with self._lock:
            self._db.close()

    def _path(self, name: FileName) -> Path:
        return self._looks / str(name)

    def _index(self, items: Sequence[SpoolItem], accepted_at: float) -> None:
        with self._db:
            self._db.executemany(
                "INSERT OR IGNORE INTO looks (look_id, bytes, value, accepted_at)"
                " VALUES (?, ?, ?, ?)",
                [(item.look_id, item.bytes, item.value, accepted_at) for item in items],
            )

    def _owe(self, items: Sequence[SpoolItem]) -> None:
        """Note that these look for an answer; of too many the cloud seems to answer none."""
        self.unanswered.update(item.look_id for item in items)
        while len(self.unanswered) > MOST_UNANSWERED:
            self.unanswered.pop()

    def _item(self, look_id: str) -> SpoolItem | None:
        row = self._db.execute(
            f"SELECT {_COLUMNS} FROM looks WHERE look_id = ?",  # noqa: S608 - ours
            (look_id,),
        ).fetchone()
        return SpoolItem(*row) if row else None

    def _write(self, look: Look) -> SpoolItem | None:
        payload = encode_look(look)
        item = SpoolItem(look.meta.look_id, len(payload), value_of(look), 0)
        if not self._make_room(item):
            self._evicted(item.look_id, "the spool is full of better ones")
            return None
        write_synced(self._path(item.name), payload)
        self._bytes += item.bytes
        return item

    def _make_room(self, new: SpoolItem) -> bool:
        """Evict the least valuable, the oldest of equals; False where the new look is that."""
        while self._bytes + new.bytes > self._config.max_bytes or self._short_of_space():
            lowest = self._db.execute(
                f"SELECT {_COLUMNS} FROM looks ORDER BY value, look_id LIMIT 1"  # noqa: S608
            ).fetchone()
            if lowest is None or lowest[2] > new.value:
                return False
            item = SpoolItem(*lowest)
            self._evicted(item.look_id, "the spool is full")
            self._remove([item])
        return True

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
        with self._db:
            self._db.executemany(
                "DELETE FROM looks WHERE look_id = ?", [(item.look_id,) for item in items]
            )
        for item in items:
            self._undeleted.add(self._path(item.name))
            self._bytes -= item.bytes

    def _delete_left(self) -> None:
        for path in tuple(self._undeleted):
            path.unlink(missing_ok=True)
            self._undeleted.discard(path)

    def _ledger(self, word: str, items: Sequence[str]) -> None:
        if not self._config.ledger or not items:
            return
        with (self._folder / "ledger.log").open("a") as file:
            file.writelines(f"{word} {i}\n" for i in items)
            file.flush()
            os.fsync(file.fileno())

    def _read_folder(self) -> None:
        items = [SpoolItem(name.look_id, size, name.value, 0) for name, size in
                 find_looks(self._looks)]  # fmt: skip
        prune_bad(self._looks)
        self._index(items, LONG_AGO)
        self._bytes = sum(item.bytes for item in items)
        self._owe(items)
        # A crash between the files and the ledger: they were accepted all the same.
        self._ledger("accepted", [f"{item.look_id} {item.bytes}" for item in items])
