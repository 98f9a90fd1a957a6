import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.worth import Signals, doubt, indecision, relative_entropy, strangeness, worth

SURE = Signals(margin=1.0, entropy=0.0, strange=0.0, disagree=0.0, band=0.0, novelty=1.0, need=0.0)
SHARE = st.floats(0.0, 1.0)
NAMES = ("margin", "entropy", "strange", "disagree", "band", "novelty", "need")
ANY = st.builds(Signals, **dict.fromkeys(NAMES, SHARE))


@given(ANY)
def test_worth_is_a_share(signals: Signals[float]) -> None:
    assert 0.0 <= worth(signals) <= 1.0
    assert 0.0 <= doubt(signals) <= 1.0


@given(ANY, st.sampled_from(NAMES), SHARE)
def test_each_signal_raises_it_and_only_the_margin_lowers_it(
    signals: Signals[float], name: str, value: float
) -> None:
    up = value >= getattr(signals, name)
    changed = worth(replace(signals, **{name: value}))
    more, less = (
        (changed, worth(signals)) if up != (name == "margin") else (worth(signals), changed)
    )
    assert more >= less - 1e-12


def test_what_is_sure_known_and_unwanted_is_worth_nothing() -> None:
    assert worth(SURE) == 0.0
    assert worth(replace(SURE, need=1.0)) == pytest.approx(0.3)


@pytest.mark.parametrize("name", ["entropy", "strange", "disagree", "band"])
def test_each_doubt_alone_makes_a_full_margin_worth_something(name: str) -> None:
    assert worth(replace(SURE, **{name: 1.0})) >= 0.3


def test_nothing_is_worth_asking_twice() -> None:
    assert worth(replace(SURE, margin=0.0, need=1.0, novelty=0.0)) == 0.0


def test_arrays_are_ranked_as_their_elements_are() -> None:
    rng = np.random.default_rng(1)
    columns = {name: rng.random(20) for name in NAMES}
    together = worth(Signals(**columns))
    each = [worth(Signals(**{n: float(c[i]) for n, c in columns.items()})) for i in range(20)]
    assert together == pytest.approx(each)


def test_entropy_counts_what_is_missing_to_one_as_a_class_of_its_own() -> None:
    assert relative_entropy(np.array([1, 0, 0], np.float32)) == 0.0
    assert relative_entropy(np.full(3, 0.25, np.float32)) == pytest.approx(1.0)
    # A detector's box gives one score and no rivals.
    assert relative_entropy(np.array([0, 0.5, 0], np.float32)) == pytest.approx(0.5)
    assert relative_entropy(np.zeros(3, np.float32)) == 0.0


def test_strangeness_is_half_at_the_threshold_and_nothing_without_one() -> None:
    assert strangeness(-5.0, -5.0) == 0.5
    assert strangeness(-2.0, -5.0) > 0.9
    assert strangeness(-1e9, -5.0) < 1e-9
    assert strangeness(1e9, math.inf) < 1e-9


def test_indecision_is_most_in_the_middle() -> None:
    assert [indecision(s) for s in (0.0, 0.5, 1.0)] == [0.0, 1.0, 0.0]
