from dataclasses import replace
from pathlib import Path

import pytest

from agent.contract.errors import BadContentError
from agent.contract.messages import Outcome, Verdict
from agent.notebook import Note, Notebook, judged
from tests.makers import NOW, an_id

NOTE = Note(
    an_id(1), "front", "provisional", "Stop", None, 0.6, NOW, NOW + 1, 5, (1, 2, 3, 4), "m1"
)


def verdict(outcome: Outcome, label: str | None, sighting: str = NOTE.sighting_id) -> Verdict:
    return Verdict(
        look_id=an_id(2), sighting_id=sighting, camera="front", captured_at=NOW,
        device_label="Stop", outcome=outcome, label=label, confidence=0.9,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "label", "state", "after"),
    [
        ("label", "Stop", "confirmed", "Stop"),
        ("label", "Yield", "revised", "Yield"),
        ("none", None, "revised", None),
        ("unreadable", None, "provisional", "Stop"),
        ("person", None, "provisional", "Stop"),
        ("rejected", None, "provisional", "Stop"),
    ],
)
def test_what_a_verdict_makes_of_a_sighting(
    outcome: Outcome, label: str | None, state: str, after: str | None
) -> None:
    note = judged(NOTE, verdict(outcome, label))
    assert (note.state, note.label) == (state, after)
    assert note.was == ("Stop" if state == "revised" else None)


def test_a_second_verdict_that_agrees_keeps_a_revision() -> None:
    revised = judged(NOTE, verdict("label", "Yield"))
    assert judged(revised, verdict("label", "Yield")) == revised


def test_events_wait_in_the_outbox_until_published(tmp_path: Path) -> None:
    book = Notebook(tmp_path)
    book.note([NOTE])
    assert book.outbox(10) == [NOTE]
    book.published([NOTE])
    assert book.outbox(10) == []
    book.note([replace(NOTE, frames=9)])
    assert book.outbox(10) == []
    book.note([replace(NOTE, label="Yield")])
    assert [n.label for n in book.outbox(10)] == ["Yield"]
    book.close()


def test_an_event_that_changed_while_it_was_sent_is_sent_again(tmp_path: Path) -> None:
    book = Notebook(tmp_path)
    book.note([NOTE])
    book.apply(5, [verdict("label", "Yield")])
    book.published([NOTE])
    assert [n.state for n in book.outbox(10)] == ["revised"]
    book.close()


def test_verdict_and_its_sequence_are_applied_together_and_survive(tmp_path: Path) -> None:
    book = Notebook(tmp_path)
    book.note([NOTE])
    changed = book.apply(77, [verdict("label", "Yield"), verdict("person", None)])
    assert [n.state for n in changed] == ["revised"]
    book.note([replace(NOTE, frames=50, label="Stop")])
    book.close()
    again = Notebook(tmp_path)
    assert again.fact("verdict_seq") == 77
    assert [(n.label, n.was, n.frames) for n in again.latest(5)] == [("Yield", "Stop", 50)]
    again.close()


def test_a_verdict_for_what_was_no_sighting_makes_none(tmp_path: Path) -> None:
    book = Notebook(tmp_path)
    assert book.apply(1, [verdict("label", "Yield", an_id(9))]) == []
    assert book.outbox(5) == []
    assert book.fact("verdict_seq") == 1
    book.close()


def test_verdicts_of_one_batch_build_on_each_other(tmp_path: Path) -> None:
    book = Notebook(tmp_path)
    book.note([NOTE])
    changed = book.apply(2, [verdict("label", "Yield"), verdict("none", None)])
    assert [(n.label, n.was) for n in changed] == [("Yield", "Stop"), (None, "Yield")]
    assert [n.label for n in book.outbox(5)] == [None]
    book.close()


def test_a_newer_notebook_is_refused(tmp_path: Path) -> None:
    book = Notebook(tmp_path)
    book._db.execute("PRAGMA user_version=99")
    book.close()
    with pytest.raises(BadContentError, match="newer"):
        Notebook(tmp_path)


def test_a_damaged_notebook_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "notebook.db").write_bytes(b"garbage" * 500)
    with pytest.raises(BadContentError, match="move it away"):
        Notebook(tmp_path)
