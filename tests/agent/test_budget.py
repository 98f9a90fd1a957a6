import pytest

from agent.budget import DAY_S, RESERVE_SHARE, Budget, daily

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
    assert daily(100, -3.0, 0.0).level == 0


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


def test_no_money_granted_is_nothing_asked() -> None:
    budget = Budget(FULL.looks, FULL.size, daily(0.0, None, 0.0, 0.01), 0.01)
    assert not budget.affords(100, DAY_S)
    assert (budget.fill(DAY_S), budget.reserve_fill(DAY_S)) == (0.0, 0.0)
