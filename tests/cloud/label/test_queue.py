from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from agent.contract.messages import Verdict
from cloud.blobs import Blobs
from cloud.label.queue import LabelQueue
from cloud.label.rules import Done, Later
from cloud.schema import looks, verdicts
from tests.cloud.stocked import stock
from tests.makers import NOW, an_id, look

LABEL = Done("label", "Yield", 0.9, "a triangle")


def filled(engine: Engine, folder: Path, count: int, **changes: object) -> LabelQueue:
    stock(engine, Blobs(f"file://{folder}/objects"), *(look(n, **changes) for n in range(count)))
    return LabelQueue(engine)


def test_each_look_is_given_to_one_batch(any_engine: Engine, tmp_path: Path) -> None:
    queue = filled(any_engine, tmp_path, 5)
    assert [queue.assign(b, 2, NOW) for b in ("a", "b", "c", "d")] == [2, 2, 1, 0]
    members = [look_id for b in ("a", "b", "c", "d") for look_id in queue.members(b)]
    assert sorted(members) == [an_id(n) for n in range(5)]
    assert sorted(queue.batches("")) == ["a", "b", "c"]
    assert queue.batches("b") == ["b"]


def test_only_the_owner_may_begin(any_engine: Engine, tmp_path: Path) -> None:
    queue = filled(any_engine, tmp_path, 1)
    queue.assign("a", 9, NOW)
    assert queue.begin(an_id(0), "b", NOW) is None
    case = queue.begin(an_id(0), "a", NOW)
    assert case
    assert (case.attempts, case.profile) == (1, "traffic-signs")
    again = queue.begin(an_id(0), "a", NOW)
    assert again
    assert again.attempts == 2


def test_outcome_and_verdict_are_written_once_together(any_engine: Engine, tmp_path: Path) -> None:
    queue = filled(any_engine, tmp_path, 2)
    queue.assign("a", 9, NOW)
    assert queue.finish(an_id(0), LABEL, "gpt", NOW)
    assert not queue.finish(an_id(0), Done("none", None, 1.0, ""), "gpt", NOW)
    assert queue.finish(an_id(1), Done("person", None, 0.0, "unsure"), "gpt", NOW)
    with any_engine.connect() as connection:
        found = connection.execute(sa.select(verdicts).order_by(verdicts.c.seq)).all()
        row = connection.execute(sa.select(looks).where(looks.c.look_id == an_id(0))).one()
    first, second = (Verdict.model_validate_json(f.body) for f in found)
    assert (first.look_id, first.outcome, first.label) == (an_id(0), "label", "Yield")
    assert (first.device_label, first.camera, first.sighting_id) == (
        "Stop", "front", an_id(1_000_000),
    )  # fmt: skip
    assert (second.outcome, second.label) == ("person", None)
    assert [f.seq for f in found] == [int(NOW * 1000), int(NOW * 1000) + 1]
    assert (row.state, row.outcome, row.why, row.labeller) == (
        "done", "label", "a triangle", "gpt",
    )  # fmt: skip


def test_put_back_looks_wait_and_count(any_engine: Engine, tmp_path: Path) -> None:
    queue = filled(any_engine, tmp_path, 1)
    for number, later in enumerate(
        [Later(10, "outage", counts=False), Later(10, "timeout", counts=True, invalid=True)]
    ):
        now = NOW + number * 10
        assert queue.assign("a", 9, now) == 1
        queue.begin(an_id(0), "a", now)
        queue.put_back(an_id(0), "a", later, now)
        assert queue.assign("b", 9, now + 9.9) == 0
    queue.assign("c", 9, NOW + 20)
    case = queue.begin(an_id(0), "c", NOW + 20)
    assert case
    assert (case.attempts, case.invalid) == (2, 1)


def test_leases_run_out_and_abandoned_batches_are_released(
    any_engine: Engine, tmp_path: Path
) -> None:
    queue = filled(any_engine, tmp_path, 3)
    queue.assign("a", 2, NOW)
    queue.assign("b", 1, NOW)
    queue.begin(queue.members("b")[0], "b", NOW + 50)  # progress keeps the lease
    assert queue.reclaim(NOW + 1) == 2
    assert queue.members("a") == []
    assert len(queue.members("b")) == 1
    queue.release("b")
    assert queue.batches("") == []
    assert queue.assign("c", 9, NOW) == 3
    # What an old batch still wanted to do no longer counts.
    assert queue.begin(an_id(0), "a", NOW) is None
    queue.put_back(an_id(0), "a", Later(10, "late", counts=False), NOW)
    assert len(queue.members("c")) == 3
