"""What the bench of labels draws, spends and reckons; its figures are no test's business."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.label_efficiency import goals, table
from bench.labels.arms import ARMS, DEDUPE, OURS, RANDOM, Run, World, run_all
from bench.labels.features import Embedded, Seen
from bench.labels.figures import kendall, label_ratio, labels_to, leads
from bench.labels.head import learn
from bench.labels.stream import Field, Place, Plan, draw_field, label_of, places_of
from cloud.annotations import Sample
from cloud.data import read_folder

CLASSES = 6
PLAN = Plan(days=3, labels=8, route=8, fresh=14, frames=3, held_out=2, first_frames=3)


def places() -> tuple[Place, ...]:
    return places_of(
        Sample(f"{c}/{t:02}_{f:02}.png", c, track=f"{t:02}")
        for c in range(CLASSES)
        for t in range(20)
        for f in range(30)
    )


def keys(field: Field, of: set[int]) -> set[tuple[int, str]]:
    return {field.places[place].key for place in of}


def seen(truth: list[int], of: list[int], rng: np.random.Generator) -> Seen:
    """Frames of classes that lie apart, some of them between two."""
    middles = 3 * np.eye(CLASSES, 12, dtype=np.float32)
    features = middles[truth] + rng.standard_normal((len(truth), 12), np.float32)
    count = len(truth)
    return Seen(
        features, np.empty((count, 0, 12), np.float32), np.array(truth), np.array(of),
        np.full(count, 40), np.ones(count, np.float32),
        rng.integers(0, 2**63, count).astype(np.uint64),
    )  # fmt: skip


def world(seed: int = 1, plan: Plan = PLAN) -> World:
    field = draw_field(places(), plan, seed)
    rng = np.random.default_rng(seed)
    parts = [
        seen(
            [field.places[s.place].index for s in sightings for _ in s.frames],
            [n for n, s in enumerate(sightings) for _ in s.frames],
            rng,
        )
        for sightings in (field.stream, field.test)
    ]
    own = [int(p) for p in np.repeat(field.first, plan.first_frames)]
    first = seen([field.places[p].index for p in own], own, rng)
    return World(plan, seed, field, Embedded(first, *parts), CLASSES)


def test_first_set_stream_and_test_share_no_track() -> None:
    field = draw_field(places(), PLAN, 1)
    parts = [
        set(field.first.tolist()),
        {s.place for s in field.stream},
        {s.place for s in field.test},
    ]
    for n, part in enumerate(parts):
        assert part
        for other in parts[n + 1 :]:
            assert not keys(field, part) & keys(field, other)


def test_held_out_classes_are_new_in_the_field_and_the_weather_comes_in_blocks() -> None:
    field = draw_field(places(), PLAN, 1)
    assert len(field.held_out) == 2
    assert not {field.places[p].index for p in field.first} & set(field.held_out)
    assert set(field.held_out) <= {field.places[s.place].index for s in field.stream}
    assert [(s.day, s.at) for s in field.stream] == sorted((s.day, s.at) for s in field.stream)
    kinds = {s.weather[0] if s.weather else "clear" for s in field.stream}
    assert {"clear", "night", "motion", "rain", "fog"} == kinds
    assert all(s.weather and s.weather[0] == "night" for s in field.stream if s.at > 0.85)


def test_how_long_something_stays_changes_nothing_else() -> None:
    long, short = (
        draw_field(places(), plan, 1)
        for plan in (PLAN, replace(PLAN, stand_share=0.0, stop_frames=0.0))
    )
    assert max(sum(s.dwell) for s in short.stream) == 30
    assert max(sum(s.dwell) for s in long.stream) > 300
    assert [replace(s, dwell=()) for s in long.stream] == [
        replace(s, dwell=()) for s in short.stream
    ]


def test_a_seed_draws_the_same_and_another_does_not() -> None:
    one, again, other = (draw_field(places(), PLAN, seed) for seed in (1, 1, 2))
    assert one.stream == again.stream
    assert one.test == again.test
    assert one.stream != other.stream


def test_the_labeller_errs_at_the_stated_rate_and_always_alike() -> None:
    said = [label_of(3, 1, str(n), 43, 0.07) for n in range(4_000)]
    wrong = [label for label in said if label != 3]
    assert 0.05 < len(wrong) / len(said) < 0.09
    assert sum(label <= 8 for label in wrong) > len(wrong) / 2
    assert said[:50] == [label_of(3, 1, str(n), 43, 0.07) for n in range(50)]
    assert label_of(3, 1, "a", 43, 0.0) == 3


def test_all_arms_spend_the_same_each_day_and_nothing_twice() -> None:
    runs = run_all(world(), tuple(ARMS))
    spent = runs[OURS].labels
    assert spent[-1] > PLAN.labels
    for arm, run in runs.items():
        assert run.labels.tolist() == spent.tolist(), arm
        assert len(set(run.rows.tolist())) == len(run.rows) == spent[-1], arm


def test_the_budget_bounds_what_ours_spends() -> None:
    spent = run_all(world(), (OURS,))[OURS].labels
    assert spent[-1] <= PLAN.days * PLAN.labels + math.ceil(PLAN.labels / 4)


def test_the_same_seed_gives_the_same_figures() -> None:
    one, again = (run_all(world(), (OURS, RANDOM, DEDUPE)) for _ in range(2))
    for arm, run in one.items():
        assert run.rows.tolist() == again[arm].rows.tolist()
        assert run.accuracy.tolist() == again[arm].accuracy.tolist()
    told = goals([one]), table([one])
    assert told == (goals([again]), table([again]))


def run(*accuracy: float, step: int = 10) -> Run:
    figures = np.array(accuracy, np.float32)
    labels = np.arange(len(accuracy)) * step
    return Run(labels, figures, figures, figures, np.empty(0, np.int64), {})


def test_labels_to_a_target_are_interpolated_and_never_reached_is_infinite() -> None:
    labels, accuracy = np.array([0.0, 10.0, 20.0]), np.array([0.5, 0.6, 0.8])
    assert labels_to(labels, accuracy, 0.5) == 0
    assert labels_to(labels, accuracy, 0.7) == pytest.approx(15)
    assert labels_to(labels, accuracy, 0.81) == math.inf


def test_ratio_and_lead_have_intervals_over_seeds() -> None:
    slow, fast = run(0.5, 0.6, 0.7), run(0.5, 0.7, 0.8)
    same = [{"a": fast, "b": slow}] * 3
    found = label_ratio(same, "a", "b")
    assert (found.low, found.value, found.high) == pytest.approx((0.5, 0.5, 0.5))
    mixed = [*same, {"a": slow, "b": slow}]
    wide = label_ratio(mixed, "a", "b")
    assert wide.low == pytest.approx(0.5)
    assert wide.low < wide.value < wide.high <= 1.0
    assert [lead.value for lead in leads(mixed, "a", "b")] == pytest.approx([0.075, 0.075])
    never = goals([{OURS: slow, RANDOM: fast, DEDUPE: fast}])
    assert "Infinity" not in json.dumps(never)
    assert label_ratio([{"a": slow, "b": fast}], "a", "b").as_json()["value"] is None


def test_kendall_counts_pairs_in_order() -> None:
    assert kendall([1, 2, 3, 4], [10, 20, 30, 40]) == 1
    assert kendall([1, 2, 3, 4], [4, 3, 2, 1]) == -1
    assert kendall([1, 2, 3], [1, 3, 2]) == pytest.approx(1 / 3)


def test_the_head_learns_and_never_says_a_class_without_labels() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 90)
    features = (4 * np.eye(3, 5)[labels] + rng.standard_normal((90, 5))).astype(np.float32)
    said = learn(features, labels, np.ones(90, np.float32), 4).scores(features)
    assert (said.argmax(axis=1) == labels).mean() > 0.9
    assert said[:, 3].max() < 0.01


@pytest.mark.data
def test_real_tracks_make_a_field(data_dir: Path) -> None:
    field = draw_field(places_of(read_folder(data_dir / "gtsrb").samples), Plan(), 5)
    assert len(field.places) == 1_307
    assert len(field.stream) == Plan().days * (2 * Plan().route + Plan().fresh)
    assert not {s.place for s in field.stream} & {s.place for s in field.test}
