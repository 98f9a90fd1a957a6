import random

import pytest

from cloud.advise import BANDS, HIGHEST, LOWEST, Judged, Z, differs, draw_up
from cloud.config import AdviceConfig
from cloud.measures import wilson

CONFIG = AdviceConfig(min_looks=20, min_class_looks=10, min_pairs=3, target_error=0.05)


def many(count: int, said: str | None, is_: str | None, margin: float = 0.35) -> list[Judged]:
    return [Judged(said, margin, is_)] * count


def test_too_little_is_no_advice() -> None:
    assert draw_up([], CONFIG) is None
    assert draw_up(many(19, "a", "b"), CONFIG) is None


def test_confused_pairs_are_counted_worst_first() -> None:
    judged = [
        *many(30, "a", "a"), *many(5, "a", "b"), *many(9, "c", "a"), *many(2, "b", "c"),
        *many(4, "a", None), *many(4, None, "a"),
    ]  # fmt: skip
    body = draw_up(judged, CONFIG)
    assert body
    assert body.confused == (("c", "a", 9), ("a", "b", 5))
    assert body.based_on == len(judged)


def test_wanted_classes_are_those_in_errors_missed_ones_too() -> None:
    judged = [
        *many(100, "good", "good"), *many(5, "bad", "bad"), *many(15, "bad", "missed"),
        *many(200, "rare", "rare"), *many(3, "rare", "good"),
    ]  # fmt: skip
    body = draw_up(judged, CONFIG)
    assert body
    assert body.wanted == ("missed", "bad")


def test_threshold_lies_above_the_last_bad_band() -> None:
    judged = [
        *many(20, "a", "b", 0.12), *many(20, "a", "b", 0.55), *many(40, "a", "a", 0.75),
        *many(40, "b", "b", 0.95),
    ]  # fmt: skip
    body = draw_up(judged, CONFIG)
    assert body
    assert body.thresholds == {"a": 0.6}


def test_sure_answers_that_were_asked_about_for_another_reason_move_no_threshold() -> None:
    odd = [Judged("a", 0.95, "b", fair=False)] * 40
    body = draw_up([*odd, *many(40, "a", "a", 0.95)], CONFIG)
    assert body
    assert body.thresholds == {}
    assert body.confused == (("a", "b", 40),)
    assert "a" in body.wanted


def test_threshold_sinks_only_through_bands_that_are_proven_good() -> None:
    def good(label: str, *margins: float) -> list[Judged]:
        return [item for margin in margins for item in many(60, label, label, margin)]

    judged = [
        *good("all", 0.05, 0.15, 0.25, 0.35, 0.45),
        *good("half", 0.25, 0.35, 0.45),
        *good("gap", 0.05, 0.15, 0.25),
        *good("audited", 0.75, 0.85, 0.95),
        *many(10, "few", "few", 0.45),
    ]
    body = draw_up(judged, CONFIG)
    assert body
    assert body.thresholds == {"all": LOWEST, "half": 0.2}


def test_few_looks_of_a_class_move_nothing() -> None:
    body = draw_up([*many(9, "a", "b", 0.9), *many(20, "b", "b", 0.9)], CONFIG)
    assert body
    assert "a" not in body.thresholds


def test_full_margin_stays_within_bounds() -> None:
    body = draw_up(many(50, "a", "b", 1.0), CONFIG)
    assert body
    assert body.thresholds == {"a": HIGHEST}


def test_a_biased_sample_moves_no_threshold_by_itself() -> None:
    # Only uncertain looks are sent, as devices do; the error within each band is tolerable.
    rng = random.Random(7)
    judged = []
    for _ in range(3_000):
        margin = rng.random() * 0.5
        wrong = rng.random() < 0.02
        judged.append(Judged("a", margin, "b" if wrong else "a"))
    body = draw_up(judged, CONFIG)
    assert body
    assert body.thresholds.get("a", LOWEST) <= 1 / BANDS


def test_bands_found_are_those_that_err() -> None:
    rng = random.Random(11)
    hits = 0
    for _ in range(50):
        edge = rng.choice([0.2, 0.4, 0.6])
        judged = []
        for _ in range(800):
            margin = rng.random()
            wrong = rng.random() < (0.3 if margin < edge else 0.01)
            judged.append(Judged("a", margin, "b" if wrong else "a"))
        body = draw_up(judged, CONFIG)
        assert body
        hits += body.thresholds["a"] == pytest.approx(edge)
    assert hits >= 40


@pytest.mark.parametrize(("errors", "count"), [(0, 1), (0, 50), (3, 10), (10, 10), (500, 1_000)])
def test_wilson_surrounds_the_share(errors: int, count: int) -> None:
    low, high = wilson(errors, count, Z)
    assert 0 <= low <= errors / count <= high <= 1
    wide = wilson(errors, count, 2.5758)
    assert wide[0] <= low
    assert wide[1] >= high


def test_wilson_by_hand() -> None:
    # 10 of 50 at z = 1.96: (0.1124, 0.3304), as in Newcombe's tables.
    assert wilson(10, 50, 1.96) == pytest.approx((0.1124, 0.3304), abs=1e-3)
    assert wilson(0, 0, Z) == (0.0, 1.0)


def test_growing_counts_alone_are_no_news() -> None:
    base = [*many(20, "a", "b", 0.35), *many(40, "a", "a", 0.75), *many(40, "b", "b", 0.9)]
    first, second = draw_up(base, CONFIG), draw_up([*base, *base], CONFIG)
    other = draw_up([*base, *many(9, "b", "a", 0.9)], CONFIG)
    assert first
    assert second
    assert other
    assert not differs(second, first)
    assert differs(other, first)
