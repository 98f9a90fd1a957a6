import pytest

from agent.budget import DAY_S, RESERVE_SHARE, Budget, daily
from agent.contract.messages import Grant
from agent.decide import TYPICAL_LOOK_BYTES
from agent.policy import Levels, Ration, budget_of, levels_of

FULL = Budget(daily(96, None, 0.0), daily(10**9, None, 0.0))


def test_a_day_refills_a_day_and_the_burst_is_capped() -> None:
    assert FULL.looks.level == 24
    spent = FULL
    for _ in range(24):
        assert spent.affords(100, 0.0)
        spent = spent.spent(100, 0.0)
    assert not spent.affords(100, 0.0)
    assert spent.affords(100, DAY_S / 96 + 1)
    assert spent.looks.refilled(10 * DAY_S).level == 24
    assert spent.looks.refilled(-5.0) == spent.looks


def test_a_saved_level_is_cut_to_the_capacity() -> None:
    assert daily(100, 9_999.0, 0.0).level == 25
    assert daily(100, 3.0, 0.0).level == 3
    assert daily(100, -3.0, 0.0).level == -3, "a debt stays one"


@pytest.mark.parametrize(
    ("per_day", "reserve"), [(400, 20), (40, 2), (12, 1), (4, 0), (2, 0), (0, 0)]
)
def test_a_reserve_leaves_room_for_at_least_one_look(per_day: float, reserve: float) -> None:
    bucket = daily(per_day, None, 0.0, reserve_share=RESERVE_SHARE)
    assert bucket.reserve == reserve
    assert bucket.fill == (1.0 if per_day else 0.0)
    assert bucket.reserve_fill == (1.0 if per_day else 0.0)


def test_only_audits_draw_on_the_reserve() -> None:
    budget = Budget(daily(40, None, 0.0, reserve_share=0.2), FULL.size)
    for _ in range(8):
        assert budget.affords(100, 0.0)
        budget = budget.spent(100, 0.0)
    assert not budget.affords(100, 0.0)
    assert budget.fill(0.0) == 0.0
    assert budget.reserve_fill(0.0) == pytest.approx(1.0, abs=1e-5)
    assert budget.spent(100, 0.0).reserve_fill(0.0) == pytest.approx(0.5)
    assert budget.spent(100, 0.0).spent(100, 0.0).reserve_fill(0.0) == 0.0


def test_the_emptiest_bucket_decides_money_among_them() -> None:
    money = daily(0.4, None, 0.0, unit=0.01)
    budget = Budget(FULL.looks, FULL.size, money, 0.01)
    for _ in range(10):
        assert budget.affords(100, 0.0)
        budget = budget.spent(100, 0.0)
    assert not budget.affords(100, 0.0)
    assert budget.fill(0.0) == pytest.approx(0.0)
    assert budget.affords(100, DAY_S / 40 + 1)


@pytest.mark.parametrize("per_day", [0.001, 0.01, 0.02])
def test_a_share_below_the_price_of_a_look_is_saved_up(per_day: float) -> None:
    budget = Budget(FULL.looks, FULL.size, daily(per_day, None, 0.0, 0.02, RESERVE_SHARE), 0.02)
    day = round(0.02 / per_day)
    asked = 0
    for hour in range(day * 24 * 10):
        if budget.affords(100, hour * 3_600.0):
            asked, budget = asked + 1, budget.spent(100, hour * 3_600.0)
    assert 9 <= asked <= 11, "ten looks' money"


@pytest.mark.parametrize("audits", [False, True])
@pytest.mark.parametrize("size", [1_000, 2_500, 5_000, 10_000, 12_499, 12_500, 100_000])
def test_a_ration_of_few_bytes_is_asked_with(size: int, audits: bool) -> None:
    budget = budget_of(Ration(1_000, size, None, audits), (None, None, None), 0.0)
    asked = 0
    for minute in range(10 * 24 * 60):
        if budget.affords(TYPICAL_LOOK_BYTES, minute * 60.0):
            budget = budget.spent(TYPICAL_LOOK_BYTES, minute * 60.0)
            asked += 1
    assert 0.8 * 10 * size / TYPICAL_LOOK_BYTES <= asked <= 10.5 * size / TYPICAL_LOOK_BYTES


def test_nothing_a_day_is_never_asked_with() -> None:
    budget = budget_of(Ration(1_000, 0, None, audits=True), (None, None, None), 0.0)
    assert not budget.affords(TYPICAL_LOOK_BYTES, 100 * DAY_S)


def test_what_was_left_is_left_after_a_change_of_the_ration_and_a_time_without_a_grant() -> None:
    grant = Grant(usd_per_day=4.0, usd_per_look=0.1)
    granted, silent = (Ration(40, 10**6, g, audits=True) for g in (grant, None))
    levels: Levels = (-1.5, -20.0, -0.05)
    for ration in (granted, silent, silent, granted):
        budget = budget_of(ration, levels_of(levels), 0.0)
        levels = budget.levels
        assert levels == (-1.5, -20.0, -0.05)
        assert (budget.money is None) == (ration is silent)


def test_no_money_granted_is_nothing_asked() -> None:
    budget = Budget(FULL.looks, FULL.size, daily(0.0, None, 0.0, 0.01), 0.01)
    assert not budget.affords(100, DAY_S)
    assert (budget.fill(DAY_S), budget.reserve_fill(DAY_S)) == (0.0, 0.0)
