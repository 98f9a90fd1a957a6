"""Which looks wait in the spool, and what to choose among them by: in memory. Adapter."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from agent.spool_files import FileName

LIVE_S: Final = 30.0
"""A look counts as live for so long after it was accepted."""
TRIED: Final = 3
"""Attempts after which a look goes behind the others of the backlog."""
MOST_COUNTED: Final = 10
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


class SpoolIndex:
    """Rows of an SQLite database in memory. For one thread at a time."""

    def __init__(self) -> None:
        """Start empty."""
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        self._db.executescript(_TABLE)

    def add(self, items: Sequence[SpoolItem], accepted_at: float) -> None:
        """Add looks accepted at a monotonic time; they are due at once."""
        with self._db:
            self._db.executemany(
                "INSERT OR IGNORE INTO looks (look_id, bytes, value, accepted_at)"
                " VALUES (?, ?, ?, ?)",
                [(item.look_id, item.bytes, item.value, accepted_at) for item in items],
            )

    def get(self, look_id: str) -> SpoolItem | None:
        """Return a look; None where it is not there."""
        found = self._select("WHERE look_id = ?", look_id)
        return found[0] if found else None

    def live(self, limit: int, now: float) -> list[SpoolItem]:
        """Return looks of the last half minute that are due at monotonic `now`, in order."""
        return self._due("accepted_at >= ? ORDER BY accepted_at, look_id", limit, now)

    def backlog(self, limit: int, now: float) -> list[SpoolItem]:
        """Return older looks that are due at monotonic `now`, the most valuable first.

        Those that came to nothing a few times already go last: nobody may want them, and they
        would keep the others waiting.
        """
        order = f"attempts >= {TRIED}, value DESC, look_id"
        return self._due(f"accepted_at < ? ORDER BY {order}", limit, now)

    def lowest(self) -> SpoolItem | None:
        """Return the least valuable look, the oldest of equals."""
        found = self._select("ORDER BY value, look_id LIMIT 1")
        return found[0] if found else None

    def bytes_worth(self, value: int) -> int:
        """Return the bytes of all looks worth at most so much."""
        query = "SELECT COALESCE(SUM(bytes), 0) FROM looks WHERE value <= ?"
        return int(self._db.execute(query, (value,)).fetchone()[0])

    def drop(self, items: Iterable[SpoolItem]) -> None:
        """Take looks out."""
        with self._db:
            self._db.executemany(
                "DELETE FROM looks WHERE look_id = ?", [(item.look_id,) for item in items]
            )

    def resize(self, look_id: str, size: int) -> None:
        """Note that a look has another size."""
        self._db.execute("UPDATE looks SET bytes = ? WHERE look_id = ?", (size, look_id))

    def sent(self, look_id: str, due_at: float, attempts: int) -> None:
        """Add attempts, and make a look due at a monotonic time."""
        self._db.execute(
            "UPDATE looks SET attempts = attempts + ?, due_at = ? WHERE look_id = ?",
            (attempts, due_at, look_id),
        )

    def hasten(self, due_at: float) -> None:
        """Make every look due by a monotonic time at the latest."""
        self._db.execute("UPDATE looks SET due_at = ? WHERE due_at > ?", (due_at, due_at))

    def count(self) -> int:
        """Return how many looks wait."""
        return int(self._db.execute("SELECT COUNT(*) FROM looks").fetchone()[0])

    def by_attempts(self) -> dict[int, int]:
        """Return how many looks were sent how often; 10: ten times or more."""
        rows = self._db.execute(
            "SELECT MIN(attempts, ?) AS times, COUNT(*) FROM looks GROUP BY times", (MOST_COUNTED,)
        )
        return {int(attempts): int(count) for attempts, count in rows}

    def close(self) -> None:
        """Forget everything."""
        self._db.close()

    def _due(self, which: str, limit: int, now: float) -> list[SpoolItem]:
        clause = f"WHERE due_at <= ? AND {which} LIMIT ?"
        return self._select(clause, now, now - LIVE_S, max(0, limit))

    def _select(self, clause: str, *values: object) -> list[SpoolItem]:
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM looks {clause}", values)  # noqa: S608
        return [SpoolItem(*row) for row in rows]
