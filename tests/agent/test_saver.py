import shutil
from pathlib import Path
from typing import Any, cast

from agent.contract.errors import UnavailableError
from agent.counters import Counters
from agent.notebook import Notebook
from agent.saver import FILLED_S, MEMORY_S, SPENT_S, Saver
from tests.makers import FakeClock


class Asking:
    """What a saver sees of a pipeline."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.levels: tuple[float, float, None] = (1.0, 2.0, None)
        self.memory = {"bar": [0.5]}


class Book:
    """Counts what is written."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []
        self.jotted: list[dict[str, Any]] = []
        self.full = False

    def remember(self, **facts: Any) -> None:
        if self.full:
            raise UnavailableError("disk full")
        self.written.append(facts)

    def jot(self, **facts: Any) -> None:
        if self.full:
            raise UnavailableError("disk full")
        self.jotted.append(facts)


def made() -> tuple[Saver, Asking, Book, FakeClock]:
    asking, book, clock = Asking(), Book(), FakeClock()
    return Saver(cast("Any", asking), cast("Any", book), clock), asking, book, clock


def test_nothing_asked_is_hardly_ever_written() -> None:
    saver, _, book, clock = made()
    for _ in range(int(FILLED_S)):
        saver.step()
        clock.pass_(1.0)
    assert not book.written
    saver.step()
    assert book.written == [{"budget": (1.0, 2.0, None)}]


def test_what_was_spent_is_soon_on_disk_and_its_memory_later() -> None:
    saver, asking, book, clock = made()
    for _ in range(int(MEMORY_S / SPENT_S) + 1):
        asking.counters.kept += 1
        saver.step()
        clock.pass_(SPENT_S)
    assert len(book.written) == MEMORY_S / SPENT_S
    assert ["asked" in facts for facts in book.written].count(True) == 1
    assert "asked" in book.written[-1]


def test_what_was_spent_is_written_at_once_and_only_then() -> None:
    saver, asking, book, clock = made()
    for step in range(20):
        asking.counters.kept += step in (2, 5)
        saver.step()
        assert len(book.jotted) == (step >= 2) + (step >= 5)
        clock.pass_(0.5)
    assert not book.written, "nothing was synced yet"
    assert book.jotted == [{"budget": (1.0, 2.0, None)}] * 2


def test_at_the_end_all_is_written() -> None:
    saver, _, book, _ = made()
    saver.save()
    assert book.written == [{"budget": (1.0, 2.0, None), "asked": {"bar": [0.5]}}]


def test_a_full_disk_is_tried_again() -> None:
    saver, asking, book, clock = made()
    book.full = True
    asking.counters.kept = 1
    clock.pass_(SPENT_S)
    saver.step()
    book.full = False
    saver.step()
    assert len(book.written) == 1


def test_a_crash_loop_spends_no_more_than_the_budget(tmp_path: Path) -> None:
    # Each life is killed half a second after its last look: it leaves what was jotted.
    asked = 0
    for life in range(6):
        notebook, clock = Notebook(tmp_path / "live"), FakeClock()
        left = (notebook.fact("budget") or [5.0])[0]
        asking = Asking()
        saver = Saver(cast("Any", asking), notebook, clock)
        for _ in range(3):
            if left >= 1.0:
                left, asked = left - 1.0, asked + 1
                asking.counters.kept += 1
                asking.levels = (left, 0.0, None)
            saver.step()
            clock.pass_(0.5)
        shutil.copytree(tmp_path / "live", tmp_path / f"killed-{life}")
        notebook.close()
        shutil.rmtree(tmp_path / "live")
        (tmp_path / f"killed-{life}").rename(tmp_path / "live")
    assert asked == 5


def test_a_notebook_takes_it(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path)
    Saver(cast("Any", Asking()), notebook, FakeClock()).save()
    assert notebook.fact("budget") == [1.0, 2.0, None]
    assert notebook.fact("asked") == {"bar": [0.5]}
    notebook.close()
