"""Rows 14-18 and 20: power cuts, failing disks, what they leave behind, other versions."""

import errno
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.base.clock import SystemClock
from agent.contract.codec import Look, encode_look
from agent.contract.config import SpoolConfig
from agent.contract.errors import BadContentError, UnavailableError
from agent.notebook import Notebook
from agent.spool import Spool
from agent.spool_files import read_spool
from tests.faults.case import Case
from tests.makers import FakeClock, an_id, look

CONFIG = SpoolConfig(min_free_bytes=0)
LATER = 1e6


def opened(folder: Path, config: SpoolConfig = CONFIG) -> Spool:
    return Spool(folder, config, FakeClock())


def waiting(spool: Spool) -> set[str]:
    return {item.look_id for item in spool.backlog(10**6, LATER)}


@pytest.mark.fault(14, cheap=True)
def test_power_cut_in_the_spool(case: Case, tmp_path: Path) -> None:
    """Files whose last pages never reached the disk, though their names did."""
    cuts, rng = case.size(50, 500), case.rng
    template = tmp_path / "template"
    spool = opened(template)
    spool.put([look(n) for n in range(12)])
    spool.close()
    whole = {encode_look(look(n)) for n in range(12)}
    most_lost = not_opened = 0
    for n in range(cuts):
        folder = tmp_path / "cut"
        shutil.copytree(template, folder)
        spoilt = rng.sample(sorted((folder / "looks").iterdir()), rng.choice((0, 1, 1, 2, 3)))
        for path in spoilt:
            data = path.read_bytes()
            at = rng.randrange(len(data))
            path.write_bytes(data[:at] + (bytes(len(data) - at) if n % 2 else b""))
        (folder / "looks" / f"{an_id(99)}.0500.look.tmp").write_bytes(b"half")
        try:
            spool = opened(folder)
        except (OSError, BadContentError, UnavailableError):
            not_opened += 1
            continue
        kept = sum(spool.payload(item) in whole for item in spool.backlog(99, LATER))
        most_lost = max(most_lost, 12 - kept - len(spoilt))
        spool.close()
        shutil.rmtree(folder)
    case.record(cuts, not_opened=not_opened, lost_beside_the_cut=most_lost)
    assert (not_opened, most_lost) == (0, 0)


@pytest.mark.fault(14, cheap=True)
def test_power_cut_in_the_notebook(case: Case, tmp_path: Path) -> None:
    """Its log cut anywhere: it opens, is whole, and only the newest numbers are gone."""
    cuts, rng, commits = case.size(50, 500), case.rng, 120
    notebook = Notebook(tmp_path / "live")
    for n in range(1, commits + 1):
        notebook.remember(seq=n, twin=n)
    frozen = tmp_path / "frozen"
    shutil.copytree(tmp_path / "live", frozen)
    notebook.close()
    log = (frozen / "notebook.db-wal").read_bytes()
    not_opened = damaged = torn = 0
    for n in range(cuts):
        folder = tmp_path / "cut"
        shutil.copytree(frozen, folder)
        (folder / "notebook.db-shm").unlink(missing_ok=True)
        at = rng.randrange(len(log))
        tail = bytes(min(len(log) - at, 8_192)) if n % 2 else b""
        (folder / "notebook.db-wal").write_bytes(log[:at] + tail)
        try:
            again = Notebook(folder)
        except (BadContentError, UnavailableError):
            not_opened += 1
            continue
        torn += again.fact("seq", 0) != again.fact("twin", 0)
        again.close()
        with sqlite3.connect(folder / "notebook.db") as db:
            damaged += db.execute("PRAGMA quick_check").fetchone() != ("ok",)
        db.close()
        shutil.rmtree(folder)
    case.record(cuts, not_opened=not_opened, damaged=damaged, torn=torn)
    assert (not_opened, damaged, torn) == (0, 0, 0)


class FailingDisk:
    """Raises at the N-th call that touches the disk, and at every later one while `stays`."""

    CALLS: tuple[tuple[Any, str], ...] = (
        (Path, "open"), (Path, "unlink"), (Path, "replace"), (Path, "rename"), (Path, "mkdir"),
        (Path, "read_bytes"), (os, "fsync"), (os, "open"), (os, "scandir"),
    )  # fmt: skip

    def __init__(self, at: int, code: int, *, stays: bool) -> None:
        self.calls = 0
        self._at = at
        self._code = code
        self._stays = stays

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for owner, name in self.CALLS:
            patch.setattr(owner, name, self._wrapped(getattr(owner, name)))

    def _wrapped(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == self._at or (self._stays and self.calls > self._at):
                raise OSError(self._code, os.strerror(self._code))
            return real(*args, **kwargs)

        return call


def live(folder: Path, said: set[str], gone: set[str]) -> None:
    """Live a little; note what was promised."""
    spool = opened(folder)
    try:
        for start in (0, 3, 6, 9, 12):
            said.update(spool.put([look(n) for n in range(start, start + 3)]))
            item = spool.backlog(1, LATER)[0]
            spool.payload(item)
            # From here on it may be gone, also where the disk fails in the middle.
            gone.add(item.look_id)
            spool.forget([item.look_id])
    finally:
        spool.close()


@pytest.mark.fault(16)
def test_the_nth_call_to_the_disk_fails(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    covered = lost = phantom = 0
    codes = (errno.EIO, errno.ENOSPC, errno.EROFS)
    for stays in (False, True):
        for at in range(1, 300):
            code = codes[at % 3]
            folder, said, gone = tmp_path / f"{at}-{stays}", set[str](), set[str]()
            disk = FailingDisk(at, code, stays=stays)
            with monkeypatch.context() as patch:
                disk.install(patch)
                try:
                    live(folder, said, gone)
                except UnavailableError:
                    pass
                else:
                    if disk.calls < at:
                        break
            covered += 1
            spool = opened(folder)
            there = waiting(spool)
            lost += len(said - gone - there)
            phantom += len(there - {an_id(n) for n in range(15)})
            spool.close()
    case.record(covered, lost=lost, phantom=phantom)
    assert covered > 60
    assert (lost, phantom) == (0, 0)


@pytest.mark.fault(17, cheap=True)
def test_orphans(case: Case, tmp_path: Path) -> None:
    count = case.size(1_000, 20_000)
    spool = opened(tmp_path)
    spool.put([look(n) for n in range(10)])
    spool.close()
    looks = tmp_path / "looks"
    for n in range(count):
        (looks / f"{an_id(n + 100)}.0500.look.tmp").write_bytes(b"half")
        (looks / f"{an_id(n + 100)}.0500.look").write_bytes(b"")
    started = time.perf_counter()
    spool = opened(tmp_path)
    took = time.perf_counter() - started
    left = len(list(looks.iterdir())) - 10
    case.record(2 * count, orphans_left=left, start_s=round(took, 3))
    assert left == 0
    assert waiting(spool) == {an_id(n) for n in range(10)}
    spool.close()


def written_bytes() -> int:
    """Bytes that this process has handed to write calls."""
    words = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(words["wchar"])


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.fault(18)
def test_a_day_of_looks_through_the_spool(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two looks a minute for a day, receipted as they go."""
    looks = case.size(2_880, 100_000)
    spool = Spool(tmp_path, CONFIG, SystemClock())
    payload = 0
    batch: list[Look] = [look(n) for n in range(50)]
    for n, item in enumerate(batch):
        spool.put([item])
        spool.forget([an_id(n)])
    files, memory, before = open_files(), resident_bytes(), written_bytes()
    synced: list[int] = []
    fsync = os.fsync

    def counted(descriptor: int) -> None:
        synced.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", counted)
    for n in range(looks):
        item = look(n)
        payload += len(encode_look(item))
        spool.put([item])
        (due,) = spool.backlog(1, LATER)
        spool.payload(due)
        spool.sent(due.look_id, LATER)
        spool.forget([due.look_id])
        spool.answered([due.look_id])
    ratio = (written_bytes() - before) / payload
    grown = resident_bytes() - memory
    opened_files = open_files() - files
    case.record(
        looks,
        written_per_payload_byte=round(ratio, 3),
        fsyncs_per_look=round(len(synced) / looks, 2),
        rss_growth_bytes=grown,
        fds_growth=opened_files,
    )
    spool.close()
    assert ratio <= 1.5
    assert grown < 4_000_000
    assert opened_files == 0


@pytest.mark.fault(20, cheap=True)
def test_spool_of_another_version(case: Case, tmp_path: Path) -> None:
    """Format 1 kept an index beside files without a value; format 3 is not known yet."""
    looks = tmp_path / "looks"
    looks.mkdir()
    margins = [n / 40 for n in range(40)]
    for n, margin in enumerate(margins):
        (looks / f"{an_id(n)}.look").write_bytes(encode_look(look(n, margin=margin)))
    (looks / f"{an_id(50)}.look").write_bytes(b"unreadable")
    for name in ("spool.db", "spool.db-wal", "spool.db-shm"):
        (tmp_path / name).write_bytes(b"the index of format 1")
    spool = opened(tmp_path)
    order = [item.look_id for item in spool.backlog(99, LATER)]
    spool.close()
    (tmp_path / "format").write_text("3\n")
    with pytest.raises(BadContentError, match="upgrade"):
        opened(tmp_path)
    kept = len(read_spool(tmp_path))
    case.record(41, migrated=len(order), kept_from_newer=kept)
    assert order == [an_id(n) for n in range(40)], "best first: the value came from the content"
    assert kept == 40
    assert (looks / f"{an_id(50)}.bad").exists()
    assert not list(tmp_path.glob("spool.db*"))
