import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine, Row

from agent.contract.codec import Look
from agent.vision.shipped import PROFILES, load_profile
from cloud.blobs import Blobs
from cloud.config import LabelConfig
from cloud.label.budget import Budget
from cloud.label.profiles import profile_of
from cloud.label.queue import LabelQueue
from cloud.label.run import Labeller
from cloud.schema import looks, verdicts
from tests.cloud.stocked import stock
from tests.device_sim import wait_until
from tests.llm_server import LlmServer
from tests.makers import FakeClock, an_id, look


class Desk:
    """A labeller over a stocked database, a scripted service and a clock moved by hand."""

    def __init__(self, engine: Engine, folder: Path, llm: LlmServer, **changes: Any) -> None:
        self.clock = FakeClock()
        self.engine = engine
        self.blobs = Blobs(f"file://{folder}/objects")
        self.queue = LabelQueue(engine)
        values = {"base_url": llm.url, "api_key_env": "", "timeout_s": 5, "retry_s": 1, **changes}
        self.config = LabelConfig.model_validate(values)
        self.budget = Budget(engine, self.config.daily_cap_usd)
        self.labeller = Labeller(
            self.queue, self.blobs, self.budget, self.config,
            partial(profile_of, load_profile("traffic-signs")), self.clock,
        )  # fmt: skip
        self.batches = 0

    def round(self) -> list[str]:
        """Ask once about everything that may be asked about now."""
        self.batches += 1
        batch = f"b-{self.batches}"
        self.queue.assign(batch, 100, self.clock.now())
        return [self.labeller.ask(batch, look_id) for look_id in self.queue.members(batch)]

    def row(self, n: int) -> Row[Any]:
        with self.engine.connect() as connection:
            return connection.execute(sa.select(looks).where(looks.c.look_id == an_id(n))).one()

    def verdicts(self) -> int:
        with self.engine.connect() as connection:
            return len(connection.execute(sa.select(verdicts)).all())


@pytest.mark.parametrize(
    ("script", "rounds", "outcome", "requests"),
    [
        ([], ["label"], "label", 1),
        (["none"], ["none"], "none", 1),
        (["unreadable"], ["unreadable"], "unreadable", 1),
        (["unsure"], ["person"], "person", 1),
        (["refusal"], ["person"], "person", 1),
        (["policy"], ["person"], "person", 1),
        (["off_list"], ["later", "label"], "label", 2),
        (["malformed", "off_list"], ["later", "person"], "person", 2),
        (["confidence_7"] * 2, ["later", "person"], "person", 2),
        (["html", "no_choices"], ["later", "person"], "person", 2),
        (["truncated"] * 2, ["later", "person"], "person", 2),
        (["rate_limit"], ["later", "label"], "label", 2),
        (["quota"], ["later", "label"], "label", 2),
        (["auth"], ["later", "label"], "label", 2),
        (["overloaded"], ["later", "label"], "label", 2),
        (["error"] * 3, ["later", "later", "person"], "person", 3),
        (["bad_request", "error"], ["later", "later", "label"], "label", 3),
    ],
)
def test_every_answer_has_its_outcome(
    engine: Engine, tmp_path: Path, script: list[str], rounds: list[str], outcome: str,
    requests: int,
) -> None:  # fmt: skip
    with LlmServer(script=script) as llm:
        desk = Desk(engine, tmp_path, llm, max_attempts=3)
        stock(engine, desk.blobs, look(1))
        found = []
        for _ in rounds:
            found += desk.round()
            desk.clock.pass_(600)
        desk.labeller.close()
    assert found == rounds
    assert desk.row(1).outcome == outcome
    assert desk.row(1).label == ("Stop" if outcome == "label" else None)
    assert desk.verdicts() == 1
    assert llm.looks == [an_id(1)] * requests


def test_timeouts_end_with_a_person_and_are_taken_as_billed(engine: Engine, tmp_path: Path) -> None:
    with LlmServer(script=["timeout", "timeout"]) as llm:
        desk = Desk(engine, tmp_path, llm, max_attempts=2, timeout_s=0.2)
        stock(engine, desk.blobs, look(1))
        assert desk.round() == ["later"]
        desk.clock.pass_(60)
        assert desk.round() == ["person"]
        desk.labeller.close()
    assert "timeout" in desk.row(1).why
    assert desk.budget.spent().usd > 0.002


def test_a_rate_limit_pauses_everybody_without_calls(engine: Engine, tmp_path: Path) -> None:
    with LlmServer(script=["rate_limit"]) as llm:
        desk = Desk(engine, tmp_path, llm)
        stock(engine, desk.blobs, *(look(n) for n in range(5)))
        assert desk.round() == ["later"] * 5
        assert len(llm.looks) == 1
        assert desk.labeller.paused
        assert "rate_limited" in desk.labeller.problem
        desk.clock.pass_(2)
        assert desk.round() == ["label"] * 5
        assert desk.labeller.problem == ""
        desk.labeller.close()
    assert all(desk.row(n).attempts == 1 for n in range(5))


def test_the_cap_stops_calls_and_a_new_day_resumes(engine: Engine, tmp_path: Path) -> None:
    with LlmServer() as llm:
        # One call reserves about 0.0018 USD and costs 0.000162 USD.
        desk = Desk(engine, tmp_path, llm, daily_cap_usd=0.0025)
        stock(engine, desk.blobs, *(look(n) for n in range(8)))
        words = desk.round()
        asked = len(llm.looks)
        assert words.count("label") == asked < 8
        assert desk.budget.spent().usd <= 0.0025
        desk.clock.pass_(300)
        assert set(desk.round()) == {"later"}
        assert "spent" in desk.labeller.problem
        desk.clock.pass_(86_400)
        assert "label" in desk.round()
        desk.labeller.close()
    assert len(llm.looks) > asked


def test_costs_are_what_the_service_says(engine: Engine, tmp_path: Path) -> None:
    with LlmServer() as llm:
        desk = Desk(engine, tmp_path, llm)
        stock(engine, desk.blobs, look(1))
        desk.round()
        desk.labeller.close()
    spent = desk.budget.spent()
    assert (spent.tokens_in, spent.tokens_out) == (1_000, 20)
    assert spent.usd == pytest.approx(1_000 * 0.15e-6 + 20 * 0.60e-6)


def test_what_cannot_be_asked_is_rejected_unpaid(engine: Engine, tmp_path: Path) -> None:
    with LlmServer() as llm:
        desk = Desk(engine, tmp_path, llm)
        stock(engine, desk.blobs, Look(look(1).meta, b"\xff\xd8\xff broken"))
        stock(engine, desk.blobs, look(2, profile="no-such-profile"))
        assert desk.round() == ["rejected", "rejected"]
        assert llm.looks == []
    assert "not a whole JPEG" in desk.row(1).why
    assert "no-such-profile" in desk.row(2).why
    assert desk.budget.spent().calls == 0
    assert desk.verdicts() == 2


def test_missing_key_pauses_and_loses_nothing(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LlmServer() as llm:
        key = tmp_path / "key"
        desk = Desk(engine, tmp_path, llm, key_file=str(key))
        stock(engine, desk.blobs, look(1))
        assert desk.round() == ["later"]
        assert "key_file" in desk.labeller.problem
        key.write_text("sk-new")
        desk.clock.pass_(60)
        assert desk.round() == ["label"]
        desk.labeller.close()
    assert llm.keys == ["Bearer sk-new"]


def test_replaced_key_is_read_again_after_a_refusal(engine: Engine, tmp_path: Path) -> None:
    with LlmServer(script=["auth"]) as llm:
        key = tmp_path / "key"
        key.write_text("sk-old")
        desk = Desk(engine, tmp_path, llm, key_file=str(key))
        stock(engine, desk.blobs, look(1))
        assert desk.round() == ["later"]
        key.write_text("sk-new")
        desk.clock.pass_(120)
        assert desk.round() == ["label"]
        desk.labeller.close()
    assert llm.keys == ["Bearer sk-old", "Bearer sk-new"]


def test_a_refused_key_leaves_running_calls_alone(engine: Engine, tmp_path: Path) -> None:
    with LlmServer(script=["timeout", "auth"]) as llm:
        desk = Desk(engine, tmp_path, llm, timeout_s=20)
        stock(engine, desk.blobs, look(1), look(2))
        desk.queue.assign("b", 9, desk.clock.now())
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(desk.labeller.ask, "b", an_id(1))
            wait_until(lambda: llm.looks == [an_id(1)])
            assert desk.labeller.ask("b", an_id(2)) == "later"
            llm.release.set()
            assert slow.result(30) == "label"
        desk.clock.pass_(120)
        assert desk.round() == ["label"]
        desk.labeller.close()
    assert llm.looks == [an_id(1), an_id(2), an_id(2)]
    assert desk.budget.spent().tokens_in == 2_000


def test_missing_picture_waits_and_holds_up_nobody(engine: Engine, tmp_path: Path) -> None:
    with LlmServer() as llm:
        desk = Desk(engine, tmp_path, llm)
        stock(engine, desk.blobs, look(1))
        stock(engine, desk.blobs, look(2))
        desk.blobs.delete([desk.row(1).shard])
        assert desk.round() == ["later", "label"]
        assert desk.round() == []
        desk.labeller.close()
    row = desk.row(1)
    assert (row.state, row.attempts) == ("stored", 0)
    assert row.shard in row.why
    assert llm.looks == [an_id(2)]


def test_a_message_never_names_a_file(engine: Engine, tmp_path: Path) -> None:
    planted = tmp_path / "planted.toml"
    shutil.copy(PROFILES / "traffic-signs.toml", planted)
    with LlmServer() as llm:
        desk = Desk(engine, tmp_path, llm)
        names = (str(planted), "/etc/hostname", "../profiles/traffic-signs", "traffic-signs.toml")
        for number, name in enumerate(names):
            stock(engine, desk.blobs, look(number, profile=name))
        assert desk.round() == ["rejected"] * len(names)
        assert llm.looks == []
    assert "not known to this worker" in desk.row(0).why


def test_a_look_that_crashes_every_worker_ends_with_a_person(
    engine: Engine, tmp_path: Path
) -> None:
    with LlmServer() as llm:
        desk = Desk(engine, tmp_path, llm, max_attempts=3)
        stock(engine, desk.blobs, look(1))
        desk.queue.assign("b", 9, desk.clock.now())
        for _ in range(4):  # four workers began and died
            desk.queue.begin(an_id(1), "b", desk.clock.now())
        assert desk.labeller.ask("b", an_id(1)) == "person"
        assert desk.labeller.ask("b", an_id(1)) == "gone"
    assert llm.looks == []
