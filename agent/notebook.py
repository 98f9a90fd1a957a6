"""What the device remembers beside its looks: sightings, sequences, settings. Adapter.

One SQLite file. A sequence number is on disk, by `synchronous=FULL`, before the message that
carried it is used. Sightings are written with NORMAL: a killed process loses none, a power cut
those since the last sync (any fact's, every half minute); each with a sync of its own wore an SD
card ten times as much as all looks do. The sightings table is also the outbox of events, so a
broker that is away costs no event.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from agent.base.files import open_read_only, storage
from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.messages import SightingState, Verdict

SCHEMA: Final = 1
PAGE_BYTES: Final = 1_024
MAX_SIGHTINGS: Final = 20_000
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sightings (
  sighting_id TEXT PRIMARY KEY,
  camera TEXT NOT NULL,
  state TEXT NOT NULL,
  label TEXT,
  was TEXT,
  score REAL NOT NULL,
  first_seen REAL NOT NULL,
  last_seen REAL NOT NULL,
  frames INTEGER NOT NULL,
  box TEXT NOT NULL,
  model TEXT NOT NULL,
  published INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sightings_outbox ON sightings (published, last_seen);
"""
_COLUMNS: Final = (
    "sighting_id, camera, state, label, was, score, first_seen, last_seen, frames, box, model"
)


@dataclass(frozen=True, slots=True)
class Note:
    """One sighting as remembered."""

    sighting_id: str
    camera: str
    state: SightingState
    label: str | None
    was: str | None
    score: float
    first_seen: float
    last_seen: float
    frames: int
    box: tuple[int, int, int, int]
    model: str


def judged(note: Note, verdict: Verdict) -> Note:
    """Return what a verdict makes of a sighting.

    `label` and `none` confirm or revise; other outcomes leave the sighting as it is.
    """
    if verdict.outcome not in ("label", "none"):
        return note
    told = verdict.label if verdict.outcome == "label" else None
    if told == note.label:
        return replace(note, state="confirmed") if note.state == "provisional" else note
    return replace(note, state="revised", was=note.label, label=told, score=verdict.confidence)


class Notebook:
    """The device's memory. Safe to call from several threads.

    Raises:
        UnavailableError: the file cannot be written.
        BadContentError: it is damaged, or was made by a newer version.

    All methods raise UnavailableError while the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        """Open the notebook in a state folder."""
        self._lock = threading.Lock()
        path = folder / "notebook.db"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as failing:
                self._db = sqlite3.connect(path, check_same_thread=False, timeout=10)
                failing.callback(self._db.close)
                version = self._db.execute("PRAGMA user_version").fetchone()[0]
                if version > SCHEMA:
                    raise BadContentError(f"{path}: made by a newer secondlook; upgrade")
                # Before there is a table. Small pages: each change writes whole ones.
                self._db.execute(f"PRAGMA page_size={PAGE_BYTES}")
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.executescript(_TABLES)
                self._db.execute(f"PRAGMA user_version={SCHEMA}")
                failing.pop_all()
        except (OSError, sqlite3.OperationalError) as error:
            raise UnavailableError(f"{path}: {error}; check disk and owner") from error
        except sqlite3.DatabaseError as error:
            raise BadContentError(
                f"{path}: {error}; move it away: only the history and fleet config are in it,"
                " looks are not"
            ) from error

    def fact(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - JSON is any
        """Return a remembered value."""
        with storage("notebook"), self._lock:
            row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return default if row is None else json.loads(row[0])

    def remember(self, **facts: Any) -> None:  # noqa: ANN401 - JSON is any
        """Store values; when this returns they are on disk."""
        self._put(facts, "FULL")

    def jot(self, **facts: Any) -> None:  # noqa: ANN401 - JSON is any
        """Store values without a sync: a killed process loses none, a power cut may."""
        self._put(facts, "NORMAL")

    def _put(self, facts: dict[str, Any], synchronous: Literal["FULL", "NORMAL"]) -> None:
        with storage("notebook"), self._lock, self._writing(synchronous):
            self._db.executemany(
                "INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)",
                [(name, json.dumps(value)) for name, value in facts.items()],
            )

    def note(self, notes: Sequence[Note]) -> None:
        """Store sightings; each new or changed one becomes an event to publish.

        A sighting that a verdict has already settled keeps its state.
        """
        with storage("notebook"), self._lock, self._writing("NORMAL"):
            self._db.executemany(
                f"INSERT INTO sightings ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)"  # noqa: S608
                " ON CONFLICT (sighting_id) DO UPDATE SET last_seen = excluded.last_seen,"
                " frames = excluded.frames, box = excluded.box,"
                " published = published AND (state <> 'provisional' OR label IS excluded.label),"
                " score = CASE state WHEN 'provisional' THEN excluded.score ELSE score END,"
                " label = CASE state WHEN 'provisional' THEN excluded.label ELSE label END",
                [_values(n) for n in notes],
            )
            # Ids follow the clock. Those from after these came while it was wrong (or is now):
            # they go first, or nothing new would stay.
            newest = max((n.sighting_id for n in notes), default="")
            self._db.execute(
                "DELETE FROM sightings WHERE sighting_id IN (SELECT sighting_id FROM sightings"
                " ORDER BY sighting_id > ?, sighting_id DESC LIMIT -1 OFFSET ?)",
                (newest, MAX_SIGHTINGS),
            )

    def apply(self, seq: int, verdicts: Sequence[Verdict]) -> list[Note]:
        """Apply a batch of verdicts and its sequence number in one transaction.

        A verdict for something that never became a sighting here (a box too weak, one the
        notebook has dropped) changes no sighting: it has done its work in the dataset.

        Returns:
            The sightings that changed, as they are now.
        """
        changed = []
        with storage("notebook"), self._lock, self._writing("FULL"):
            for verdict in verdicts:
                before = self._recall(verdict.sighting_id)
                after = judged(before, verdict) if before else None
                if after and after != before:
                    self._replace(after)
                    changed.append(after)
            self._db.execute(
                "INSERT OR REPLACE INTO facts (name, value) VALUES ('verdict_seq', ?)", (str(seq),)
            )
        return changed

    def outbox(self, limit: int) -> list[Note]:
        """Return sightings whose event is not published yet, the oldest first."""
        return self._notes("WHERE published = 0 ORDER BY last_seen", limit)

    def published(self, notes: Sequence[Note]) -> None:
        """Note that these events are with the broker, unless they changed meanwhile."""
        with storage("notebook"), self._lock, self._writing("NORMAL"):
            self._db.executemany(
                "UPDATE sightings SET published = 1"
                " WHERE sighting_id = ? AND state = ? AND label IS ?",
                [(n.sighting_id, n.state, n.label) for n in notes],
            )

    def latest(self, limit: int) -> list[Note]:
        """Return the newest sightings, newest first."""
        return self._notes("ORDER BY sighting_id DESC", limit)

    def close(self) -> None:
        """Close the file."""
        with storage("notebook"), self._lock:
            self._db.close()

    @contextmanager
    def _writing(self, synchronous: Literal["FULL", "NORMAL"]) -> Iterator[None]:
        """Be one transaction."""
        self._db.execute(f"PRAGMA synchronous={synchronous}")
        with self._db:
            yield

    def _recall(self, sighting_id: str) -> Note | None:
        row = self._db.execute(
            f"SELECT {_COLUMNS} FROM sightings WHERE sighting_id = ?",  # noqa: S608 - ours
            (sighting_id,),
        ).fetchone()
        return _note_of(row) if row else None

    def _replace(self, note: Note) -> None:
        self._db.execute(
            f"INSERT OR REPLACE INTO sightings ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608
            _values(note),
        )

    def _notes(self, clause: str, limit: int) -> list[Note]:
        with storage("notebook"), self._lock:
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM sightings {clause} LIMIT ?",  # noqa: S608 - ours
                (limit,),
            ).fetchall()
        return [_note_of(row) for row in rows]


def _values(n: Note) -> tuple[object, ...]:
    return (
        n.sighting_id, n.camera, n.state, n.label, n.was, n.score, n.first_seen, n.last_seen,
        n.frames, json.dumps(n.box), n.model,
    )  # fmt: skip


def _note_of(row: tuple[Any, ...]) -> Note:
    x0, y0, x1, y1 = json.loads(row[9])
    return Note(*row[:9], (x0, y0, x1, y1), row[10])  # type: ignore[call-arg] # row has 11


@dataclass(frozen=True, slots=True)
class Memory:
    """What the notebook holds at one time."""

    facts: dict[str, Any]
    latest: list[Note]
    """The newest sightings, newest first."""
    settled: list[Note]
    """The newest ones that a verdict has settled, newest first."""


def read_notebook(folder: Path, latest: int = 0, settled: int = 0) -> Memory:
    """Read facts and sightings without opening the notebook for writing.

    Args:
        folder: The state folder.
        latest: Most of the newest sightings.
        settled: Most of the settled ones.

    Raises:
        UnavailableError: there is no readable notebook in `folder`.
    """
    path = folder / "notebook.db"
    try:
        with closing(open_read_only(path)) as db:
            facts = db.execute("SELECT name, value FROM facts").fetchall()
            newest, answered = (
                db.execute(
                    f"SELECT {_COLUMNS} FROM sightings {clause}"  # noqa: S608 - ours
                    " ORDER BY sighting_id DESC LIMIT ?",
                    (limit,),
                ).fetchall()
                for clause, limit in (("", latest), ("WHERE state <> 'provisional'", settled))
            )
    except sqlite3.Error as error:
        raise UnavailableError(f"{path}: {error}; has the agent run here?") from error
    return Memory(
        {name: json.loads(value) for name, value in facts},
        [_note_of(row) for row in newest],
        [_note_of(row) for row in answered],
    )
