"""The bar alone, and with a budget over simulated weeks."""

import random
from collections.abc import Callable

import pytest

from agent.bar import RECENT, Bar, passing_share
from agent.budget import DAY_S, Budget, daily

PER_DAY = 240.0
HOUR = 3600.0


def test_the_best_share_of_the_recent_passes() -> None:
    bar = Bar(tuple(n / 100 for n in range(100)))
    assert bar.passes(0.95, 0.05)
    assert not bar.passes(0.90, 0.05)
    assert bar.passes(0.0, 1.0)
    assert not bar.passes(1.0, 0.0)


def test_where_all_are_alike_all_pass() -> None:
    assert Bar((0.4,) * 50).passes(0.4, 0.01)
    assert not Bar((0.4,) * 50).passes(0.39, 0.5)


def test_an_empty_bar_is_passed_by_the_first() -> None:
    assert Bar().passes(0.0, 0.01)


def test_memory_is_bounded_and_saved_in_short() -> None:
    bar = Bar()
    for n in range(RECENT + 5):
        bar = bar.after(n / 1_000)
    assert len(bar.recent) == RECENT
    assert Bar.restored(bar.as_saved()) == bar


@pytest.mark.parametrize("saved", [None, 3, ["x"], [[]]])
def test_what_cannot_be_read_is_forgotten(saved: object) -> None:
    assert Bar.restored(saved) == Bar()


def test_a_half_full_budget_lets_everything_pass_and_an_empty_one_nothing() -> None:
    assert [passing_share(f) for f in (0.0, 0.25, 0.5, 1.0)] == [0.0, 0.25, 1.0, 1.0]


Weather = Callable[[float], tuple[float, float]]
"""Seconds -> (doubtful sightings an hour, scale of their worth)."""


def asked_by_day(weather: Weather, days: int, seed: int) -> tuple[list[int], list[int], float]:
    """Asked and seen by day, and the mean rank of what was asked among all of its day."""
    rng = random.Random(seed)
    bar, now = Bar(), 0.0
    budget = Budget(daily(PER_DAY, None, 0.0), daily(1e12, None, 0.0))
    asked, seen = [0] * days, [0] * days
    ranks: list[float] = []
    while True:
        per_hour, scale = weather(now)
        now += rng.expovariate(per_hour / HOUR)
        if now >= days * DAY_S:
            return asked, seen, sum(ranks) / len(ranks)
        rank = rng.random()
        worth = scale * rank
        seen[int(now / DAY_S)] += 1
        passes = bar.passes(worth, passing_share(budget.fill(now)))
        bar = bar.after(worth)
        if passes and budget.affords(2_500, now):
            budget = budget.spent(2_500, now)
            asked[int(now / DAY_S)] += 1
            ranks.append(rank)


def clear_then_fog(now: float) -> tuple[float, float]:
    """A clear week, a foggy one with ten times as many and as doubtful, a clear one."""
    return (200.0, 0.9) if 7 <= now / DAY_S < 14 else (20.0, 0.09)


@pytest.mark.parametrize("seed", range(5))
def test_neither_fog_nor_its_end_floods_or_silences(seed: int) -> None:
    asked, seen, rank = asked_by_day(clear_then_fog, 21, seed)
    assert min(seen) > PER_DAY
    # The first day also spends what a full bucket holds.
    assert PER_DAY <= asked[0] <= PER_DAY * 1.3
    for day, count in enumerate(asked[1:], 1):
        assert 0.75 * PER_DAY <= count <= 1.3 * PER_DAY, (day, asked)
    assert sum(asked[1:]) == pytest.approx(20 * PER_DAY, rel=0.03)
    assert rank > 0.75, "the best are asked about, not the first"


@pytest.mark.parametrize("seed", range(3))
def test_a_shift_of_worth_alone_changes_no_rate(seed: int) -> None:
    def weather(now: float) -> tuple[float, float]:
        return 60.0, (0.9 if int(now / (3 * DAY_S)) % 2 else 0.09)

    asked, _, _ = asked_by_day(weather, 12, seed)
    for day, count in enumerate(asked[1:], 1):
        assert 0.7 * PER_DAY <= count <= 1.3 * PER_DAY, (day, asked)
    assert sum(asked[1:]) == pytest.approx(11 * PER_DAY, rel=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_nights_starve_neither_themselves_nor_the_days(seed: int) -> None:
    def weather(now: float) -> tuple[float, float]:
        night = now % DAY_S < DAY_S / 2
        return (2.0, 0.1) if night else (100.0, 0.9)

    rng_days = 6
    asked, seen, _ = asked_by_day(weather, rng_days, seed)
    assert all(0.7 * PER_DAY <= count <= 1.05 * PER_DAY for count in asked[1:]), asked
    assert min(seen) > PER_DAY


def test_with_few_sightings_every_doubtful_one_is_asked_about() -> None:
    asked, seen, _ = asked_by_day(lambda _: (4.0, 0.5), 5, 1)
    assert asked == seen
