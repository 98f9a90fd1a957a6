import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.measures import Interval, auroc, best_share, bootstrap, share_caught

ITEMS = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40)


def columns(
    items: list[tuple[int, bool]],
) -> tuple[
    np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.bool_]]
]:
    return np.array([s for s, _ in items], float), np.array([p for _, p in items], bool)


def test_auroc_by_hand() -> None:
    # Pairs of (positive, negative): 4 > 1, 4 > 3, 2 > 1, 2 < 3: three of four are in order.
    scores = np.array([4.0, 1.0, 2.0, 3.0])
    positive = np.array([True, False, True, False])
    assert auroc(scores, positive) == 0.75
    # One tie counts half: 2 = 2 and 2 > 1.
    assert auroc(np.array([2.0, 2.0, 1.0]), np.array([True, False, False])) == 0.75
    assert auroc(np.zeros(6), np.arange(6) < 2) == 0.5
    assert auroc(scores, np.ones(4, bool)) is None
    assert auroc(scores, np.zeros(4, bool)) is None


@given(ITEMS)
def test_auroc_is_the_share_of_pairs_in_order(items: list[tuple[int, bool]]) -> None:
    scores, positive = columns(items)
    pairs = [
        (p > n) + (p == n) / 2 for p in scores[positive] for n in scores[~positive]
    ]  # fmt: skip
    found = auroc(scores, positive)
    if not pairs:
        assert found is None
        return
    assert found == pytest.approx(float(np.mean(pairs)))
    # Only the order counts, and turning it round turns the area round.
    assert auroc(np.exp(scores / 3), positive) == pytest.approx(found)
    assert found is not None
    assert auroc(-scores, positive) == pytest.approx(1 - found)


def test_share_caught_by_hand() -> None:
    doubt = np.array([0.9, 0.1, 0.8, 0.3, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0])
    wrong = np.array([1, 0, 0, 1, 0, 0, 0, 0, 0, 0], bool)
    assert share_caught(doubt, wrong, 0.1) == 0.5
    assert share_caught(doubt, wrong, 0.2) == 0.5
    assert share_caught(doubt, wrong, 0.3) == 1.0
    # Half of the item that the limit cuts counts half.
    assert share_caught(doubt, wrong, 0.25) == 0.75
    assert share_caught(doubt, np.zeros(10, bool), 0.5) is None
    # All alike: chance catches its share, whatever the order.
    assert share_caught(np.zeros(10), wrong, 0.3) == pytest.approx(0.3)


@given(ITEMS, st.floats(0, 1))
def test_share_caught_grows_and_knows_no_order(items: list[tuple[int, bool]], share: float) -> None:
    doubt, wrong = columns(items)
    caught = share_caught(doubt, wrong, share)
    if caught is None:
        assert not wrong.any()
        return
    assert share_caught(doubt[::-1], wrong[::-1], share) == pytest.approx(caught)
    assert share_caught(doubt, wrong, min(1.0, share + 0.1)) >= caught - 1e-12  # type: ignore[operator]
    assert share_caught(doubt, wrong, 1.0) == pytest.approx(1.0)
    assert caught <= best_share(float(wrong.mean()), share) + 1e-12
    perfect = share_caught(wrong.astype(float), wrong, share)
    assert perfect == pytest.approx(best_share(float(wrong.mean()), share))


def test_best_share_by_hand() -> None:
    assert best_share(0.1, 0.05) == 0.5
    assert best_share(0.05, 0.05) == 1.0
    assert best_share(0.0, 0.05) == 1.0


def test_an_interval_draws_whole_groups() -> None:
    # Two tracks of fifty alike images: a resample has 0, 50 or 100 right ones, nothing between.
    right = np.repeat([0.0, 1.0], 50)
    seen: set[float] = set()

    def mean(drawn: np.ndarray[tuple[int, ...], np.dtype[np.intp]]) -> float:
        seen.add(float(right[drawn].mean()))
        return float(right[drawn].mean())

    assert bootstrap(["a"] * 50 + ["b"] * 50, mean) == Interval(0.0, 1.0)
    assert seen == {0.0, 0.5, 1.0}
    # One by one, the same hundred are far surer: 0.5 +- 1.96 * 0.05.
    alone = bootstrap(range(100), lambda drawn: float(right[drawn].mean()))
    assert alone is not None
    assert alone.low == pytest.approx(0.4, abs=0.02)
    assert alone.high == pytest.approx(0.6, abs=0.02)


def test_groups_of_unlike_size_are_drawn_whole_and_in_any_order() -> None:
    groups = ["a", "b", "a", "c", "c", "c"]
    members = {"a": [0, 2], "b": [1], "c": [3, 4, 5]}

    def check(drawn: np.ndarray[tuple[int, ...], np.dtype[np.intp]]) -> float:
        counts = np.bincount(drawn, minlength=6)
        for group in members.values():
            assert len(set(counts[group])) == 1
        assert sum(counts[m[0]] for m in members.values()) == 3
        return 0.0

    assert bootstrap(groups, check, resamples=50) == Interval(0.0, 0.0)


def test_an_interval_is_seeded_and_leaves_out_what_is_undefined() -> None:
    values = np.arange(30.0)
    first = bootstrap(range(30), lambda drawn: float(values[drawn].mean()))
    assert first == bootstrap(range(30), lambda drawn: float(values[drawn].mean()))
    assert first != bootstrap(range(30), lambda drawn: float(values[drawn].mean()), seed=2)
    assert bootstrap(range(30), lambda _: None) is None
    sometimes = bootstrap([0, 1], lambda drawn: 1.0 if (drawn == 0).any() else None)
    assert sometimes == Interval(1.0, 1.0)
