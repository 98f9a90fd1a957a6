"""Money granted with advice; the rest of advice is in test_advise.py and test_worker.py."""

from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from agent.contract.messages import AdviceBody, Reported
from agent.contract.topics import Topics
from cloud.adviser import Adviser, judged_looks
from cloud.blobs import Blobs
from cloud.config import CloudConfig
from cloud.grant import GRANTED, MIN_LOOKS
from cloud.keys import init_keys
from cloud.label.answer import Usage
from cloud.label.budget import NANO, Budget
from cloud.orders import Orders
from cloud.schema import devices, looks
from cloud.sieve import Heard
from cloud.store import Store
from tests.cloud.conftest import config_for
from tests.cloud.stocked import stock
from tests.makers import NOW, FakeClock, an_id, look


class Silent:
    """A broker that takes everything."""

    connected = True
    connections = 1

    def publish(self, *_: Any, **__: Any) -> bool:
        return True


@pytest.fixture
def config(tmp_path: Path) -> CloudConfig:
    init_keys(tmp_path / "keys")
    keys = str(tmp_path / "keys")
    return config_for(tmp_path, keys={"dir": keys}, label={"daily_cap_usd": 2.0})


def adviser(engine: Engine, config: CloudConfig, clock: FakeClock) -> Adviser:
    return Adviser(cast("Any", Silent()), Topics("secondlook"), engine, config, clock)


def hear(engine: Engine, *names: str, at: float = NOW) -> None:
    for name in names:
        report = Reported(device=name, at=at, agent="1", profile="traffic-signs", model="m")
        Store(engine).add([], [], [Heard(name, report)], at)


def pay(engine: Engine, looks: int, usd: float, at: float = NOW) -> None:
    budget = Budget(engine, 1e6)
    for n in range(looks):
        held = budget.reserve(an_id(n), NANO, at)
        assert held
        budget.settle(held, round(usd * NANO), Usage(100, 10))


def told(engine: Engine) -> dict[str, AdviceBody]:
    return {o.device: AdviceBody.model_validate(o.body) for o in Orders(engine).all("advice")}


def test_each_active_device_is_granted_its_share(engine: Engine, config: CloudConfig) -> None:
    clock = FakeClock()
    hear(engine, "cam-1", "cam-2")
    hear(engine, "cam-old", at=NOW - 10 * 86_400)
    one = adviser(engine, config, clock)
    assert one.step() == 0, "no price, no grant; and nothing to advise"
    pay(engine, MIN_LOOKS, 0.001)
    assert one.step() == 3
    grants = [body.grant for body in told(engine).values()]
    assert grants[0]
    assert grants[0].usd_per_day == pytest.approx(2.0 * GRANTED / 2)
    assert grants[0].usd_per_look == pytest.approx(0.001)
    assert one.step() == 0, "nothing has changed"


def test_a_new_price_or_fleet_is_news(engine: Engine, config: CloudConfig) -> None:
    hear(engine, "cam-1")
    pay(engine, MIN_LOOKS, 0.001)
    one = adviser(engine, config, FakeClock())
    assert one.step() == 1
    hear(engine, "cam-2")
    assert one.step() == 2
    with engine.begin() as connection:
        connection.execute(sa.update(devices).values(last_seen=NOW - 4 * 86_400))
    hear(engine, "cam-1")
    assert one.step() == 2
    grant = told(engine)["cam-1"].grant
    assert grant
    assert grant.usd_per_day == pytest.approx(2.0 * GRANTED)


def test_grants_can_be_switched_off(engine: Engine, config: CloudConfig) -> None:
    quiet = config.model_copy(update={"advice": config.advice.model_copy(update={"grants": False})})
    hear(engine, "cam-1")
    pay(engine, MIN_LOOKS, 0.001)
    assert adviser(engine, quiet, FakeClock()).step() == 0


def test_a_grant_that_no_longer_holds_is_taken_back_once(
    engine: Engine, config: CloudConfig
) -> None:
    quiet = config.model_copy(update={"advice": config.advice.model_copy(update={"grants": False})})
    hear(engine, "cam-1")
    pay(engine, MIN_LOOKS, 0.001)
    clock = FakeClock()
    assert adviser(engine, config, clock).step() == 1
    clock.pass_(60.0)
    off = adviser(engine, quiet, clock)
    assert off.step() == 1
    assert told(engine)["cam-1"] == AdviceBody()
    clock.pass_(config.advice.expires_s)
    assert off.step() == 0, "nothing to say is not said again"


def test_only_doubt_and_chance_are_fair(engine: Engine, config: CloudConfig) -> None:
    sent = {
        0: look(0, margin=0.3),
        1: look(1, margin=0.9),
        2: look(2, margin=0.9, reason="audit"),
        3: look(3, margin=0.9, audited=True, audit_share=0.1),
        4: look(4, margin=0.9, reason="wanted"),
    }
    stock(engine, Blobs(config.objects), *sent.values())
    with engine.begin() as connection:
        for n, one in sent.items():
            mine = looks.c.look_id == one.meta.look_id
            values = {"outcome": "label", "label": f"{n}", "done_at": NOW + n}
            connection.execute(looks.update().where(mine).values(**values))
    judged = judged_looks(engine, "traffic-signs", config)
    assert [item.verdict_label for item in judged if item.fair] == ["4", "3", "2", "0"]
