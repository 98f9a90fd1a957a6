import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.contract.codec import decode_look, encode_look
from agent.contract.config import SpoolConfig
from agent.contract.errors import BadContentError, UnavailableError
from agent.spool import CLEARED, Spool
from agent.spool_files import read_look, read_spool
from agent.spool_index import LIVE_S, SpoolItem
from tests.makers import FakeClock, an_id, look

ROOMY = SpoolConfig(min_free_bytes=0, ledger=True)
LATER = 1e6


def opened(folder: Path, config: SpoolConfig = ROOMY, clock: FakeClock | None = None) -> Spool:
    return Spool(folder, config, clock or FakeClock())


def due(spool: Spool, limit: int, now: float) -> list[SpoolItem]:
    return [*spool.live(limit, now), *spool.backlog(limit, now)][:limit]


def ids(items: list[SpoolItem]) -> list[str]:
    return [item.look_id for item in items]


def files(folder: Path) -> list[Path]:
    return sorted((folder / "looks").iterdir())


def test_a_look_stays_until_its_receipt(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    assert spool.put([look(1), look(2)]) == [an_id(1), an_id(2)]
    item = due(spool, 1, 200.0)[0]
    assert spool.payload(item) == encode_look(look(1))
    spool.sent(an_id(1), due_at=250.0)
    assert ids(due(spool, 10, now=200.0)) == [an_id(2)]
    assert ids(due(spool, 10, now=250.0)) == [an_id(1), an_id(2)]
    assert spool.by_attempts() == {0: 1, 1: 1}
    assert spool.forget([an_id(1), an_id(77)]) == 1
    assert len(files(tmp_path)) == 1
    assert spool.totals() == (1, len(encode_look(look(2))))
    assert spool.payload(item) is None
    assert (tmp_path / "ledger.log").read_text().splitlines() == [
        f"accepted {an_id(1)} {len(encode_look(look(1)))}",
        f"accepted {an_id(2)} {len(encode_look(look(2)))}",
        f"receipted {an_id(1)}",
    ]
    spool.close()


def test_a_look_receipted_twice_in_one_message_is_forgotten_once(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.put([look(1), look(2)])
    assert spool.forget([an_id(1), an_id(1)]) == 1
    assert spool.totals() == (1, len(encode_look(look(2))))
    assert (tmp_path / "ledger.log").read_text().count("receipted") == 1
    spool.close()


def test_a_restart_finds_everything_and_makes_it_due(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.put([look(n) for n in range(5)])
    spool.sent(an_id(0), due_at=1e9)
    spool.close()
    again = opened(tmp_path)
    assert len(due(again, 10, now=0.0)) == 5
    assert again.totals()[1] == sum(p.stat().st_size for p in files(tmp_path))
    again.close()
    waiting = read_spool(tmp_path)
    assert [i.name.look_id for i in waiting] == [an_id(n) for n in range(5)]
    assert read_look(tmp_path, waiting[2]) == look(2)
    files(tmp_path)[0].write_bytes(b"damaged")
    files(tmp_path)[1].unlink()
    assert [read_look(tmp_path, i) for i in waiting[:2]] == [None, None]


def test_live_looks_in_order_the_backlog_best_first(tmp_path: Path) -> None:
    clock = FakeClock()
    spool = opened(tmp_path, clock=clock)
    spool.put([look(n, worth=1 - n / 100) for n in (30, 10, 20, 40)])
    assert ids(spool.live(9, clock.steady)) == [an_id(n) for n in (10, 20, 30, 40)]
    assert spool.backlog(9, clock.steady) == []
    clock.pass_(LIVE_S + 1)
    spool.put([look(50, worth=0.99)])
    assert ids(spool.live(9, clock.steady)) == [an_id(50)]
    assert ids(spool.backlog(3, clock.steady)) == [an_id(n) for n in (10, 20, 30)]
    assert spool.backlog(-1, clock.steady) == []
    spool.close()


def test_the_bound_holds_and_the_least_valuable_go_first(tmp_path: Path) -> None:
    size = len(encode_look(look(1)))
    config = SpoolConfig(max_bytes=100_000, min_free_bytes=0, ledger=True)
    spool = opened(tmp_path, config)
    total = 100_000 // size + 40
    for n in range(total):
        spool.put([look(n, worth=1 - (n % 10) / 10)])
        assert spool.totals()[1] <= 100_000
    kept = [decode_look(p.read_bytes()).meta.worth for p in files(tmp_path)]
    assert spool.evicted > 0
    assert total - spool.evicted == len(kept)
    assert kept.count(1.0) == len(range(0, total, 10))
    assert (tmp_path / "ledger.log").read_text().count("evicted") == spool.evicted
    spool.close()


def test_a_better_look_of_the_same_batch_takes_anothers_place(tmp_path: Path) -> None:
    size = len(encode_look(look(1)))
    spool = opened(tmp_path, SpoolConfig(max_bytes=100_000, min_free_bytes=0))
    full = 100_000 // size
    spool.put([look(n, worth=0.5) for n in range(full)])
    batch = [look(1_000 + n, worth=0.6 + n / 1_000) for n in range(3 * full)]
    assert len(spool.put(batch)) < 2 * full
    left = sorted(item.value for item in spool.backlog(10**6, LATER))
    best = sorted((600 + n for n in range(3 * full)), reverse=True)[: len(left)]
    assert left == best[::-1], "the best of them all"
    spool.close()


def test_a_disk_that_others_fill_costs_no_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SpoolConfig(min_free_bytes=64 * 1024 * 1024)
    spool = opened(tmp_path, config)
    spool.put([look(n, worth=0.5) for n in range(50)])
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    assert spool.put([look(99, worth=1.0)]) == [], "all of ours would not bring it"
    assert spool.totals()[0] == 50
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=64 * 1024 * 1024 - 9))
    assert spool.put([look(98, worth=1.0)]) == []
    assert spool.totals()[0] == 50 - CLEARED, "a few at a time: it may take a while to tell"
    spool.close()


def test_odd_things_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.put([look(1, worth=0.9), look(2)])
    spool.close()
    looks = tmp_path / "looks"
    (looks / f"{an_id(3)}.1000.look").mkdir()
    (looks / f"{an_id(4)}.1000.look").symlink_to("nowhere")
    (looks / "README").write_text("hands off")
    (looks / f"{an_id(1)}.0100.look").write_bytes(encode_look(look(1)))
    (tmp_path / "format").write_bytes(b"2\n")
    again = opened(tmp_path)
    assert set(ids(due(again, 9, LATER))) == {an_id(1), an_id(2)}
    assert len(read_spool(tmp_path)) == 3
    again.forget([an_id(1), an_id(2)])
    assert again.totals() == (0, 0)
    assert read_spool(tmp_path) == []
    assert len(files(tmp_path)) == 3
    again.close()
    (tmp_path / "format").write_bytes(b"\xff\xfe")
    with pytest.raises(BadContentError, match="format"):
        opened(tmp_path)


def test_a_file_that_cannot_be_written_is_not_accepted(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.put([look(1)])
    blocker = tmp_path / "looks" / f"{an_id(2)}.0500.look.tmp"
    blocker.mkdir()
    with pytest.raises(UnavailableError, match="directory"):
        spool.put([look(3), look(2)])
    assert spool.totals() == (1, len(encode_look(look(1))))
    blocker.rmdir()
    assert spool.put([look(3), look(2)]) == [an_id(3), an_id(2)]
    assert spool.totals() == (3, sum(p.stat().st_size for p in files(tmp_path)))
    spool.close()
    assert len(read_spool(tmp_path)) == 3


def test_what_the_disk_does_not_delete_is_not_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = opened(tmp_path)
    spool.put([look(1), look(2)])
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: raise_read_only())
        with pytest.raises(UnavailableError, match="Read-only"):
            spool.forget([an_id(1)])
        assert ids(due(spool, 9, LATER)) == [an_id(2)]
    assert spool.forget([an_id(2)]) == 1
    assert files(tmp_path) == []
    spool.close()


def raise_read_only() -> None:
    raise OSError(30, "Read-only file system")


def test_smaller_bytes_take_a_looks_place(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.put([look(1)])
    (item,) = due(spool, 1, LATER)
    spool.replace(item, b"small")
    assert spool.totals() == (1, 5)
    assert spool.payload(item) == b"small"
    spool.close()


def test_a_newer_format_is_refused_and_never_deleted(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.put([look(1)])
    spool.close()
    (tmp_path / "format").write_text("3\n")
    with pytest.raises(BadContentError, match=r"newer secondlook \(format 3\)"):
        opened(tmp_path)
    assert len(files(tmp_path)) == 1


def test_a_folder_that_cannot_be_made_names_itself(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="file"):
        opened(tmp_path / "file" / "spool")
    with pytest.raises(UnavailableError, match="has the agent run"):
        read_spool(tmp_path / "nowhere")


WRITER = """
import sys
from pathlib import Path
from agent.base.clock import SystemClock
from agent.contract.config import SpoolConfig
from agent.spool import Spool
from tests.makers import look
spool = Spool(Path(sys.argv[1]), SpoolConfig(min_free_bytes=0, ledger=True), SystemClock())
n = int(sys.argv[2])
while True:
    for look_id in spool.put([look(n + i) for i in range(3)]):
        print(look_id, flush=True)
    if n % 4 == 0:
        spool.forget([i.look_id for i in spool.backlog(1, 1e12)])
    n += 3
"""


def test_kill_9_loses_no_accepted_look(tmp_path: Path) -> None:
    said: list[str] = []
    for turn in range(8):
        args = [sys.executable, "-c", WRITER, str(tmp_path), str(turn * 100_000)]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        with subprocess.Popen(args, stdout=subprocess.PIPE, text=True, env=env) as child:
            assert child.stdout
            lines = 5 + hashlib.sha256(bytes([turn])).digest()[0] % 40
            said.extend(child.stdout.readline().strip() for _ in range(lines))
            child.send_signal(signal.SIGKILL)
            said += [line.strip() for line in child.stdout if len(line) == 33]
    spool = opened(tmp_path)
    waiting = due(spool, 10**6, LATER)
    on_disk = set(ids(waiting))
    ledger = [row.split() for row in (tmp_path / "ledger.log").read_text().splitlines()]
    receipted = {i for word, i, *_ in ledger if word == "receipted"}
    accepted = {i for word, i, *_ in ledger if word == "accepted"}
    assert len(said) >= 8 * 5
    assert set(said) <= on_disk | receipted
    assert on_disk <= accepted
    for item in waiting:
        assert decode_look(spool.payload(item) or b"").meta.look_id == item.look_id
    spool.close()


def test_a_look_that_cannot_be_sent_is_set_aside_and_the_others_go_on(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.put([look(1), look(2)])
    spool.set_aside(due(spool, 1, LATER)[0], "damaged")
    assert ids(due(spool, 10, LATER)) == [an_id(2)]
    assert (tmp_path / "looks" / f"{an_id(1)}.bad").exists()
    assert (spool.evicted, spool.set_asides) == (1, 1)
    spool.close()


def test_a_look_whose_file_somebody_deleted_is_counted(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.put([look(1)])
    (item,) = due(spool, 1, LATER)
    files(tmp_path)[0].unlink()
    assert spool.payload(item) is None
    assert (spool.evicted, spool.totals()) == (1, (0, 0))
    spool.close()


def test_what_is_owed_an_answer(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.put([look(1), look(2), look(3)])
    spool.forget([an_id(1), an_id(2)])
    spool.answered([an_id(1)])
    assert spool.unanswered == {an_id(2), an_id(3)}
    spool.close()
    again = opened(tmp_path)
    assert again.unanswered == {an_id(3)}
    again.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_unavailable_and_passes(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        spool = opened(disk)
        spool.put([look(0)])
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        with pytest.raises(UnavailableError, match="spool"):
            spool.put([look(n) for n in range(1, 40)])
        filler.unlink()
        assert len(spool.put([look(n) for n in range(1, 40)])) == 39
        assert spool.totals()[0] == 40
        spool.close()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
