"""The oracle sees what it is there to see."""

import hashlib
import io
import sqlite3
import tarfile
from pathlib import Path

import pytest

from tests.faults.case import Case
from tests.faults.oracle import Count, judge, recount


class Run:
    """Files of a run, written by hand."""

    def __init__(self, root: Path) -> None:
        self.device, self.cloud = root / "cam-1", root / "cloud"
        (self.device / "spool").mkdir(parents=True)
        (self.cloud / "objects" / "looks").mkdir(parents=True)
        self.ledger = self.device / "spool" / "ledger.log"
        self._db = sqlite3.connect(self.cloud / "secondlook.sqlite")
        self._db.execute("CREATE TABLE looks (look_id, shard, offset, length, sha256)")

    def accept(self, *ids: str) -> None:
        with self.ledger.open("a") as file:
            file.writelines(f"accepted {i} 100\n" for i in ids)

    def evict(self, look_id: str) -> None:
        with self.ledger.open("a") as file:
            file.write(f"evicted {look_id}\n")

    def shard(self, name: str, *ids: str) -> None:
        with tarfile.open(self.cloud / "objects" / "looks" / name, "w") as tar:
            for look_id in ids:
                member = tarfile.TarInfo(f"{look_id}.jpg")
                member.size = len(look_id)
                tar.addfile(member, io.BytesIO(look_id.encode()))

    def row(self, look_id: str, shard: str, place: int = 0) -> None:
        """Its picture is the `place`-th of the shard."""
        digest = hashlib.sha256(look_id.encode()).hexdigest()
        offset = place * 1_024 + 512
        self._db.execute(
            "INSERT INTO looks VALUES (?, ?, ?, ?, ?)",
            (look_id, f"looks/{shard}", offset, len(look_id), digest),
        )
        self._db.commit()

    def store(self, shard: str, *ids: str) -> None:
        self.shard(shard, *ids)
        for place, look_id in enumerate(ids):
            self.row(look_id, shard, place)

    def count(self) -> Count:
        self._db.close()
        return recount([self.device], self.cloud)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    found = Run(tmp_path)
    found.accept("a", "b", "c")
    return found


def verdict(count: Count) -> tuple[str, str, str]:
    return "".join(count.lost), "".join(count.doubled), "".join(count.phantoms)


def test_all_is_well(run: Run) -> None:
    run.store("1.tar", "a", "b", "c")
    count = run.count()
    assert verdict(count) == ("", "", "")
    judge(Case("x", 1, "short"), count)


def test_lost(run: Run) -> None:
    run.store("1.tar", "a", "c")
    assert verdict(run.count()) == ("b", "", "")


def test_evicted_is_not_lost_and_still_counts(run: Run) -> None:
    run.store("1.tar", "a", "c")
    run.evict("b")
    count = run.count()
    assert verdict(count) == ("", "", "")
    judge(Case("x", 1, "short"), count, evicted=True)
    with pytest.raises(AssertionError, match="room"):
        judge(Case("x", 1, "short"), count)


def test_evicted_and_yet_stored_is_told(run: Run) -> None:
    run.store("1.tar", "a", "b", "c")
    run.evict("b")
    case = Case("x", 1, "short")
    judge(case, run.count(), evicted=True)
    assert (case.figures["lost"], case.figures["evicted_stored"]) == (0, 1)


def test_a_row_whose_picture_is_not_there_is_lost(run: Run) -> None:
    run.store("1.tar", "a", "b")
    run.row("c", "2.tar")
    assert verdict(run.count()) == ("c", "", "")


def test_a_row_that_leads_to_another_picture_is_lost(run: Run) -> None:
    run.store("1.tar", "a", "b")
    run.row("c", "1.tar", 1)
    assert verdict(run.count()) == ("c", "", "")


def test_doubled_in_shards(run: Run) -> None:
    run.store("1.tar", "a", "b", "c")
    run.shard("2.tar", "b")
    assert verdict(run.count()) == ("", "b", "")


def test_doubled_in_rows(run: Run) -> None:
    run.store("1.tar", "a", "b", "c")
    run.row("a", "1.tar")
    assert verdict(run.count()) == ("", "a", "")


def test_phantom(run: Run) -> None:
    run.store("1.tar", "a", "b", "c", "d")
    count = run.count()
    assert verdict(count) == ("", "", "d")
    with pytest.raises(AssertionError, match="never accepted"):
        judge(Case("x", 1, "short"), count)


def test_a_run_without_looks_proves_nothing(tmp_path: Path) -> None:
    case = Case("x", 1, "short")
    with pytest.raises(AssertionError, match="proves nothing"):
        judge(case, Run(tmp_path).count())
    assert case.figures["lost"] == 0
