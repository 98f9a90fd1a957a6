import pytest

from cloud.config import LabelConfig
from cloud.label.answer import Answer, Failed, Failure, NoReply, Trouble
from cloud.label.rules import Done, Later, conclude

CONFIG = LabelConfig(min_confidence=0.6, max_attempts=4, retry_s=2, retry_cap_s=10)


def after(result: Answer | Failed | NoReply, attempts: int = 1, invalid: int = 0) -> Done | Later:
    return conclude(result, attempts, invalid, CONFIG)


def test_sure_answers_stand() -> None:
    assert after(Answer("label", "Stop", 0.6, "r")) == Done("label", "Stop", 0.6, "r")
    assert after(Answer("none", None, 0.9, "r")) == Done("none", None, 0.9, "r")


@pytest.mark.parametrize("outcome", ["label", "none"])
def test_unsure_answers_go_to_a_person(outcome: str) -> None:
    answer = (
        Answer("label", "Stop", 0.59, "r") if outcome == "label" else Answer("none", None, 0.1, "")
    )
    found = after(answer)
    assert isinstance(found, Done)
    assert (found.outcome, found.label) == ("person", None)


def test_unreadable_stands_however_unsure() -> None:
    assert after(Answer("unreadable", None, 0.0, "r")) == Done("unreadable", None, 0.0, "r")


def test_refusal_goes_to_a_person_at_once() -> None:
    for result in (Failed("refused", "no"), NoReply("refused", "policy")):
        found = after(result)
        assert isinstance(found, Done)
        assert found.outcome == "person"


@pytest.mark.parametrize("failure", ["off_list", "malformed", "truncated"])
def test_wrong_form_is_asked_once_more_then_a_person(failure: Failure) -> None:
    first = after(Failed(failure, "x"))
    assert first == Later(0.0, f"{failure}: x", counts=True, invalid=True)
    second = after(Failed(failure, "x"), attempts=2, invalid=1)
    assert isinstance(second, Done)
    assert second.outcome == "person"


@pytest.mark.parametrize(
    "trouble", ["rate_limited", "unreachable", "quota", "auth", "misconfigured"]
)
def test_what_is_no_looks_fault_never_counts(trouble: Trouble) -> None:
    found = after(NoReply(trouble, "x"), attempts=1_000)
    assert isinstance(found, Later)
    assert not found.counts
    assert 0 < found.pause_s <= CONFIG.retry_cap_s


def test_retry_after_is_obeyed() -> None:
    found = after(NoReply("rate_limited", "x", retry_after_s=7.5))
    assert isinstance(found, Later)
    assert (found.wait_s, found.pause_s) == (7.5, 7.5)


@pytest.mark.parametrize("trouble", ["timeout", "server_error", "bad_request"])
def test_failed_calls_back_off_and_end_with_a_person(trouble: Trouble) -> None:
    waits = []
    for attempts in (1, 2, 3):
        found = after(NoReply(trouble, "x"), attempts)
        assert isinstance(found, Later)
        assert found.counts
        waits.append(found.wait_s)
    assert waits == [2, 4, 8]
    last = after(NoReply(trouble, "x"), 4)
    assert isinstance(last, Done)
    assert last.outcome == "person"
