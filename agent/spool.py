"""Looks waiting for their receipt: one file each, and a SQLite index. Adapter.

The files are the truth. A look is a file named by its id, written, synced and renamed before it
counts as accepted; the index only remembers what to send when, and is rebuilt from the files
where the two differ. Files rather than blobs: on a full disk `unlink` still works, SQLite's
DELETE does not.
"""

import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.base.files import open_read_only, storage, sync_folder, write_synced
from agent.contract.codec import Look, decode_look, encode_look
from agent.contract.config import SpoolConfig
from agent.contract.errors import BadContentError, UnavailableError

log = logging.getLogger(__name__)

SCHEMA: Final = 1
SUFFIX: Final = ".look"
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS looks (
  look_id TEXT PRIMARY KEY,
  bytes INTEGER NOT NULL,
  value REAL NOT NULL,
  captured_at REAL NOT NULL,
  reason TEXT NOT NULL,
  label TEXT NOT NULL,
  camera TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  due_at REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS looks_due ON looks (due_at, captured_at);
CREATE INDEX IF NOT EXISTS looks_value ON looks (value, captured_at);
"""


@dataclass(frozen=True, slots=True)
class SpoolItem:
    """One waiting look, as the index knows it."""

    look_id: str
    bytes: int
    captured_at: float
    reason: str
    label: str
    camera: str
    attempts: int


class Spool:
    """Accepted looks on disk, bounded in bytes. Safe to call from several threads.

    Raises:
        UnavailableError: the folder cannot be written.
        BadContentError: the index was made by a newer version.
    """

    def __init__(self, folder: Path, config: SpoolConfig) -> None:
        """Open (and where needed repair) the spool in `folder`."""
        self._folder = folder
        self._looks = folder / "looks"
        self._config = config
        self._lock = threading.Lock()
        self.accepted = 0
        self.evicted = 0
        self.unanswered: set[str] = set()
        """Looks accepted, also by an earlier run that left them here, and not yet answered."""
        try:
            self._looks.mkdir(parents=True, exist_ok=True)
            self._db = _open_index(folder / "spool.db")
            self._reconcile()
        except (OSError, sqlite3.OperationalError) as error:
            raise UnavailableError(f"spool {folder}: {error}; check disk and owner") from error
        self._bytes = self._indexed_bytes()
        self.unanswered.update(str(r[0]) for r in self._db.execute("SELECT look_id FROM looks"))

    def put(self, looks: Sequence[Look]) -> list[str]:
        """Accept looks: when this returns, they are on disk.

        Returns:
            Ids of the accepted looks; a look that is too large, or that the byte bound has no
            room for, is left out and counted as evicted.

        Raises:
            UnavailableError: the disk refused; nothing of this batch is accepted twice, and
                files already written are found again at the next start.
        """
        with storage("spool"), self._lock:
            try:
                rows = [row for look in looks if (row := self._write(look))]
                if rows:
                    sync_folder(self._looks)
                    # Before the index, which is rebuilt from the files: the ledger is not.
                    self._ledger("accepted", [f"{row[0]} {row[1]}" for row in rows])
                    self._index(rows)
            except (OSError, sqlite3.Error):
                self._bytes = self._indexed_bytes()
                raise
            self.accepted += len(rows)
            self.unanswered.update(str(row[0]) for row in rows)
            return [str(row[0]) for row in rows]

    def due(self, limit: int, now: float) -> list[SpoolItem]:
        """Return looks to send now, the oldest first."""
        with storage("spool"), self._lock:
            found = self._db.execute(
                "SELECT look_id, bytes, captured_at, reason, label, camera, attempts FROM looks"
                " WHERE due_at <= ? ORDER BY due_at, captured_at LIMIT ?",
                (now, limit),
            ).fetchall()
        return [SpoolItem(*row) for row in found]

    def payload(self, look_id: str) -> bytes | None:
        """Return a look's bytes as sent; None where its file is gone (and forget its row)."""
        try:
            with storage("spool"):
                return self._path(look_id).read_bytes()
        except UnavailableError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                self.forget([look_id])
                return None
            raise

    def set_aside(self, look_id: str) -> None:
        """Take a look whose file is damaged out of the line; the file stays, as `ID.bad`."""
        with storage("spool"), self._lock:
            path = self._path(look_id)
            path.rename(path.with_suffix(".bad"))
            self._evicted(look_id)
            if row := self._row(look_id):
                self._remove([row])

    def answered(self, look_ids: Iterable[str]) -> None:
        """Note that nothing more is expected for these looks."""
        with self._lock:
            self.unanswered.difference_update(look_ids)

    def sent(self, look_id: str, due_at: float) -> None:
        """Note that a look was sent; without a receipt it is due again at `due_at`."""
        with storage("spool"), self._lock, self._db:
            self._db.execute(
                "UPDATE looks SET attempts = attempts + 1, due_at = ? WHERE look_id = ?",
                (due_at, look_id),
            )

    def hasten(self, due_at: float) -> None:
        """Make every look due by `due_at` at the latest (after a reconnect)."""
        with storage("spool"), self._lock, self._db:
            self._db.execute("UPDATE looks SET due_at = ? WHERE due_at > ?", (due_at, due_at))

    def forget(self, look_ids: Iterable[str]) -> int:
        """Delete looks that have their receipt. Returns how many were there."""
        # Once each: a look that was sent twice may be receipted twice in one message.
        ids = [i for i in dict.fromkeys(look_ids) if self._path(i).parent == self._looks]
        with storage("spool"), self._lock:
            known = [r for i in ids if (r := self._row(i))]
            self._ledger("receipted", [str(row[0]) for row in known])
            self._remove(known)
            return len(known)

    def totals(self) -> tuple[int, int]:
        """Return how many looks wait, and their bytes."""
        with storage("spool"), self._lock:
            return int(self._one("SELECT COUNT(*) FROM looks")), self._bytes

    def close(self) -> None:
        """Close the index."""
        with storage("spool"), self._lock:
            self._db.close()

    def _path(self, look_id: str) -> Path:
        return self._looks / f"{look_id}{SUFFIX}"

    def _index(self, rows: Sequence[tuple[object, ...]]) -> None:
        with self._db:
            self._db.executemany(
                "INSERT OR IGNORE INTO looks (look_id, bytes, value, captured_at, reason, label,"
                " camera) VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )

    def _indexed_bytes(self) -> int:
        return int(self._one("SELECT COALESCE(SUM(bytes), 0) FROM looks"))

    def _one(self, query: str) -> float:
        return float(self._db.execute(query).fetchone()[0])

    def _row(self, look_id: str) -> tuple[str, int] | None:
        row: tuple[str, int] | None = self._db.execute(
            "SELECT look_id, bytes FROM looks WHERE look_id = ?", (look_id,)
        ).fetchone()
        return row

    def _write(self, look: Look) -> tuple[object, ...] | None:
        payload = encode_look(look)
        row = _row_of(look, len(payload))
        if not self._make_room(len(payload), value_of(look)):
            self._evicted(look.meta.look_id)
            return None
        write_synced(self._path(look.meta.look_id), payload)
        self._bytes += len(payload)
        return row

    def _make_room(self, size: int, value: float) -> bool:
        """Evict the least valuable, the oldest of equals; False where the new look is that."""
        while self._bytes + size > self._config.max_bytes or self._short_of_space():
            lowest = self._db.execute(
                "SELECT look_id, bytes, value FROM looks ORDER BY value, captured_at LIMIT 1"
            ).fetchone()
            if lowest is None or lowest[2] > value:
                return False
            self._evicted(lowest[0])
            self._remove([lowest[:2]])
        return True

    def _evicted(self, look_id: str) -> None:
        self._ledger("evicted", [look_id])
        if not self.evicted:
            log.warning("spool_full bytes=%d: the least valuable looks go", self._bytes)
        self.evicted += 1
        self.unanswered.discard(look_id)

    def _short_of_space(self) -> bool:
        return shutil.disk_usage(self._looks).free < self._config.min_free_bytes

    def _remove(self, rows: Sequence[tuple[str, int]]) -> None:
        for look_id, size in rows:
            self._path(look_id).unlink(missing_ok=True)
            self._bytes -= size
        with self._db:
            self._db.executemany("DELETE FROM looks WHERE look_id = ?", [(r[0],) for r in rows])

    def _ledger(self, word: str, items: Sequence[str]) -> None:
        if not self._config.ledger or not items:
            return
        with (self._folder / "ledger.log").open("a") as file:
            file.writelines(f"{word} {i}\n" for i in items)
            file.flush()
            os.fsync(file.fileno())

    def _reconcile(self) -> None:
        """Make index and files agree: rows without file go, files without row come back."""
        for leftover in self._looks.glob("*.tmp"):
            leftover.unlink()
        files = {p.name.removesuffix(SUFFIX): p for p in self._looks.glob(f"*{SUFFIX}")}
        rows = {r[0] for r in self._db.execute("SELECT look_id FROM looks")}
        found = []
        for look_id in files.keys() - rows:
            try:
                payload = files[look_id].read_bytes()
                found.append(_row_of(decode_look(payload), len(payload)))
            except BadContentError as error:
                log.warning("spool_file_unreadable file=%s reason=%s", files[look_id].name, error)
                files[look_id].unlink()
        with self._db:
            gone = [(i,) for i in rows - files.keys()]
            self._db.executemany("DELETE FROM looks WHERE look_id = ?", gone)
            # A restarted process has no answers under way: everything is due.
            self._db.execute("UPDATE looks SET due_at = 0")
        self._index(found)
        # A crash between the files and the ledger: they were accepted all the same.
        self._ledger("accepted", [f"{row[0]} {row[1]}" for row in found])


def value_of(look: Look) -> float:
    """Return what a look is worth keeping, 0..1: its uncertainty; audits go first."""
    return 0.0 if look.meta.reason == "audit" else 1.0 - look.meta.margin


def _row_of(look: Look, size: int) -> tuple[object, ...]:
    meta = look.meta
    label = meta.top[0].label if meta.top else ""
    return meta.look_id, size, value_of(look), meta.captured_at, meta.reason, label, meta.camera


def _open_index(path: Path) -> sqlite3.Connection:
    """Open the index; a damaged one is set aside, for the files bring all of it back."""
    try:
        return _connect(path)
    except sqlite3.OperationalError:
        raise  # the disk's fault, not the file's
    except sqlite3.DatabaseError as error:
        log.warning("spool_index_damaged reason=%s: made anew from the files", error)
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.replace(path.with_name(f"{part.name}.bad"))
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    with ExitStack() as failing:
        db = sqlite3.connect(path, check_same_thread=False, timeout=10)
        failing.callback(db.close)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            raise BadContentError(f"{path}: made by a newer secondlook (schema {version}); upgrade")
        db.execute("PRAGMA journal_mode=WAL")
        # NORMAL: a power cut may cost the last rows, and the files bring them back.
        db.execute("PRAGMA synchronous=NORMAL")
        db.executescript(_TABLES)
        db.execute(f"PRAGMA user_version={SCHEMA}")
        failing.pop_all()
    return db


def read_spool(folder: Path) -> list[SpoolItem]:
    """List waiting looks without opening the spool for writing; works beside a live daemon.

    Raises:
        UnavailableError: there is no readable spool in `folder`.
    """
    path = folder / "spool.db"
    try:
        db = open_read_only(path)
        try:
            rows = db.execute(
                "SELECT look_id, bytes, captured_at, reason, label, camera, attempts FROM looks"
                " ORDER BY captured_at"
            ).fetchall()
        finally:
            db.close()
    except sqlite3.Error as error:
        raise UnavailableError(f"{path}: {error}; has the agent run here?") from error
    return [SpoolItem(*row) for row in rows]
