import threading
from collections import Counter

import numpy as np

from agent.camera.mailbox import DEPTH, Mailbox
from agent.vision.types import Frame

IMAGE = np.zeros((2, 2, 3), np.uint8)


def frame(number: int, camera: str = "a") -> Frame:
    return Frame(camera, number, 0.0, IMAGE)


def test_the_newest_live_frame_wins_and_the_lost_are_counted() -> None:
    box = Mailbox()
    for i in range(5):
        assert box.put(frame(i), live=True)
    taken = box.take(0)
    assert taken is not None
    assert taken.number == 4
    assert box.overwritten == 4
    assert box.take(0) is None


def test_every_frame_of_a_file_arrives_in_order() -> None:
    box = Mailbox()

    def write() -> None:
        for i in range(200):
            assert box.put(frame(i), live=False, timeout_s=10)

    writer = threading.Thread(target=write)
    writer.start()
    numbers = []
    for _ in range(200):
        taken = box.take(10)
        assert taken is not None
        numbers.append(taken.number)
        box.done(taken)
    writer.join()
    assert numbers == list(range(200))
    assert box.overwritten == 0
    assert box.idle


def test_a_full_slot_turns_the_writer_away() -> None:
    box = Mailbox()
    assert all(box.put(frame(i), live=False, timeout_s=0) for i in range(DEPTH))
    assert not box.put(frame(99), live=False, timeout_s=0)
    box.take(0)
    assert box.put(frame(99), live=False, timeout_s=0)


def test_cameras_take_turns() -> None:
    box = Mailbox()
    order = []
    for i in range(DEPTH):
        box.put(frame(i, "busy"), live=False)
    box.put(frame(0, "calm"), live=True)
    for i in range(12):
        taken = box.take(0)
        assert taken is not None
        order.append(taken.camera)
        # The busy one is always full, the calm one has one frame each time.
        box.put(frame(i, taken.camera), live=taken.camera == "calm")
    assert Counter(order) == {"busy": 6, "calm": 6}


def test_idle_means_waiting_for_nothing_and_working_on_nothing() -> None:
    box = Mailbox()
    seen = [box.idle]
    box.put(frame(0), live=True)
    seen.append(box.idle)
    taken = box.take(0)
    assert taken is not None
    seen.append(box.idle)
    box.done(taken)
    seen.append(box.idle)
    assert seen == [True, False, False, True]


def test_close_frees_everybody() -> None:
    box = Mailbox()
    for i in range(DEPTH):
        box.put(frame(i), live=False)
    answers: list[object] = []
    empty = Mailbox()
    threads = [
        threading.Thread(
            target=lambda: answers.append(box.put(frame(9), live=False, timeout_s=60))
        ),
        threading.Thread(target=lambda: answers.append(empty.take(60))),
    ]
    for thread in threads:
        thread.start()
    box.close()
    empty.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert sorted(answers, key=str) == [False, None]
    assert box.take(60) is None
    assert not box.put(frame(1), live=True)
    assert box.idle
