"""Count a finished run from its files: ledger, notebook, database, shards. Adapter.

Nothing here trusts a counter of the running programs, so anybody can recount a kept run.
"""

import json
import sqlite3
import tarfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cloud.demo.standin import Truth

NANO: Final = 1e-9


@dataclass(frozen=True, slots=True)
class AskedLook:
    """One look as the worker stored it."""

    look_id: str
    frame: int
    box: tuple[int, int, int, int]
    device_label: str | None
    outcome: str | None
    label: str | None


@dataclass(frozen=True, slots=True)
class Figures:
    """What really happened; `as_json` names them for outsiders."""

    seen: int = 0
    """Sightings."""
    looks: int = 0
    """Accepted by the device: on its disk, by its own ledger."""
    labelled: int = 0
    """Looks with a terminal outcome."""
    verdicts: int = 0
    """Looks whose verdict the device has applied."""
    confirmed: int = 0
    revised: int = 0
    advice: int = 0
    """Advice messages that the device has accepted."""
    lost: int = 0
    duplicated: int = 0
    cost_usd: float = 0.0
    bytes_per_look_p50: int = 0
    bytes_per_look_p99: int = 0
    accuracy: float = 0.0
    """Share of asked-about regions that are right after the second look."""
    accuracy_before: float = 0.0
    """The same with the device's own first guess."""
    outcomes: dict[str, int] = field(default_factory=dict)


def recount(root: Path, truth_of: Callable[[AskedLook], Truth]) -> Figures:
    """Count the run kept in a folder made by the demo.

    Args:
        root: Folder with `device/` and `cloud/`.
        truth_of: The ground truth of one look.
    """
    accepted, evicted = read_ledger(root / "device" / "spool" / "ledger.log")
    notes = Counter(
        row[0] for row in rows_of(root / "device" / "notebook.db", "SELECT state FROM sightings")
    )
    database = root / "cloud" / "secondlook.sqlite"
    asked = read_looks(database)
    stored = [look.look_id for look in asked]
    members = shard_members(root / "cloud" / "objects")
    sizes = sorted(accepted.values())
    right = [judge(look, truth_of(look)) for look in asked if look.outcome]
    applied = rows_of(
        database,
        "SELECT COUNT(DISTINCT v.look_id) FROM verdicts v JOIN devices d USING (device)"
        " WHERE v.seq <= d.verdict_applied",
    )
    spent = rows_of(database, "SELECT COALESCE(SUM(COALESCE(cost, reserved)), 0) FROM spend")
    return Figures(
        seen=sum(notes.values()),
        looks=len(accepted),
        labelled=len(right),
        verdicts=applied[0][0] if applied else 0,
        confirmed=notes["confirmed"],
        revised=notes["revised"],
        advice=int(fact(root / "device" / "notebook.db", "advice_seq") > 0),
        lost=len(accepted.keys() - set(stored) - evicted) + len(set(stored) - members.keys()),
        duplicated=len(stored) - len(set(stored)) + sum(n - 1 for n in members.values()),
        cost_usd=round(spent[0][0] * NANO, 6) if spent else 0.0,
        bytes_per_look_p50=percentile(sizes, 0.50),
        bytes_per_look_p99=percentile(sizes, 0.99),
        accuracy=share([after for _, after in right]),
        accuracy_before=share([before for before, _ in right]),
        outcomes=dict(Counter(look.outcome or "waiting" for look in asked)),
    )


def judge(look: AskedLook, truth: Truth) -> tuple[bool, bool]:
    """Tell whether a look was right before and after its second look.

    `label` and `none` replace the device's guess; any other outcome leaves it.
    """
    before = look.device_label == truth.label
    if look.outcome == "label":
        return before, look.label == truth.label
    if look.outcome == "none":
        return before, truth.label is None
    return before, before


def read_ledger(path: Path) -> tuple[dict[str, int], set[str]]:
    """Return accepted look ids with their bytes, and evicted ids."""
    accepted: dict[str, int] = {}
    evicted: set[str] = set()
    for line in path.read_text().splitlines() if path.exists() else []:
        word, look_id, *rest = line.split()
        if word == "accepted":
            accepted[look_id] = int(rest[0])
        elif word == "evicted":
            evicted.add(look_id)
    return accepted, evicted


def read_looks(database: Path) -> list[AskedLook]:
    """Return all stored looks, oldest first."""
    query = "SELECT look_id, frame, box, device_label, outcome, label FROM looks ORDER BY look_id"
    return [
        AskedLook(look_id, frame, tuple(json.loads(box)), *rest)
        for look_id, frame, box, *rest in rows_of(database, query)
    ]


def shard_members(folder: Path) -> Counter[str]:
    """Count region pictures by look id over all tar shards."""
    members: Counter[str] = Counter()
    for shard in folder.rglob("*.tar"):
        with tarfile.open(shard) as archive:
            names = (n for n in archive.getnames() if n.endswith(".jpg") and n.count(".") == 1)
            members.update(n.rpartition("/")[2].removesuffix(".jpg") for n in names)
    return members


def rows_of(database: Path, query: str) -> list[tuple[Any, ...]]:
    """Run one query read-only; no rows where the database or its tables are not there yet."""
    if not database.exists():
        return []
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)
    try:
        return db.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        db.close()


def fact(notebook: Path, name: str) -> float:
    """Return a number the device remembers; 0 where it does not."""
    rows = rows_of(notebook, f"SELECT value FROM facts WHERE name = '{name}'")  # noqa: S608 - ours
    return float(json.loads(rows[0][0])) if rows else 0.0


def percentile(ordered: list[int], share_: float) -> int:
    """Return the smallest value that at least a share of an ordered list does not exceed."""
    if not ordered:
        return 0
    return ordered[max(0, -int(-share_ * len(ordered) // 1) - 1)]


def share(truths: list[bool]) -> float:
    """Return the share of true values, rounded to four digits; 0 of none."""
    return round(sum(truths) / len(truths), 4) if truths else 0.0
