"""The estimator on simulated fleets of known error, by the device's own draw."""

import random
from dataclasses import dataclass, replace

import numpy as np
import pytest

from agent.contract.ids import new_id
from agent.decide import audited
from cloud.audit import Drawn, estimate, one_each
from tests.makers import NOW

RUNS = 300
SIGHTINGS = 2_000
NIGHT = 0.4
"""Share of sightings at night, when devices err more and the audit's share is lower."""


@dataclass(frozen=True)
class Seen:
    wrong: bool
    margin: float
    drawn: Drawn | None


def fleet(rng: random.Random, *, labeller_error: float = 0.0) -> list[Seen]:
    """Sightings of a fleet: 5 % errors by day, 15 % at night, half of them confident."""
    seen = []
    for n in range(SIGHTINGS):
        night = rng.random() < NIGHT
        chance = 0.06 if night else 0.15
        wrong = rng.random() < (0.15 if night else 0.05)
        margin = rng.random() * 0.5 if wrong and rng.random() < 0.5 else rng.random() ** 0.125
        told = "b" if wrong != (rng.random() < labeller_error) else "a"
        sighting_id = new_id(NOW + n, rng.randbytes(10))
        drawn = Drawn(sighting_id, "cam-1", "m", chance, "a", "label", told)
        seen.append(Seen(wrong, margin, drawn if audited(sighting_id, chance) else None))
    return seen


def test_the_interval_covers_the_truth_as_often_as_it_says_and_the_rate_has_no_bias() -> None:
    rng = random.Random(20)
    covered, gaps, naive_gaps, unweighted_gaps = 0, [], [], []
    truth = NIGHT * 0.15 + (1 - NIGHT) * 0.05
    for _ in range(RUNS):
        seen = fleet(rng)
        drawn = [s.drawn for s in seen if s.drawn]
        found = estimate(drawn)
        assert found.rate is not None
        covered += found.interval.low <= truth <= found.interval.high
        gaps.append(found.rate - truth)
        asked = [s.wrong for s in seen if s.margin < 0.5]
        naive_gaps.append(sum(asked) / len(asked) - truth)
        unweighted_gaps.append(found.wrong / len(drawn) - truth)
    assert 0.92 <= covered / RUNS <= 0.98
    assert abs(np.mean(gaps)) < 3 * np.std(gaps) / RUNS**0.5
    assert np.mean(naive_gaps) > 0.5, "what is asked about is mostly wrong: it was asked for that"
    assert np.mean(unweighted_gaps) < -0.01, "nights are drawn less often"


def test_rare_errors_among_those_drawn_rarely_are_covered_too() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(RUNS):
        night = rng.random(10_000) < 0.5
        chance = np.where(night, 0.01, 0.04)
        wrong = rng.random(10_000) < np.where(night, 0.03, 0.01)
        chosen = np.flatnonzero(rng.random(10_000) < chance)
        items = [
            Drawn(str(i), "cam-1", "m", float(chance[i]), "a", "label", "b" if wrong[i] else "a")
            for i in chosen
        ]
        found = estimate(items)
        covered += found.interval.low <= 0.02 <= found.interval.high
    assert 0.92 <= covered / RUNS <= 0.98, covered / RUNS


def test_confident_errors_are_seen_by_the_audit_alone() -> None:
    # A model that is sure of all it gets wrong asks about nothing, and looks perfect.
    rng = random.Random(3)
    items = []
    for n in range(4_000):
        wrong = rng.random() < 0.08
        sighting_id = new_id(NOW + n, rng.randbytes(10))
        if audited(sighting_id, 0.1):
            told = "b" if wrong else "a"
            items.append(Drawn(sighting_id, "cam-1", "m", 0.1, "a", "label", told))
    found = estimate(items)
    assert found.interval.low <= 0.08 <= found.interval.high
    assert found.interval.high - found.interval.low < 0.06


@pytest.mark.parametrize("error", [0.01, 0.07])
def test_a_labeller_that_errs_moves_the_rate_by_no_more_than_it_errs(error: float) -> None:
    truth = NIGHT * 0.15 + (1 - NIGHT) * 0.05
    moved, inside = [], 0
    for seed in range(60):
        noisy, exact = (
            estimate([s.drawn for s in fleet(random.Random(seed), labeller_error=e) if s.drawn], e)
            for e in (error, 0.0)
        )
        assert noisy.rate is not None
        assert exact.rate is not None
        moved.append(noisy.rate - exact.rate)
        inside += noisy.bounds.low <= truth <= noisy.bounds.high
    assert 0 < np.mean(moved) < error
    assert inside >= 54


def drawn(outcome: str | None = "label", told: str | None = "a", n: int = 0) -> Drawn:
    return Drawn(new_id(NOW + n, bytes(10)), "cam-1", "m", 0.5, "a", outcome, told)


@pytest.mark.parametrize(
    ("outcome", "told", "wrong"),
    [
        ("label", "a", False),
        ("label", "b", True),
        ("none", None, True),
        ("unreadable", None, None),
        ("person", None, None),
        ("rejected", None, None),
        (None, None, None),
    ],
)
def test_what_counts_as_wrong(outcome: str | None, told: str | None, wrong: bool | None) -> None:
    assert drawn(outcome, told).wrong is wrong


def test_nothing_said_and_nothing_there_is_right() -> None:
    assert replace(drawn("none", None), said=None).wrong is False


def test_without_a_settled_one_nothing_is_known() -> None:
    found = estimate([drawn(None), drawn("person")])
    assert (found.drawn, found.unsettled, found.rate) == (2, 2, None)
    assert (found.interval.low, found.interval.high) == (0.0, 1.0)
    assert estimate([]).rate is None


def test_open_ones_are_left_out_and_bounded() -> None:
    items = [drawn(), drawn(), drawn("label", "b"), drawn(None)]
    found = estimate(items)
    assert found.rate == pytest.approx(1 / 3)
    assert (found.unsettled_bounds.low, found.unsettled_bounds.high) == (0.25, 0.5)


def test_equal_chances_are_a_plain_wilson_interval() -> None:
    found = estimate([drawn("label", "b" if n < 10 else "a", n) for n in range(50)])
    # 10 of 50: (0.1124, 0.3304), as in Newcombe's tables.
    assert (found.interval.low, found.interval.high) == pytest.approx((0.1124, 0.3304), abs=1e-3)


def test_a_sighting_counts_once_by_its_first_look() -> None:
    items = [drawn("label", "b"), drawn("label", "a"), drawn("label", "a", n=1)]
    assert [item.wrong for item in one_each(items)] == [True, False]
