import json

import pytest

from agent.asked import LEAST, MOST, Asked

ALL = 2**64 - 1


@pytest.mark.parametrize(
    ("bits", "label", "novelty"),
    [
        (0, "Stop", 0.0),
        (6, "Stop", 0.0),
        (7, "Stop", LEAST + (1 - LEAST) / 14),
        (20, "Stop", 1.0),
        (2, "Yield", 0.0),
        (3, "Yield", 1.0),
        (64, "Stop", 1.0),
    ],
)
def test_novelty_by_answer_and_distance(bits: int, label: str, novelty: float) -> None:
    asked = Asked(((0, "Stop"),))
    assert asked.novelty(2**bits - 1, label, 6) == pytest.approx(novelty)


def test_nothing_asked_is_all_new() -> None:
    assert Asked().novelty(0, "Stop", 6) == 1.0


def test_the_nearest_counts() -> None:
    asked = Asked(((ALL, "Stop"), (0b1111_1111, "Stop")))
    assert LEAST < asked.novelty(0, "Stop", 6) < 0.5


def test_no_bits_let_all_but_the_same_pass() -> None:
    asked = Asked(((0, "Stop"),))
    assert asked.novelty(0, "Stop", 0) == 0.0
    assert asked.novelty(1, "Stop", 0) > 0.0
    assert Asked(((0, "Stop"),)).novelty(2**21 - 1, "Stop", 32) == 0.0


def test_need_falls_with_every_question_unless_advice_wants_the_class() -> None:
    asked = Asked()
    needs = []
    for _ in range(3):
        needs.append(asked.need("Stop", frozenset()))
        asked = asked.after(0, "Stop")
    assert needs == [0.5, 0.25, pytest.approx(0.5 / 3)]
    assert asked.need("Yield", frozenset()) == 0.5
    assert asked.need("Stop", frozenset({"Stop"})) == 1.0


def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    asked = Asked()
    for n in range(MOST + 10):
        asked = asked.after(n, "Stop")
    assert [known for known, _ in asked.views] == list(range(10, MOST + 10))


def test_saved_and_restored_as_json() -> None:
    asked = Asked(((0, "Stop"), (ALL, ""), (7, "Stop")))
    assert Asked.restored(json.loads(json.dumps(asked.as_saved()))) == asked


@pytest.mark.parametrize(
    "saved",
    [None, [], 5, {}, {"labels": ["a"], "of": [3], "hashes": "0" * 16},
     {"labels": ["a"], "of": [0], "hashes": "zz"}],
)  # fmt: skip
def test_what_cannot_be_read_is_forgotten(saved: object) -> None:
    assert Asked.restored(saved) == Asked()
