import math

import numpy as np
import pytest

from agent.vision.types import Box, Prediction, Region
from cloud.measures import Interval
from cloud.outcomes import Outcome, Outcomes, outcome

REGION = Region(Box(0, 0, 8, 8))


def prediction(index: int, scores: list[float], best: float, margin: float) -> Prediction:
    return Prediction(REGION, index, "x", best, margin, -3.0, np.array(scores, np.float32))


def said(truth: int, guess: int, margin: float, group: str = "", score: float = 0.8) -> Outcome:
    return Outcome(truth, guess, score, margin, 1 - margin, -margin, 0.0, 0.5, group)


def test_a_sign_taken_for_none_is_an_error_with_the_loss_of_its_class() -> None:
    found = outcome(prediction(-1, [0.25, 0.15], 0.6, 0.35), 0, "a")
    assert (found.truth, found.guess) == (0, -1)
    assert found.none == pytest.approx(0.6)
    assert found.loss == pytest.approx(-math.log(0.25))
    every = (0.25, 0.15, 0.6)
    assert found.entropy == pytest.approx(-sum(p * math.log(p) for p in every))


def test_nothing_taken_for_none_is_right() -> None:
    found = outcome(prediction(-1, [0.25, 0.15], 0.6, 0.35), -1, "a")
    assert not Outcomes.of([found]).errors
    assert found.loss == pytest.approx(-math.log(0.6))
    missed = outcome(prediction(0, [0.75, 0.15], 0.75, 0.6), -1, "a")
    assert Outcomes.of([missed]).errors == 1
    assert missed.loss == pytest.approx(-math.log(0.1), rel=1e-5)


def test_a_model_without_that_output_has_no_rounding_errors_for_it() -> None:
    scores = [1 / 3, 1 / 3, 1 / 3 - 3e-7]
    assert outcome(prediction(0, scores, 1 / 3, 0.0), 0, "a").none == 0.0


def test_figures_by_hand() -> None:
    found = Outcomes.of(
        [said(0, 0, 0.9), said(0, -1, 0.1), said(-1, -1, 0.4), said(1, 0, 0.5), said(1, 1, 0.8)]
    )
    assert found.errors == 2
    assert found.accuracy == pytest.approx(0.6)
    assert found.none_rate == pytest.approx(0.4)
    assert found.nll == pytest.approx(0.5)
    # Confidence 0.8 everywhere, five bins of one: gaps of 0.2 where right, of 0.8 where wrong.
    assert found.ece == pytest.approx((3 * 0.2 + 2 * 0.8) / 5)
    # Errors at margins 0.1 and 0.5, right ones at 0.4, 0.8, 0.9: one pair of six out of order.
    for signal in ("1 - margin", "entropy", "energy"):
        assert found.error_auroc(signal) == pytest.approx(5 / 6)
    assert found.error_auroc("1 - probability") == 0.5
    assert found.caught("1 - margin", 0.2) == 0.5
    assert found.caught("1 - margin", 0.6) == 1.0


def test_a_sure_none_is_stranger_than_any_sign() -> None:
    # Best class 0.9 before 0.05; 0.5 before 0.4; "none" 0.6 before 0.3; "none" 0.95 before 0.03.
    found = Outcomes.of(
        [
            said(0, 0, 0.85, score=0.9),
            said(0, 0, 0.1, score=0.5),
            said(-1, -1, 0.3, score=0.6),
            said(-1, -1, 0.92, score=0.95),
        ]
    )
    assert found.strangeness("1 - margin") == pytest.approx([0.15, 0.9, 1.3, 1.92])
    assert found.strangeness("1 - probability") == pytest.approx([0.1, 0.5, 0.7, 0.97])
    assert found.strangeness("energy") == pytest.approx([-0.85, -0.1, -0.3, -0.92])
    # To the device's choice whom to ask about, a sure "none" is as good as a sure sign.
    assert found.doubt("1 - margin") == pytest.approx([0.15, 0.9, 0.7, 0.08])


def test_the_interval_is_over_groups_and_errorless_figures_are_none() -> None:
    found = Outcomes.of([said(0, 0, 0.9, "a")] * 40)
    assert found.accuracy_interval() == Interval(1.0, 1.0)
    assert found.error_auroc("1 - margin") is None
    assert found.caught("1 - margin", 0.05) is None
    two = Outcomes.of([said(0, 0, 0.9, "a")] * 40 + [said(0, 1, 0.9, "b")] * 40)
    assert two.accuracy_interval() == Interval(0.0, 1.0)
