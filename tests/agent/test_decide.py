from dataclasses import replace

import pytest

from agent.asked import Asked
from agent.bar import Bar
from agent.budget import Budget, daily
from agent.decide import (
    Basis,
    Decision,
    Policy,
    Record,
    audited,
    choose,
    decide,
    draw,
    is_other_view,
)  # fmt: skip
from agent.held import View
from agent.vision.tracker import Sighting
from agent.vision.types import Prediction
from agent.worth import Signals
from tests.makers import an_id, look, prediction, sighting

POLICY = Policy(threshold=0.5, audit_share=0.0, looks_per_sighting=2, duplicate_bits=6, min_side=16)
FULL = Budget(daily(100, None, 0.0), daily(1_000_000, None, 0.0))
SURE = Signals(margin=1.0, entropy=0.0, strange=0.0, disagree=0.0, band=0.0, novelty=1.0, need=0.0)


def ask(
    margin: float = 0.1,
    policy: Policy = POLICY,
    budget: Budget = FULL,
    label: str = "Stop",
    side: int = 48,
    record: Record | None = None,
) -> str:
    seen = prediction(label, margin, side)
    return decide(seen, sighting(label), policy, budget, record or Record(), 0.0).why


def view(margin: float, dhash: int = 0, label: str = "Stop") -> View:
    return View(look(), label, dhash, 1.0, replace(SURE, margin=margin))


@pytest.mark.parametrize(
    ("margin", "why"), [(0.0, "uncertain"), (0.49, "uncertain"), (0.5, "sure"), (1.0, "sure")]
)
def test_margin_below_the_threshold_is_uncertain(margin: float, why: str) -> None:
    assert ask(margin) == why


def test_a_class_threshold_from_advice_replaces_the_general_one() -> None:
    policy = Policy(0.5, 0.0, 2, 6, 16, class_thresholds={"Stop": 0.9, "Yield": 0.05})
    assert ask(0.8, policy) == "uncertain"
    assert ask(0.1, policy, label="Yield") == "sure"
    assert ask(0.1, policy, label="Other") == "uncertain"


def test_a_sure_answer_about_the_unknown_is_asked_about() -> None:
    policy = replace(POLICY, unknown_above=-2.0)
    sure = replace(prediction("Stop", 0.9, 48), energy=-1.9)

    def why(seen: Prediction) -> str:
        return decide(seen, sighting(), policy, FULL, Record(), 0.0).why

    assert why(sure) == "uncertain"
    assert why(replace(sure, energy=-2.0)) == "sure"
    # "None of these" is what the unknown should be answered with.
    assert why(replace(sure, index=-1, label="")) == "sure"


def test_a_sure_answer_against_the_rest_of_its_track_is_asked_about() -> None:
    def why(seen: Sighting) -> str:
        return decide(prediction("Stop", 1.0), seen, POLICY, FULL, Record(), 0.0).why

    assert why(sighting("Yield")) == "uncertain"
    assert why(sighting("Stop")) == "sure"
    assert why(sighting("")) == "sure"


def test_reasons_to_drop_in_their_order() -> None:
    assert ask(side=15) == "small"
    assert ask(record=Record(tried=2)) == "enough"
    assert ask(record=Record(tried=1)) == "uncertain"
    assert ask(budget=Budget(daily(0, None, 0.0), daily(10**6, None, 0.0))) == "budget"
    assert ask(budget=Budget(daily(100, None, 0.0), daily(8_000, None, 0.0))) == "budget"


def test_an_audit_that_was_drawn_stops_at_nothing_but_size() -> None:
    broke = Budget(daily(0, None, 0.0), daily(0, None, 0.0))
    drawn = Record(audit=True, tried=2)
    assert ask(1.0, budget=broke, record=drawn) == "audit"
    assert ask(0.1, budget=broke, record=drawn) == "uncertain"
    assert ask(1.0, record=drawn, side=15) == "small"


def test_wanted_classes_are_asked_about_at_their_share() -> None:
    policy = Policy(0.5, 0.0, 2, 6, 16, wanted=frozenset({"Stop"}))
    whys = [
        decide(prediction(margin=1.0), sighting(n=n), policy, FULL, Record(), 0.0).why
        for n in range(1_000)
    ]
    assert 200 <= whys.count("wanted") <= 300
    assert whys.count("wanted") + whys.count("sure") == 1_000


def test_a_reason_is_what_keeps() -> None:
    assert Decision("wanted").reason == "wanted"
    assert Decision("sure").reason is None


def test_a_further_look_needs_another_view_or_another_answer() -> None:
    tried = Record(tried=1, dhash=0, label="Stop")
    assert is_other_view(0, "Stop", Record(), POLICY)
    assert is_other_view(0, "Yield", tried, POLICY)
    assert not is_other_view(2**12 - 1, "Stop", tried, POLICY)
    assert is_other_view(2**13 - 1, "Stop", tried, POLICY)


def test_a_repetition_is_a_duplicate_and_lowers_no_bar() -> None:
    basis = Basis(FULL, Bar((0.1,)), Asked(((0, "Stop"),)))
    choice = choose(view(0.1), POLICY, basis, 0.0)
    assert (choice.why, choice.worth) == ("duplicate", 0.0)
    assert choice.basis == basis


def test_a_full_budget_takes_all_and_a_low_one_the_best() -> None:
    bar = Bar(tuple(n / 100 for n in range(100)))
    low = Budget(daily(100, 5.0, 0.0), FULL.size)
    for margin, full_says, low_says in ((0.9, None, "outranked"), (0.0, None, None)):
        assert choose(view(margin), POLICY, Basis(FULL, bar), 0.0).why == full_says
        choice = choose(view(margin), POLICY, Basis(low, bar), 0.0)
        assert choice.why == low_says
        assert choice.basis.bar.recent[-1] == choice.worth


def test_what_passes_must_be_paid_for() -> None:
    broke = Budget(daily(100, 0.0, 0.0), FULL.size)
    assert choose(view(0.0), POLICY, Basis(broke), 0.0).why in ("outranked", "budget")


def test_what_was_asked_is_paid_and_remembered() -> None:
    after = Basis(FULL).after(view(0.1, 7), 2_000, 0.0)
    assert after.budget.looks.level == FULL.looks.level - 1
    assert after.budget.size.level == FULL.size.level - 2_000
    assert after.asked.views == ((7, "Stop"),)


def test_the_audit_takes_its_share_of_all_sightings() -> None:
    drawn = sum(audited(an_id(n), 0.1) for n in range(2_000))
    assert 150 <= drawn <= 250
    assert not any(audited(an_id(n), 0.0) for n in range(100))
    assert all(audited(an_id(n), 1.0) for n in range(100))


def test_draws_for_audit_and_wanted_are_independent_numbers() -> None:
    ids = [an_id(n) for n in range(200)]
    assert any(draw(i, "audit") != draw(i, "wanted") for i in ids)
    assert all(0 <= draw(i, "audit") < 1 for i in ids)


def test_a_sighting_once_in_doubt_stays_so_that_a_better_view_may_be_held() -> None:
    record = Record()
    assert ask(0.9, record=record) == "sure"
    assert ask(0.1, record=record) == "uncertain"
    assert ask(0.9, record=record) == "uncertain"


def test_the_margin_of_a_sighting_is_the_mean_of_all_its_frames() -> None:
    record = Record(frames=4, margins=3.0)
    assert record.settled(replace(SURE, entropy=0.2)) == replace(SURE, margin=0.75, entropy=0.2)
    assert Record().settled(SURE) == SURE
