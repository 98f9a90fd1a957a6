"""Messages set aside: listed, tried again, forgotten; each look stored at most once."""

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from agent.contract import codec
from agent.contract.codec import Look, encode_look
from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.messages import Status, to_json
from agent.contract.topics import Topics
from cloud.blobs import Blobs, Place
from cloud.cli import main
from cloud.database import open_database
from cloud.quarantine import Kept, Quarantine
from cloud.replay import Fate, Replay
from cloud.schema import devices, looks, quarantine
from cloud.store import Store, TakenError
from tests.cloud.taking import Taking
from tests.makers import NOW, FakeClock, an_id, jpeg, look, meta


class Desk:
    """A database with something set aside, and a replay of it."""

    def __init__(self, engine: Engine, root: Path) -> None:
        self.engine = engine
        self.objects = root / "objects"
        self.taking = Taking(engine, root)
        self.quarantine = Quarantine(engine)
        self.blobs = Blobs(f"file://{self.objects}")
        self.clock = FakeClock(NOW + 86_400)

    def replay(self, blobs: Blobs | None = None) -> Replay:
        return Replay(
            Topics(), Store(self.engine), blobs or self.blobs, "standard", "main_replay", self.clock
        )

    def kept(self) -> list[Kept]:
        return self.quarantine.after(0, "", 1_000)

    def fates(self) -> Counter[Fate]:
        return Counter(fate for _, fate, _ in self.replay().run(self.kept()))

    def rows(self, table: sa.Table) -> list[sa.Row[Any]]:
        with self.engine.connect() as connection:
            return list(connection.execute(sa.select(table)).all())

    def files(self) -> set[str]:
        return {str(p.relative_to(self.objects)) for p in (self.objects / "looks").rglob("*.tar")}


@contextmanager
def older(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be a version that does not read looks yet."""

    def refuse(_payload: bytes) -> Look:
        raise BadContentError("look: not a version 0 look")

    with monkeypatch.context() as patch:
        patch.setattr("cloud.sieve.decode_look", refuse)
        yield


def test_what_is_read_now_is_stored_once_and_forgotten_here(
    any_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(any_engine, tmp_path)
    with older(monkeypatch):
        desk.taking.take(*(encode_look(look(n)) for n in range(5)), encode_look(look(2)))
        desk.taking.take(b"garbage", b"\x00" * 200_000)
    # Two came again after the upgrade, one of them as another picture.
    desk.taking.take(encode_look(look(0)), encode_look(Look(look(1).meta, jpeg(77))))
    assert desk.fates() == {"stored": 3, "known": 2, "bad": 2, "cut": 1}
    found = {row.look_id: row for row in desk.rows(looks)}
    assert sorted(found) == sorted(an_id(n) for n in range(5))
    for n in (0, 2, 3, 4):
        row = found[an_id(n)]
        assert desk.blobs.read(Place(row.shard, row.offset, row.length)) == look(n).jpeg
        assert (row.received_at, row.state) == (NOW, "stored")
    reasons = sorted(row.reason for row in desk.rows(quarantine))
    assert ["conflict" in reason or "CBOR" in reason for reason in reasons[:2]] == [True, True]
    assert desk.files() == {row.shard for row in found.values()}
    assert desk.fates() == {"bad": 2, "cut": 1}
    assert len(desk.rows(looks)) == 5


def test_a_conflict_stays_one_and_keeps_its_whole_message(engine: Engine, tmp_path: Path) -> None:
    desk = Desk(engine, tmp_path)
    second = encode_look(Look(look(1).meta, jpeg(77)))
    desk.taking.take(encode_look(look(1)))
    desk.taking.take(second)
    (kept,) = desk.kept()
    assert desk.blobs.read(kept.place) == second
    assert desk.fates() == {"bad": 1}
    with engine.begin() as connection:
        connection.execute(sa.delete(looks))
    assert desk.fates() == {"stored": 1}


def test_old_words_change_nothing(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(engine, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("cloud.sieve.WORDS", {})
        offline = Status(device="cam-1", online=False, at=NOW)
        desk.taking.take(to_json(offline), channel="status")
    desk.taking.take(to_json(Status(device="cam-1", online=True, at=NOW)), channel="status")
    probe = encode_look(look(9, reason="probe"))
    with older(monkeypatch):
        desk.taking.take(probe)
    assert desk.fates() == {"past": 2}
    assert [row.online for row in desk.rows(devices)] == [True]
    assert desk.rows(looks) == []


def test_a_device_that_was_heard_since_is_not_set_back(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(engine, tmp_path)
    with older(monkeypatch):
        desk.taking.take(encode_look(look(1)))
    desk.taking.ingest.take([], an_id(50), NOW)
    clock = desk.taking.clock
    assert isinstance(clock, FakeClock)
    clock.pass_(500)
    desk.taking.take(encode_look(look(2)))
    desk.fates()
    assert [row.last_seen for row in desk.rows(devices)] == [NOW + 500]


def test_what_the_database_refuses_holds_up_nothing(
    any_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = Look(meta(3).model_copy(update={"model": "a\0b"}), jpeg(3))
    desk = Desk(any_engine, tmp_path)
    with older(monkeypatch):
        desk.taking.take(*(encode_look(item) for item in (look(1), odd, look(2))))
    refuses = any_engine.dialect.name == "postgresql"  # SQLite takes a NUL
    assert desk.fates() == ({"stored": 2, "bad": 1} if refuses else {"stored": 3})
    assert desk.files() == {row.shard for row in desk.rows(looks)}


class Failing(Blobs):
    """Storage that is full."""

    def write(self, name: str, data: bytes) -> None:
        raise UnavailableError(f"{name}: {len(data)} bytes too many")


def test_without_storage_all_stays_set_aside(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(engine, tmp_path)
    with older(monkeypatch):
        desk.taking.take(encode_look(look(1)))
    with pytest.raises(UnavailableError):
        desk.replay(Failing(desk.blobs.url)).run(desk.kept())
    assert desk.fates() == {"stored": 1}


def test_two_replays_at_once_store_once(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(engine, tmp_path)
    with older(monkeypatch):
        desk.taking.take(encode_look(look(1)), encode_look(look(2)))
    seen = desk.kept()
    assert desk.fates() == {"stored": 2}
    with engine.begin() as connection:
        connection.execute(sa.delete(looks).where(looks.c.look_id == an_id(1)))
    with pytest.raises(TakenError):
        desk.replay().run(seen)
    assert [row.look_id for row in desk.rows(looks)] == [an_id(2)]


@pytest.mark.parametrize("point", ["replay-after-shard", "replay-after-commit"])
def test_killed_in_between_it_stores_once(
    point: str, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(engine, tmp_path)
    with older(monkeypatch):
        desk.taking.take(*(encode_look(look(n)) for n in range(3)))

    def die(name: str) -> None:
        if name == point:
            raise KeyboardInterrupt  # nothing there catches it, as nothing stops a kill

    with monkeypatch.context() as patch:
        patch.setattr("cloud.replay.crash_point", die)
        with pytest.raises(KeyboardInterrupt):
            desk.fates()
    stored = len(desk.rows(looks))
    assert (stored, len(desk.rows(quarantine))) == ((0, 3) if "shard" in point else (3, 0))
    assert desk.replay().clear_orphans() == (1 if "shard" in point else 0)
    desk.fates()
    assert len(desk.rows(looks)) == 3
    assert desk.files() == {row.shard for row in desk.rows(looks)}


class Line:
    """The command line on a state folder with three messages set aside."""

    def __init__(self, root: Path, call: Callable[..., tuple[int, str, str]]) -> None:
        self.root = root
        self._call = call

    def __call__(self, *args: object, code: int = 0) -> str:
        found, out, err = self._call("quarantine", *args, "--state-dir", self.root)
        assert found == code, err
        return err if code else out


@pytest.fixture
def line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Line:
    engine = open_database(f"sqlite:///{tmp_path}/secondlook.sqlite")
    taking = Taking(engine, tmp_path)
    with older(monkeypatch):
        taking.take(encode_look(look(1)))
    taking.take(b"garbage [red] \x1b[31m")
    taking.take(b"\x00" * 200_000, device="cam-2")
    engine.dispose()
    capsys.readouterr()
    monkeypatch.setenv("COLUMNS", "80")

    def call(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["secondlook-cloud", *map(str, args)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        code = left.value.code
        return (code if isinstance(code, int) else int(bool(code))), out, err

    return Line(tmp_path, call)


def test_list_shows_newest_first_in_eighty_columns(line: Line) -> None:
    out = line("list")
    assert max(map(len, out.splitlines())) <= 80
    assert [word for word in ("number", "device", "reason") if word not in out] == []
    numbers = [row["number"] for row in json.loads(line("list", "--json"))]
    assert numbers == sorted(numbers, reverse=True)
    assert len(json.loads(line("list", "--json", "--device", "cam-1"))) == 2
    assert "1 of 3" in line("list", "--limit", "1")
    assert line("list", "--device", "nobody") == "nothing is set aside of nobody\n"


def test_show_writes_what_was_kept(line: Line, tmp_path: Path) -> None:
    number = json.loads(line("list", "--json"))[-1]["number"]
    out = line("show", number, "--out", tmp_path / "payload")
    assert "not a version 0 look" in out
    assert codec.decode_look((tmp_path / "payload").read_bytes()) == look(1)
    assert json.loads(line("show", number, "--json"))["look_id"] == an_id(1)
    assert "no message 99" in line("show", 99, code=1)


def test_replay_says_what_became_of_each(line: Line) -> None:
    out = line("replay", "--all")
    assert "1 stored as looks" in out
    assert "1 still bad" in out
    assert "only 131072 of 200000 bytes were kept" in out
    assert len(json.loads(line("list", "--json"))) == 2
    fates = json.loads(line("replay", "--device", "cam-2", "--json"))
    assert [row["fate"] for row in fates] == ["cut"]
    assert "give numbers, or --device, or --all" in line("replay", code=2)
    assert "give numbers, or --device, or --all" in line("replay", 1, "--all", code=2)


def test_discard_asks_first(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    line("discard", "--all", code=1)
    assert len(json.loads(line("list", "--json"))) == 3
    assert line("discard", "--device", "cam-2", "--yes") == "1 forgotten\n"
    assert line("discard", "--all", "--yes") == "2 forgotten\n"
    assert line("list") == "nothing is set aside\n"
