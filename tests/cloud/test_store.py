import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from agent.contract.errors import BadContentError
from agent.contract.messages import Event, LookMeta, Reported, Status
from cloud.blobs import Place
from cloud.schema import devices, looks
from cloud.sieve import Heard
from cloud.store import NOWHERE, BadMessage, Store, StoredLook, TakenError, ahead, greet
from tests.makers import NOW, an_id, meta


def stored(item: LookMeta, sha256: str = "aa", shard: str = "s.tar") -> StoredLook:
    return StoredLook(item, sha256, Place(shard, 512, 100), NOWHERE, NOW)


def issued(engine: Engine, seq: int) -> None:
    """Let `cam-1` have been sent verdicts up to a number."""
    with engine.begin() as connection:
        greet(connection, ["cam-1"], NOW)
        connection.execute(sa.update(devices).values(verdict_last=seq))


def test_looks_are_kept_once_and_the_first_stays(any_engine: Engine) -> None:
    store = Store(any_engine)
    store.add([stored(meta(1)), stored(meta(2))], [], [], NOW)
    with pytest.raises(TakenError):
        store.add([stored(meta(1), "bb", "other.tar"), stored(meta(3))], [], [], NOW)
    assert store.known([an_id(n) for n in range(5)]) == {an_id(n): "aa" for n in (1, 2)}
    assert store.totals().looks == 2
    assert store.shards(["s.tar", "other.tar", "x.tar"]) == {"s.tar"}


def test_everything_of_a_look_is_kept(any_engine: Engine) -> None:
    Store(any_engine).add([stored(meta(1))], [], [], NOW)
    with any_engine.connect() as connection:
        row = connection.execute(sa.select(looks)).one()
    assert (row.device, row.camera, row.frame, row.box) == ("cam-1", "front", 1, "[10,20,58,68]")
    assert (row.top, row.device_label) == ('[["Stop",0.6],["Yield",0.3]]', "Stop")
    assert (row.margin, row.reason, row.state, row.outcome) == (0.3, "uncertain", "stored", None)


def test_last_word_of_each_kind_counts(any_engine: Engine) -> None:
    store = Store(any_engine)
    report = Reported(device="cam-1", at=NOW, agent="1", profile="p", model="m", verdict_seq=7)
    event = Event(
        device="cam-1", camera="a", sighting_id=an_id(1), state="confirmed", label="Stop",
        score=0.9, first_seen=NOW, last_seen=NOW, frames=3, box=(0, 0, 9, 9), model="m",
    )  # fmt: skip
    words: list[Status | Reported | Event] = [
        Status(device="cam-1", online=True, at=NOW),
        report,
        event,
        Status(device="cam-1", online=False, at=NOW + 1),
        event,
    ]
    issued(any_engine, 7)
    store.add([], [], [Heard("cam-1", word) for word in words], NOW)
    store.add([], [], [Heard("cam-1", event)], NOW + 5)
    with any_engine.connect() as connection:
        row = connection.execute(sa.select(devices)).one()
    assert (row.online, row.verdict_applied, row.events) == (False, 7, 3)
    assert row.last_seen == NOW + 5
    assert Reported.model_validate_json(row.reported) == report


def test_a_number_that_was_never_issued_is_not_believed(
    any_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(any_engine)
    issued(any_engine, 7)
    report = Reported(device="cam-1", at=NOW, agent="1", profile="p", model="m", verdict_seq=5)
    store.add([], [], [Heard("cam-1", report)], NOW)
    assert ahead(any_engine) == ()
    forged = report.model_copy(update={"verdict_seq": 2**53})
    store.add([], [], [Heard("cam-1", forged)], NOW)
    with any_engine.connect() as connection:
        assert connection.execute(sa.select(devices.c.verdict_applied)).scalar_one() == 5
    (problem,) = ahead(any_engine)
    assert "cam-1 reports verdicts up to 9007199254740992, issued are 7" in problem
    assert "verdict_seq_never_issued device=cam-1" in caplog.text


def test_quarantine_is_counted_per_device(any_engine: Engine) -> None:
    store = Store(any_engine)
    bad = [
        BadMessage(device, "t", "", "not a look", NOW + n, 9)
        for n, device in enumerate(["cam-1", "cam-1", "cam-2"])
    ]
    store.add([], bad, [], NOW)
    assert store.quarantined_since("cam-1", NOW) == 2
    assert store.quarantined_since("cam-1", NOW + 1) == 1
    assert store.totals().quarantined == 3


def test_impossible_row_spoils_nothing(any_engine: Engine) -> None:
    store = Store(any_engine)
    impossible = meta(2).model_copy(update={"frame": 2**70})
    with pytest.raises(BadContentError):
        store.add([stored(meta(1)), stored(impossible)], [], [], NOW)
    assert store.totals().looks == 0
