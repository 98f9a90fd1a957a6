import contextlib
import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agent.contract.codec import decode_look, encode_look
from agent.contract.config import SpoolConfig
from agent.contract.errors import BadContentError, UnavailableError
from agent.spool import Spool, read_spool
from tests.makers import an_id, look

ROOMY = SpoolConfig(min_free_bytes=0, ledger=True)


def test_a_look_stays_until_its_receipt(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOMY)
    assert spool.put([look(1), look(2)]) == [an_id(1), an_id(2)]
    payload = spool.payload(an_id(1))
    assert payload == encode_look(look(1))
    spool.sent(an_id(1), due_at=50.0)
    assert [i.look_id for i in spool.due(10, now=10.0)] == [an_id(2)]
    assert [i.look_id for i in spool.due(10, now=50.0)] == [an_id(2), an_id(1)]
    assert spool.forget([an_id(1), an_id(77)]) == 1
    assert not (tmp_path / "looks" / f"{an_id(1)}.look").exists()
    assert spool.totals() == (1, len(encode_look(look(2))))
    assert (tmp_path / "ledger.log").read_text().splitlines() == [
        f"accepted {an_id(1)} {len(encode_look(look(1)))}",
        f"accepted {an_id(2)} {len(encode_look(look(2)))}",
        f"receipted {an_id(1)}",
    ]
    spool.close()


def test_a_look_receipted_twice_in_one_message_is_forgotten_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOMY)
    spool.put([look(1), look(2)])
    assert spool.forget([an_id(1), an_id(1)]) == 1
    assert spool.totals() == (1, len(encode_look(look(2))))
    assert (tmp_path / "ledger.log").read_text().count("receipted") == 1
    spool.close()


def test_a_restart_finds_everything_and_makes_it_due(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOMY)
    spool.put([look(n) for n in range(5)])
    spool.sent(an_id(0), due_at=1e9)
    spool.close()
    again = Spool(tmp_path, ROOMY)
    assert len(again.due(10, now=0.0)) == 5
    again.close()
    assert [i.look_id for i in read_spool(tmp_path)] == [an_id(n) for n in range(5)]


def test_index_and_files_are_reconciled_both_ways(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOMY)
    spool.put([look(n) for n in range(6)])
    spool.close()
    looks = tmp_path / "looks"
    (looks / f"{an_id(0)}.look").unlink()
    (looks / f"{an_id(1)}.look.tmp").write_bytes(b"half")
    (looks / "0.look").write_bytes(b"")
    (looks / f"{an_id(9)}.look").write_bytes(encode_look(look(9)))
    with sqlite3.connect(tmp_path / "spool.db") as db:
        db.execute("DELETE FROM looks WHERE look_id = ?", (an_id(2),))
    db.close()
    again = Spool(tmp_path, ROOMY)
    assert {i.look_id for i in again.due(99, 0.0)} == {an_id(n) for n in (1, 2, 3, 4, 5, 9)}
    assert len(list(looks.iterdir())) == 6
    assert again.totals()[1] == sum(p.stat().st_size for p in looks.iterdir())
    again.close()


def test_a_lost_index_is_rebuilt_from_the_files(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOMY)
    spool.put([look(n) for n in range(4)])
    spool.close()
    for leftover in tmp_path.glob("spool.db*"):
        leftover.unlink()
    again = Spool(tmp_path, ROOMY)
    assert len(again.due(99, 0.0)) == 4
    again.close()


def test_the_bound_holds_and_the_least_valuable_go_first(tmp_path: Path) -> None:
    size = len(encode_look(look(1)))
    config = SpoolConfig(max_bytes=100_000, min_free_bytes=0, ledger=True)
    spool = Spool(tmp_path, config)
    total = 100_000 // size + 40
    for n in range(total):
        spool.put([look(n, margin=(n % 10) / 10)])
        assert spool.totals()[1] <= 100_000
    kept = [decode_look(p.read_bytes()).meta.margin for p in (tmp_path / "looks").iterdir()]
    assert spool.evicted > 0
    assert total - spool.evicted == len(kept)
    assert kept.count(0.0) == len(range(0, total, 10))
    assert (tmp_path / "ledger.log").read_text().count("evicted") == spool.evicted
    spool.close()


def test_a_file_that_cannot_be_written_is_not_accepted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOMY)
    spool.put([look(1)])
    blocker = tmp_path / "looks" / f"{an_id(2)}.look.tmp"
    blocker.mkdir()
    with pytest.raises(UnavailableError, match="directory"):
        spool.put([look(3), look(2)])
    assert spool.totals() == (1, len(encode_look(look(1))))
    blocker.rmdir()
    assert spool.put([look(3), look(2)]) == [an_id(3), an_id(2)]
    assert spool.totals()[0] == 3
    spool.close()


def test_a_newer_index_is_refused_and_never_deleted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOMY)
    spool.put([look(1)])
    spool._db.execute("PRAGMA user_version=99")
    spool.close()
    with pytest.raises(BadContentError, match="newer"):
        Spool(tmp_path, ROOMY)
    assert len(list((tmp_path / "looks").iterdir())) == 1


def test_a_folder_that_cannot_be_made_names_itself(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="file"):
        Spool(tmp_path / "file" / "spool", ROOMY)
    with pytest.raises(UnavailableError, match="has the agent run"):
        read_spool(tmp_path / "nowhere")


WRITER = """
import sys
from pathlib import Path
from agent.contract.config import SpoolConfig
from agent.spool import Spool
from tests.makers import look
spool = Spool(Path(sys.argv[1]), SpoolConfig(min_free_bytes=0, ledger=True))
n = int(sys.argv[2])
while True:
    for look_id in spool.put([look(n + i) for i in range(3)]):
        print(look_id, flush=True)
    if n % 4 == 0:
        spool.forget([i.look_id for i in spool.due(1, 1e12)])
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
    spool = Spool(tmp_path, ROOMY)
    on_disk = {i.look_id for i in spool.due(10**6, 0.0)}
    ledger = [row.split() for row in (tmp_path / "ledger.log").read_text().splitlines()]
    receipted = {i for word, i, *_ in ledger if word == "receipted"}
    accepted = {i for word, i, *_ in ledger if word == "accepted"}
    assert len(said) >= 8 * 5
    assert set(said) <= on_disk | receipted
    assert on_disk <= accepted
    for look_id in on_disk:
        assert decode_look(spool.payload(look_id) or b"").meta.look_id == look_id
    spool.close()


def test_a_damaged_index_is_made_anew_from_the_files(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOMY)
    spool.put([look(n) for n in range(3)])
    spool.close()
    for leftover in tmp_path.glob("spool.db-*"):
        leftover.unlink()
    (tmp_path / "spool.db").write_bytes(b"garbage" * 500)
    again = Spool(tmp_path, ROOMY)
    assert len(again.due(10, 0.0)) == 3
    assert (tmp_path / "spool.db.bad").exists()
    again.close()


def test_a_damaged_look_is_set_aside_and_the_others_go_on(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOMY)
    spool.put([look(1), look(2)])
    spool.set_aside(an_id(1))
    assert [i.look_id for i in spool.due(10, 0.0)] == [an_id(2)]
    assert (tmp_path / "looks" / f"{an_id(1)}.bad").exists()
    assert spool.evicted == 1
    spool.close()


def test_what_is_owed_an_answer(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOMY)
    spool.put([look(1), look(2), look(3)])
    spool.forget([an_id(1), an_id(2)])
    spool.answered([an_id(1)])
    assert spool.unanswered == {an_id(2), an_id(3)}
    spool.close()
    again = Spool(tmp_path, ROOMY)
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
        spool = Spool(disk, ROOMY)
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
