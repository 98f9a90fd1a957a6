import logging
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agent.base.clock import Clock
from agent.camera.base import Source
from agent.camera.capture import Capture
from agent.camera.mailbox import Mailbox
from agent.contract.config import CameraConfig
from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.messages import CameraReport
from agent.vision.types import Image
from tests.camera_rig import PERIOD_S, Rig, flat, noise, play, reports_of
from tests.makers import FakeClock, jpeg
from tests.streams import until


def test_every_frame_of_a_file_then_its_end() -> None:
    rig = Rig(play(*(noise(i) for i in range(50)), None), live=False)
    assert rig.run() == ["starting", "ok", "ended"]
    assert [f.number for f in rig.frames] == list(range(50))
    assert rig.frames[3].captured_at == pytest.approx(rig.frames[2].captured_at + PERIOD_S)
    assert rig.reports[-1].detail == "50 frames, 0 unreadable"
    assert rig.capture.frames == 50
    assert rig.capture.moved()


def test_frozen_is_reported_once_and_not_passed_on() -> None:
    stuck = noise(0)
    rig = Rig(play(*[stuck] * 400, noise(1), None))
    assert rig.run() == ["starting", "ok", "frozen", "ok", "ended"]
    # Thirty seconds of eight frames each went through, then nothing until it moved.
    assert rig.capture.frames == 240 + 1
    frozen = rig.reports[2]
    assert "restart the camera" in frozen.detail
    assert frozen.since - rig.reports[1].since == pytest.approx(30.0, abs=0.2)


def test_black_is_reported_once_and_not_passed_on() -> None:
    rig = Rig(play(noise(0), *(flat(i % 2) for i in range(50)), noise(1), None))
    assert rig.run() == ["starting", "ok", "black", "ok", "ended"]
    assert rig.capture.frames == 2


def test_unreadable_pictures_are_reported_and_passed_over() -> None:
    bad = BadContentError("picture 7.jpg: not an image")
    rig = Rig(play(noise(0), bad, bad, noise(1), None), live=False)
    assert rig.run() == ["starting", "ok", "undecodable", "ok", "ended"]
    assert rig.reports[2].detail == "picture 7.jpg: not an image"
    assert (rig.capture.frames, rig.capture.unreadable) == (2, 2)


def test_lost_and_found(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    away = UnavailableError("stream: no answer")
    lost = UnavailableError("stream: no frame after 5 s")
    rig = Rig(play(noise(0), lost), away, away, play(noise(1), noise(2), None))
    assert rig.run() == ["starting", "ok", "stalled", "absent", "ok", "ended"]
    ours = [(r.levelname, r.getMessage()) for r in caplog.records if "camera_" in r.getMessage()]
    levels = [level for level, _ in ours]
    # The first failure is a warning, what follows is not, and the recovery says how long.
    assert levels == ["INFO", "INFO", "WARNING", "DEBUG", "DEBUG", "INFO", "INFO"]
    assert ours[2][1] == "camera_stalled camera=front reason=stream: no frame after 5 s"
    assert ours[5][1].startswith("camera_ok camera=front was=absent lasted_s=")
    assert [f.number for f in rig.frames][-1] == 1


def test_a_wrong_file_is_undecodable() -> None:
    rig = Rig(BadContentError("video file x: not a video"), play(noise(0), None), live=False)
    assert rig.run() == ["starting", "undecodable", "ok", "ended"]


def test_long_reasons_are_cut_for_the_report() -> None:
    rig = Rig(UnavailableError("x" * 5000), play(None))
    assert rig.run() == ["starting", "absent", "ended"]
    assert len(rig.reports[1].detail) == 200


def test_a_live_camera_is_thinned_out() -> None:
    config = CameraConfig(name="front", uri="rtsp://h/x", fps=2)
    rig = Rig(play(*(noise(i) for i in range(100)), None), config=config)
    rig.run()
    # Every fourth of eight a second.
    assert rig.capture.frames == 25


def test_privacy_masks_come_before_anybody_sees_a_frame() -> None:
    left = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    config = CameraConfig(name="front", uri="file:///x", masks=(left,))
    rig = Rig(play(flat(200), flat(200), None), live=False, config=config)
    rig.run()
    assert len(rig.frames) == 2
    for frame in rig.frames:
        assert not frame.image[:, :16].any()
        assert (frame.image[:, 20:] == 200).all()


def test_the_size_may_change_in_mid_stream() -> None:
    big = np.random.default_rng(1).integers(0, 256, (4000, 4000, 3), np.uint8)
    pictures = [noise(0), big, flat(200)[:1, :1], noise(2)]
    left = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    config = CameraConfig(name="front", uri="file:///x", masks=(left,))
    rig = Rig(play(*pictures, None), live=False, config=config)
    assert rig.run() == ["starting", "ok", "ended"]
    assert [f.image.shape[:2] for f in rig.frames] == [(24, 32), (4000, 4000), (1, 1), (24, 32)]


def test_a_bug_is_not_silent(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Iterator[Image]:
        yield noise(0)
        raise ZeroDivisionError

    rig = Rig(broken())
    rig.capture.start()
    assert until(lambda: rig.capture.failed)
    assert "loop_failed name=camera-front" in caplog.text
    assert rig.sources[0].closed


def test_attempts_back_off_and_a_camera_that_fails_at_once_stays_in_it() -> None:
    away = UnavailableError("away")
    brief = [play(noise(i), away) for i in range(5)]
    healthy = play(*(noise(i) for i in range(100)), away)
    rig = Rig(*[away] * 5, *brief, healthy, away, play(None))
    rig.run()
    full = [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 1, 2, 0]
    assert len(rig.slept) == len(full)
    for slept, longest in zip(rig.slept, full, strict=True):
        assert longest / 2 <= slept <= longest


def test_stop_does_not_wait_for_the_next_attempt() -> None:
    reports = list[CameraReport]()
    config = CameraConfig(name="front", uri="file:///nowhere/clip.mp4")
    capture = Capture(config, Mailbox(), FakeClock(), random.Random(1), reports.append)
    capture.start()
    assert until(lambda: bool(reports) and reports[-1].state == "absent")
    assert "/nowhere/clip.mp4" in reports[-1].detail
    assert capture.stop(2.0)


def test_frames_of_a_folder_are_paced_not_dropped() -> None:
    config = CameraConfig(name="front", uri="dir:///x", fps=2)
    rig = Rig(play(*(noise(i) for i in range(9)), None), live=False, config=config)
    rig.run()
    assert rig.capture.frames == 9
    # Half a second from frame to frame, of which a read takes an eighth.
    assert rig.slept == [pytest.approx(8 * 0.375)]


def test_stop_frees_a_capture_whose_frames_nobody_takes(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    reports = list[CameraReport]()
    config = CameraConfig(name="front", uri=f"dir://{tmp_path}?loop=1")
    capture = Capture(config, Mailbox(), FakeClock(), random.Random(1), reports.append)
    capture.start()
    assert until(lambda: capture.frames == 4)
    seen = capture.progress
    # It still moves, so the watchdog is content: that nobody takes is not its fault.
    assert until(lambda: capture.progress > seen + 1)
    assert capture.stop(2.0)
    assert capture.frames == 4


def test_a_hanging_camera_is_alive_for_its_time_limit_and_then_stuck() -> None:
    clock = FakeClock()
    inside, leave = threading.Event(), threading.Event()

    def hang(config: CameraConfig, clock: Clock) -> Source:
        inside.set()
        leave.wait(30)
        raise UnavailableError("away")

    reports = list[CameraReport]()
    config = CameraConfig(name="front", uri="rtsp://h/x", open_timeout_s=10)
    capture = Capture(config, Mailbox(), clock, random.Random(1), reports.append, opener=hang)
    capture.start()
    assert inside.wait(10)
    assert [capture.moved(), capture.moved()] == [True, True]
    clock.pass_(60)
    assert not capture.moved()
    # It cannot be ended from outside; it says so and does not hold up the rest.
    assert not capture.stop(0.1)
    leave.set()
    assert capture.stop(5.0)
    assert reports_of(reports) == ["starting", "absent"]
