from dataclasses import replace

import pytest

from agent.budget import DAY_S, Budget, daily
from agent.decide import Policy, audit_draw, decide, repeats
from agent.vision.types import Prediction
from tests.makers import an_id, prediction

POLICY = Policy(threshold=0.5, audit_share=0.0, looks_per_sighting=2, duplicate_bits=6, min_side=16)
FULL = Budget(daily(100, None, 0.0), daily(1_000_000, None, 0.0))


def ask(
    margin: float = 0.1,
    policy: Policy = POLICY,
    budget: Budget = FULL,
    kept: int = 0,
    label: str = "Stop",
    side: int = 48,
) -> str:
    return decide(prediction(label, margin, side), an_id(1), policy, budget, kept, 0.0).why


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
        return decide(seen, an_id(1), policy, FULL, 0, 0.0).why

    assert why(sure) == "uncertain"
    assert why(replace(sure, energy=-2.0)) == "sure"
    # "None of these" is what the unknown should be answered with.
    assert why(replace(sure, index=-1, label="")) == "sure"


def test_reasons_to_drop_in_their_order() -> None:
    assert ask(side=15) == "small"
    assert ask(kept=2) == "enough"
    assert ask(kept=1) == "uncertain"
    assert ask(budget=Budget(daily(0, None, 0.0), daily(10**6, None, 0.0))) == "budget"
    assert ask(budget=Budget(daily(100, None, 0.0), daily(8_000, None, 0.0))) == "budget"


def test_a_region_like_one_kept_lately_is_a_repetition() -> None:
    assert repeats(0, (2**64 - 1, 0b111111), POLICY)
    assert not repeats(0, (2**64 - 1, 0b1111111), POLICY)
    assert not repeats(0, (), POLICY)


def test_audit_takes_its_share_of_sightings_and_one_look_each() -> None:
    policy = Policy(0.5, 0.1, 2, 6, 16)
    sure = prediction(margin=1.0)
    whys = [decide(sure, an_id(n), policy, FULL, 0, 0.0).why for n in range(2_000)]
    assert 150 <= whys.count("audit") <= 250
    audited = an_id(whys.index("audit"))
    assert decide(sure, audited, policy, FULL, 1, 0.0).why == "sure"


def test_wanted_classes_are_asked_about_more_often_than_the_audit() -> None:
    policy = Policy(0.5, 0.0, 2, 6, 16, wanted=frozenset({"Stop"}))
    whys = [
        decide(prediction(margin=1.0), an_id(n), policy, FULL, 0, 0.0).why for n in range(1_000)
    ]
    assert 200 <= whys.count("wanted") <= 300
    assert whys.count("wanted") + whys.count("sure") == 1_000


def test_draws_for_audit_and_wanted_are_independent_numbers() -> None:
    ids = [an_id(n) for n in range(200)]
    assert any(audit_draw(i, "audit") != audit_draw(i, "wanted") for i in ids)
    assert all(0 <= audit_draw(i, "audit") < 1 for i in ids)


def test_a_day_refills_a_day_and_the_burst_is_capped() -> None:
    budget = Budget(daily(96, None, 0.0), daily(10**9, None, 0.0))
    assert budget.looks.level == 24
    spent = budget
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
