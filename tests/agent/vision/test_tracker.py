"""Predictions to sightings."""

import random

import numpy as np
import pytest

from agent.vision.tracker import Sighting, Tracked, Tracker
from agent.vision.types import Box, Frame, Image, Prediction, Region

PIXELS: Image = np.zeros((4, 4, 3), np.uint8)
LABELS = ("car", "truck", "person")
START = 1_700_000_000.0


def frame(number: int, at: float | None = None, still: bool = False) -> Frame:
    return Frame("cam", number, START + (number / 10 if at is None else at), PIXELS, still)


def seen(box: tuple[int, int, int, int], label: str = "car", score: float = 0.9) -> Prediction:
    scores = np.zeros(len(LABELS), np.float32)
    index = LABELS.index(label) if label else -1
    if label:
        scores[index] = score
    return Prediction(Region(Box(*box), score), index, label, score, score, 0.0, scores)


def tracker(**options: float | bool) -> Tracker:
    return Tracker(random.Random(7).randbytes, **options)  # type: ignore[arg-type]


def ids(tracked: Tracked) -> list[str]:
    return [s.sighting_id for _, s in tracked.pairs]


def walk(n: int, x: int = 0, step: int = 6) -> tuple[int, int, int, int]:
    return (x + step * n, 20, x + step * n + 30, 80)


def run(t: Tracker, frames: list[list[Prediction]], first: int = 0) -> list[Sighting]:
    """All sightings as they closed."""
    closed: list[Sighting] = []
    for n, predictions in enumerate(frames):
        closed += t.update(frame(first + n), predictions).closed
    return closed + list(t.flush())


def test_one_object_is_one_sighting_from_min_hits_on() -> None:
    t = tracker(min_hits=3)
    steps = [t.update(frame(n), [seen(walk(n))]) for n in range(5)]
    assert len({i for s in steps for i in ids(s)}) == 1
    assert [len(s.opened) for s in steps] == [0, 0, 1, 0, 0]
    assert [s.pairs[0][1].state for s in steps] == ["tentative"] * 2 + ["provisional"] * 3
    (last,) = t.flush()
    assert (last.frames, last.label, last.closed) == (5, "car", True)
    assert (last.first_seen, last.last_seen) == (START, START + 0.4)
    assert last.box == Box(*walk(4))


def test_ids_sort_by_time_and_differ() -> None:
    t = tracker()
    tracked = t.update(frame(0), [seen((0, 0, 20, 20)), seen((200, 200, 220, 220))])
    first, second = ids(tracked)
    assert first != second
    assert first[:12] == f"{int(START * 1000):012x}"


def test_misses_are_bridged_up_to_the_gap() -> None:
    t = tracker(max_gap_s=1.5, max_misses=4)
    for n in range(8):
        before = ids(t.update(frame(n), [seen(walk(n))]))
    for n in range(8, 20):
        assert not t.update(frame(n), []).closed
    assert ids(t.update(frame(20), [seen(walk(20))])) == before
    closed = [s for n in range(21, 50) for s in t.update(frame(n), []).closed]
    assert [s.sighting_id for s in closed] == before


def test_slow_cameras_are_bridged_by_frames() -> None:
    t = tracker(max_gap_s=1.5, max_misses=4)
    box = (10, 10, 60, 60)
    first = ids(t.update(frame(0, at=0.0), [seen(box)]))
    t.update(frame(1, at=30.0), [])
    assert ids(t.update(frame(2, at=60.0), [seen(box)])) == first


def test_an_approaching_sign_that_grows_stays_one() -> None:
    boxes = [(300 + 2 * n, 200 - n * n, 320 + 3 * n + n * n, 220 + n) for n in range(14)]
    assert len(run(tracker(), [[seen(b)] for b in boxes])) == 1


def test_two_persons_who_pass_each_other_stay_two() -> None:
    frames = [[seen(walk(n, 0, 8)), seen(walk(n, 240, -8))] for n in range(31)]
    closed = run(tracker(), frames)
    assert sorted(s.frames for s in closed) == [31, 31]
    assert sorted(s.box.x0 for s in closed) == [0, 240]


def test_one_object_with_two_classes_is_one_sighting_and_evidence_decides() -> None:
    frames = [[seen((0, 0, 50, 40), "car", 0.6), seen((2, 1, 52, 42), "truck", 0.8)]] * 3
    frames += [[seen((0, 0, 50, 40), "car", 0.9)]] * 2
    (only,) = run(tracker(), frames)
    assert only.label == "truck"
    assert only.score == pytest.approx(3 * 0.8 / 5)
    (only,) = run(tracker(), frames + [frames[-1]] * 2, first=100)
    assert only.label == "car"


def test_both_boxes_of_one_object_name_the_same_sighting() -> None:
    t = tracker()
    twice = [seen((0, 0, 50, 40), "car", 0.6), seen((2, 1, 52, 42), "truck", 0.8)]
    for n in range(3):
        tracked = t.update(frame(n), twice)
        assert len(set(ids(tracked))) == 1
        assert [p for p, _ in tracked.pairs] == twice


def test_a_half_hidden_object_keeps_its_sighting() -> None:
    t = tracker()
    left, right = (0, 0, 40, 100), (100, 0, 140, 100)
    for n in range(4):
        first = ids(t.update(frame(n), [seen(left, "person"), seen(right, "person", 0.8)]))
    for n in range(4, 14):  # the second walks behind the first
        x = 100 - 8 * (n - 3)
        boxes = [seen(left, "person"), seen((x, 0, x + 40, 100), "person", 0.5)]
        assert ids(t.update(frame(n), boxes)) == first


def test_weak_boxes_are_no_sighting_but_continue_one() -> None:
    weak = [[seen((0, 0, 40, 40), score=0.4)]] * 10
    assert run(tracker(min_margin=0.6), weak) == []
    (sure,) = run(tracker(min_margin=0.6), [*weak, [seen((0, 0, 40, 40), score=0.7)], *weak])
    assert (sure.frames, sure.margin) == (21, 0.7)
    assert run(tracker(min_margin=0.6, min_score=0.5), [*weak, *weak[:1]]) == []


def test_what_is_nothing_of_the_profile_is_tracked_but_no_sighting() -> None:
    t = tracker()
    steps = [t.update(frame(n), [seen((0, 0, 40, 40), "")]) for n in range(5)]
    assert len({ids(s)[0] for s in steps}) == 1
    assert not any(s.opened or s.closed for s in steps)
    assert t.flush() == ()


def test_each_prediction_of_a_still_is_a_sighting_of_its_own() -> None:
    t = tracker(min_hits=5)
    same = [seen((0, 0, 40, 40)), seen((1, 1, 41, 41))]
    ours = []
    for n in range(3):
        tracked = t.update(frame(n, still=True), same)
        assert len(tracked.opened) == len(tracked.closed) == 2
        ours += ids(tracked)
    assert len(set(ours)) == 6
    assert t.flush() == ()


def test_a_source_opened_anew_ends_what_was_tracked() -> None:
    t = tracker()
    first = [t.update(frame(n), [seen((0, 0, 40, 40))]) for n in range(3)]
    again = t.update(frame(0, at=1.0), [seen((0, 0, 40, 40))])
    assert [s.sighting_id for s in again.closed] == ids(first[0])
    assert ids(again) != ids(first[0])


def test_fixed_regions_start_a_new_sighting_with_a_new_class() -> None:
    frames = [[seen((0, 0, 99, 99), "car")]] * 4
    frames += [[seen((0, 0, 99, 99), "truck")]] * 1 + frames  # one frame is a flicker
    frames += [[seen((0, 0, 99, 99), "person")]] * 4
    closed = run(tracker(fixed=True), frames)
    assert [s.label for s in closed] == ["car", "person"]


def test_a_switched_model_with_other_classes_is_survived() -> None:
    t = tracker()
    t.update(frame(0), [seen((0, 0, 40, 40))])
    other = Prediction(
        Region(Box(0, 0, 40, 40)), 6, "stop", 0.9, 0.9, 0.0, np.eye(7, dtype=np.float32)[6] * 0.9
    )
    sighting = t.update(frame(1), [other]).pairs[0][1]
    assert (sighting.label, round(sighting.score, 3)) == ("stop", 0.9)


def test_memory_is_bounded() -> None:
    t = tracker(max_tracks=8, max_gap_s=1e9)
    for n in range(50):
        t.update(frame(n), [seen((100 * n, 0, 100 * n + 20, 20))])
    assert len(t._tracks) == 8


def test_a_clock_that_steps_back_does_no_harm() -> None:
    t = tracker()
    first = ids(t.update(frame(0, at=100.0), [seen((0, 0, 40, 40))]))
    assert ids(t.update(frame(1, at=-5000.0), [seen((3, 0, 43, 40))])) == first
