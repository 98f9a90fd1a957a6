from dataclasses import replace

from agent.held import BETTER, MOST, View, Views, merit
from agent.worth import Signals
from tests.makers import an_id, look

SURE = Signals(margin=1.0, entropy=0.0, strange=0.0, disagree=0.0, band=0.0, novelty=1.0, need=0.0)


def view(n: int = 0, value: float = 1.0) -> View:
    return View(look(sighting_id=an_id(n)), "Stop", 0, value, SURE)


def test_a_view_gives_way_to_a_clearly_better_one_only() -> None:
    views = Views()
    assert views.betters(an_id(0), 0.0)
    views.hold(view(value=1.0), 0.0)
    assert not views.betters(an_id(0), BETTER)
    assert views.betters(an_id(0), BETTER + 0.01)
    assert views.betters(an_id(1), 0.01)
    views.hold(view(value=2.0), 5.0)
    assert [v.merit for v in views.due({an_id(0)}, 5.0, 60.0)] == [2.0]
    assert not views


def test_the_wait_begins_with_the_first_view_held() -> None:
    views = Views()
    views.hold(view(value=1.0), 10.0)
    views.hold(view(value=2.0), 11.9)
    assert views.due((), 11.9, 2.0) == []
    assert an_id(0) in views
    assert [v.merit for v in views.due((), 12.0, 2.0)] == [2.0]


def test_a_closed_sighting_waits_no_longer_and_leaves_the_others() -> None:
    views = Views()
    for n in range(3):
        views.hold(view(n), 0.0)
    assert [v.sighting_id for v in views.due({an_id(1)}, 0.1, 2.0)] == [an_id(1)]
    assert len(views) == 2


def test_no_wait_holds_nothing() -> None:
    views = Views()
    views.hold(view(), 3.0)
    assert len(views.due((), 3.0, 0.0)) == 1


def test_memory_is_bounded_and_the_oldest_goes_first_not_away() -> None:
    views = Views()
    for n in range(MOST + 3):
        views.hold(view(n), n / 1_000)
    due = views.due((), 0.1, 60.0)
    assert [v.sighting_id for v in due] == [an_id(n) for n in range(3)]
    assert len(views) == MOST


def test_merit_rises_with_sharpness_and_size() -> None:
    assert merit(2.0, 40) > merit(1.0, 40)
    assert merit(1.0, 50) > merit(1.0, 40)
    assert merit(1.0, 64) == merit(1.0, 500)


def test_a_view_knows_its_sighting() -> None:
    one = view(7)
    assert one.sighting_id == an_id(7)
    assert replace(one, merit=2.0).look is one.look
