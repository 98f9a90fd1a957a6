from agent.camera.pace import Pacer


def test_frames_that_come_faster_wait_for_their_place() -> None:
    pacer = Pacer(10)
    now, waits = 5.0, []
    for _ in range(4):
        waits.append(round(pacer.delay(now), 6))
        now += waits[-1] + 0.03
    assert waits == [0.0, 0.07, 0.07, 0.07]


def test_lost_time_is_not_made_up_for() -> None:
    pacer = Pacer(10)
    pacer.delay(0.0)
    assert pacer.delay(60.0) == 0.0
    assert round(pacer.delay(60.0), 6) == 0.1


def test_due_lets_so_many_pass() -> None:
    pacer = Pacer(10)
    passed = [t for t in range(300) if pacer.due(t / 30 + 1e-9)]
    assert 99 <= len(passed) <= 101


def test_no_limit() -> None:
    pacer = Pacer(0)
    assert all(pacer.due(1.0) for _ in range(5))
    assert pacer.delay(1.0) == 0.0
