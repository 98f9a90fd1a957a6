"""Batches under DBOS when something goes wrong in one of them."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from dbos import DBOS
from sqlalchemy.engine import Engine

from agent.contract.errors import BadContentError, UnavailableError
from agent.vision.shipped import load_profile
from cloud.blobs import Blobs
from cloud.config import LabelConfig
from cloud.label.budget import Budget
from cloud.label.profiles import profile_of
from cloud.label.queue import LabelQueue
from cloud.label.run import Labeller
from cloud.label.workflow import Workflows
from cloud.schema import looks
from tests.cloud.stocked import stock
from tests.device_sim import wait_until
from tests.llm_server import LlmServer
from tests.makers import NOW, FakeClock, an_id, look


class Stumbling(Labeller):
    """A labeller that one look makes fail, as values do that the database refuses."""

    def ask(self, batch: str, look_id: str) -> str:
        if look_id == an_id(0):
            raise BadContentError("the database refuses the values")
        return super().ask(batch, look_id)


@pytest.fixture
def queue(engine: Engine, tmp_path: Path) -> LabelQueue:
    stock(engine, Blobs(f"file://{tmp_path}/objects"), *(look(n) for n in range(4)))
    return LabelQueue(engine)


@pytest.fixture
def workflows(engine: Engine, queue: LabelQueue, tmp_path: Path) -> Iterator[Workflows]:
    with LlmServer() as llm:
        config = LabelConfig(base_url=llm.url, api_key_env="", timeout_s=5)
        labeller = Stumbling(
            queue, Blobs(f"file://{tmp_path}/objects"), Budget(engine, 1.0), config,
            partial(profile_of, load_profile("traffic-signs")), FakeClock(),
        )  # fmt: skip
        made = Workflows("main", f"sqlite:///{tmp_path}/workflows.sqlite", queue, labeller)
        made.start()
        yield made
        made.stop()


def test_one_failing_look_does_not_end_its_batch(
    engine: Engine, queue: LabelQueue, workflows: Workflows
) -> None:
    queue.assign("batch-1", 9, NOW)
    workflows.begin("batch-1")
    wait_until(lambda: workflows.running == 0)
    with engine.connect() as connection:
        query = sa.select(looks.c.look_id).where(looks.c.state == "done")
        done = set(connection.execute(query).scalars())
    assert done == {an_id(n) for n in (1, 2, 3)}
    workflows.resume("batch-1")  # what is left goes back to waiting
    assert queue.members("batch-1") == []


def test_a_batch_that_cannot_start_keeps_no_slot(
    workflows: Workflows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UnavailableError("the workflow database is locked")

    monkeypatch.setattr(DBOS, "start_workflow", refuse)
    with pytest.raises(UnavailableError):
        workflows.begin("batch-1")
    assert workflows.running == 0
