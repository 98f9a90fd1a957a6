"""Whether a run lost or doubled anything: device ledgers against the store, from files alone.

lost = ledger - store - evicted. A look counts as stored only where its row leads to the picture
whose hash it names. Nothing here believes a counter of the programs under test.

Two things it does not hold against a run. A look that was evicted and is stored nevertheless (it
was on its way, or its receipt was) is no loss: it is a figure, `evicted_stored`. And a spool notes
as accepted, at each start, all files that it finds, for a crash may come between file and ledger:
so a file from nowhere in a spool's folder is in its ledger, and never a phantom.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloud.demo.recount import read_ledger, rows_of, shard_members
from tests.faults.case import Case

LEDGER = "spool/ledger.log"
STORED = "SELECT look_id, shard, offset, length, sha256 FROM looks"


@dataclass(frozen=True)
class Count:
    """What became of the looks of one run."""

    accepted: int
    stored: int
    evicted: int
    evicted_stored: int
    """Given up by the device, though the store has them."""
    lost: frozenset[str]
    doubled: frozenset[str]
    """In two rows or two shards."""
    phantoms: frozenset[str]
    """Stored, and in no device's ledger."""


def recount(devices: Iterable[Path], cloud: Path) -> Count:
    """Count a run that has come to rest.

    Args:
        devices: State folders of all devices, with ledgers.
        cloud: State folder of the worker.
    """
    accepted: set[str] = set()
    evicted: set[str] = set()
    for folder in devices:
        ids, gone = read_ledger(folder / LEDGER)
        accepted |= ids.keys()
        evicted |= gone
    rows = rows_of(cloud / "secondlook.sqlite", STORED)
    found = Counter(str(row[0]) for row in rows)
    members = shard_members(cloud / "objects" / "looks")
    whole = {str(row[0]) for row in rows if intact(cloud / "objects", *row[1:])}
    return Count(
        accepted=len(accepted),
        stored=len(whole),
        evicted=len(evicted),
        evicted_stored=len(evicted & whole),
        lost=frozenset(accepted - whole - evicted),
        doubled=frozenset(i for i, n in (found | members).items() if n > 1),
        phantoms=frozenset((found.keys() | members.keys()) - accepted),
    )


def intact(objects: Path, shard: str, offset: int, length: int, sha256: str) -> bool:
    """Whether a row's picture lies where the row says."""
    path = objects / shard
    if not path.is_file():
        return False
    with path.open("rb") as file:
        file.seek(offset)
        return hashlib.sha256(file.read(length)).hexdigest() == sha256


def judge(
    case: Case, count: Count, *, kills: int = 0, evicted: bool = False, **figures: Any
) -> None:
    """Record what a run did to its looks, and fail it where that is not nothing.

    Args:
        case: The row.
        count: The run.
        kills: Processes ended without a word.
        evicted: Whether the row fills the spool on purpose.
        figures: What else the row is about.
    """
    case.record(
        lost=len(count.lost), dup=len(count.doubled), phantom=len(count.phantoms), kills=kills,
        looks=count.accepted, evicted=count.evicted, evicted_stored=count.evicted_stored,
        **figures,
    )  # fmt: skip
    assert count.accepted, "nothing was accepted: the row proves nothing"
    assert not count.lost, f"lost: {sorted(count.lost)[:5]}"
    assert not count.doubled, f"stored twice: {sorted(count.doubled)[:5]}"
    assert not count.phantoms, f"never accepted: {sorted(count.phantoms)[:5]}"
    assert evicted or not count.evicted, "evicted, though the spool had room"
