import json
import random
from typing import Any

import pytest

from cloud.label.answer import Answer, Failed, Usage, read_answer, read_completion
from tests.llm_server import completion, scripted

LABELS = frozenset({"Stop", "Yield"})


def form(**changes: Any) -> str:
    return json.dumps({"label": "Stop", "confidence": 0.9, "reason": "red octagon", **changes})


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (form(), Answer("label", "Stop", 0.9, "red octagon")),
        (form(label="none-of-these"), Answer("none", None, 0.9, "red octagon")),
        (form(label="unreadable", confidence=0), Answer("unreadable", None, 0.0, "red octagon")),
        (form(extra="field"), Answer("label", "Stop", 0.9, "red octagon")),
        (
            form(reason="a\n\x1b[31mb" + "c" * 500),
            Answer("label", "Stop", 0.9, "a  [31mb" + "c" * 192),
        ),
    ],
)  # fmt: skip
def test_good_answers(content: str, answer: Answer) -> None:
    assert read_answer(content, LABELS) == answer


@pytest.mark.parametrize(
    ("content", "failure"),
    [
        (form(label="stop"), "off_list"),  # the wrong case is another label
        (form(label="Stop "), "off_list"),
        (form(label="a purple elephant"), "off_list"),
        (form(label=["Stop"]), "malformed"),
        (form(label="x" * 300), "malformed"),
        (form(confidence=7), "malformed"),
        (form(confidence=-0.1), "malformed"),
        (form(confidence=None), "malformed"),
        ('{"label": "Stop", "confidence": NaN, "reason": ""}', "malformed"),
        ('{"label": "Stop"}', "malformed"),
        ("It is a stop sign.", "malformed"),
        ("", "malformed"),
        ("[" * 100_000, "malformed"),
        (None, "malformed"),
        (17, "malformed"),
    ],
)
def test_bad_answers_have_names(content: object, failure: str) -> None:
    found = read_answer(content, LABELS)
    assert isinstance(found, Failed)
    assert found.failure == failure


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("refusal", "refused"),
        ("content_filter", "refused"),
        ("off_list", "off_list"),
        ("malformed", "malformed"),
        ("confidence_7", "malformed"),
        ("truncated", "truncated"),
        ("html", "malformed"),
        ("no_choices", "malformed"),
        ("huge", "malformed"),
    ],
)
def test_bad_completions_have_names(name: str, failure: str) -> None:
    found, _ = read_completion(scripted(name)[2], LABELS)
    assert isinstance(found, Failed)
    assert found.failure == failure


def test_usage_is_read_even_from_refusals() -> None:
    assert read_completion(scripted("refusal")[2], LABELS)[1] == Usage(1_000, 20)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -5}, {"prompt_tokens": "many"}, 3])
def test_usage_that_cannot_be_is_unknown(usage: object) -> None:
    body = json.loads(completion(form()))
    found, billed = read_completion(json.dumps({**body, "usage": usage}).encode(), LABELS)
    assert found == Answer("label", "Stop", 0.9, "red octagon")
    assert billed == Usage()


def test_noise_never_raises() -> None:
    rng = random.Random(47)
    whole = completion(form())
    for _ in range(20_000):
        body = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(body))
            body[at : at + rng.randint(0, 3)] = rng.choice(
                [b"null", b"{}", b"[]", b'"', b"1e999", b"\xff", b"\\ud800", b"-1", b""]
            )
        found, _ = read_completion(bytes(body), LABELS)
        assert isinstance(found, Answer | Failed)
        assert not isinstance(found, Answer) or found.label in {None, *LABELS}
