import threading
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from agent.vision.shipped import load_profile
from cloud.config import LabelConfig
from cloud.database import open_database
from cloud.label.answer import Usage
from cloud.label.budget import NANO, Budget, most, price, utc_day
from cloud.label.prompt import question
from tests.makers import NOW, an_id, jpeg

CENT = NANO // 100
CONFIG = LabelConfig(usd_per_million_input=0.15, usd_per_million_output=0.60)


def test_price_is_exact_and_rounded_up() -> None:
    assert price(Usage(1_000_000, 0), CONFIG) == 0.15 * NANO
    assert price(Usage(0, 1_000_000), CONFIG) == 0.60 * NANO
    assert price(Usage(1, 0), LabelConfig(usd_per_million_input=0.0001)) == 1
    assert price(Usage(None, None), CONFIG) == 0


def test_most_bounds_what_a_call_can_cost() -> None:
    asked = question(load_profile("traffic-signs"), jpeg(1))
    # One token a byte, the picture's most, and the longest answer.
    tokens_in = asked.text_bytes + 100 + 3_000
    assert most(asked, CONFIG) == price(Usage(tokens_in, 300), CONFIG)


def test_reservations_fill_the_day_and_settling_frees_the_rest(any_engine: Engine) -> None:
    budget = Budget(any_engine, 0.10)
    first = budget.reserve(an_id(1), 6 * CENT, NOW)
    assert first
    assert budget.reserve(an_id(2), 6 * CENT, NOW) is None
    budget.settle(first, 1 * CENT, Usage(100, 10))
    budget.settle(first, 1 * CENT, Usage(100, 10))  # twice is once
    assert budget.reserve(an_id(2), 9 * CENT, NOW)
    assert budget.reserve(an_id(3), 1, NOW) is None
    spent = budget.spent()
    assert (spent.usd, spent.calls, spent.tokens_in, spent.tokens_out) == (0.10, 2, 100, 10)


def test_a_new_utc_day_starts_at_zero(engine: Engine) -> None:
    budget = Budget(engine, 0.10)
    assert budget.reserve(an_id(1), 10 * CENT, NOW)
    assert budget.reserve(an_id(2), 10 * CENT, NOW) is None
    assert budget.reserve(an_id(2), 10 * CENT, NOW + 86_400)
    assert budget.spent(utc_day(NOW)).usd == 0.10
    assert budget.spent().usd == 0.20


def test_money_of_a_call_that_never_ended_counts_in_full(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.sqlite"
    assert Budget(open_database(url), 0.10).reserve(an_id(1), 8 * CENT, NOW)
    later = Budget(open_database(url), 0.10)  # the worker died and came back
    assert later.reserve(an_id(1), 8 * CENT, NOW) is None
    assert later.spent().usd == 0.08


def test_cap_of_zero_asks_nothing(engine: Engine) -> None:
    assert Budget(engine, 0.0).reserve(an_id(1), 1, NOW) is None


@pytest.mark.parametrize("workers", [10])
def test_racing_workers_never_pass_the_cap(any_engine: Engine, workers: int) -> None:
    budget = Budget(any_engine, 1.00)
    start = threading.Barrier(workers)
    taken: list[int] = []

    def work(number: int) -> None:
        start.wait()
        for n in range(12):
            held = budget.reserve(an_id(number * 100 + n), 3 * CENT, NOW)
            if held:
                taken.append(held.nano_usd)
                if n % 2:
                    budget.settle(held, 2 * CENT, Usage(10, 1))
            assert budget.spent().usd <= 1.00

    threads = [threading.Thread(target=work, args=(n,)) for n in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.97 < budget.spent().usd <= 1.00
    assert len(taken) >= 33


def test_what_looks_cost_lately_counts_every_call_of_a_look(any_engine: Engine) -> None:
    budget = Budget(any_engine, 1.0)
    for look_id, at, cost in ((1, 0, 4), (1, 10, 2), (2, 20, 3), (3, -90_000, 9)):
        held = budget.reserve(an_id(look_id), 9 * CENT, NOW + at)
        assert held
        budget.settle(held, cost * CENT, Usage(100, 10))
    assert budget.reserve(an_id(4), 5 * CENT, NOW + 30)  # never settled: counts in full
    paid = budget.paid(NOW - 100)
    assert paid.usd == pytest.approx(0.14)
    assert paid.looks == 3
    assert budget.paid(NOW + 100).looks == 0
