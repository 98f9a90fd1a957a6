import contextlib
import os
import shutil
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from agent.base.clock import SystemClock
from agent.camera import rpicam
from agent.camera.base import Source
from agent.camera.gstreamer import jetson_source, pattern_source
from agent.camera.pipe import PipeSource, Program, RawFormat
from agent.camera.rpicam import choose_program, rpicam_source
from agent.contract.errors import BadContentError, UnavailableError
from tests.streams import until

needs_gstreamer = pytest.mark.skipif(
    shutil.which("gst-launch-1.0") is None,
    reason="gst-launch-1.0 is missing: apt install gstreamer1.0-tools gstreamer1.0-plugins-base",
)
RAW = RawFormat(4, 2, "bgr")


def child(code: str, *, live: bool = False, limit_s: float = 20.0) -> PipeSource:
    """A source whose child is a few lines of Python; `w` writes bytes to standard output."""
    head = "import os, sys, time, signal\ndef w(data): os.write(1, data)\n"
    program = Program((sys.executable, "-c", head + textwrap.dedent(code)), "python3", RAW)
    return PipeSource(
        "a child",
        lambda: program,
        SystemClock(),
        open_timeout_s=20.0,
        read_timeout_s=limit_s,
        live=live,
    )


def pattern(parameters: str) -> PipeSource:
    return pattern_source(f"gst-test://?{parameters}", SystemClock(), 20.0, 20.0)


def count(source: Source) -> int:
    source.open()
    frames = 0
    while source.read() is not None:
        frames += 1
    source.close()
    return frames


@needs_gstreamer
def test_real_gstreamer_frames_arrive_whole() -> None:
    source = pattern("width=328&height=242&frames=25&pattern=white")
    source.open()
    numbers = []
    while (shot := source.read()) is not None:
        assert shot.image.shape == (242, 328, 3)
        assert shot.image.min() >= 253
        numbers.append(shot.number)
    source.close()
    assert numbers == list(range(25))
    assert not source.live


@needs_gstreamer
def test_colours_come_out_right() -> None:
    source = pattern("width=320&height=240&frames=1&pattern=smpte")
    source.open()
    shot = source.read()
    source.close()
    assert shot is not None
    # The bars of the top half: white yellow cyan green magenta red blue.
    row = shot.image[20, 22 : 320 : 320 // 7][:7] > 127
    assert row[:, ::-1].tolist() == [
        [True, True, True], [True, True, False], [False, True, True], [False, True, False],
        [True, False, True], [True, False, False], [False, False, True],
    ]  # fmt: skip


@needs_gstreamer
def test_a_live_pattern_can_be_closed_and_opened_again() -> None:
    source = pattern("fps=60")
    assert source.live
    for _ in range(2):
        source.open()
        assert [shot.number for _ in range(5) if (shot := source.read())] == [0, 1, 2, 3, 4]
        source.close()
    source.close()


@needs_gstreamer
def test_a_jetson_camera_elsewhere_says_what_gstreamer_says() -> None:
    source = jetson_source("jetson://0", SystemClock(), 20.0, 20.0)
    with pytest.raises(UnavailableError, match=r"jetson camera 0: .*nvarguscamerasrc"):
        source.open()


def test_frames_in_pieces_are_put_together() -> None:
    source = child("for i in range(48): w(bytes([i])); time.sleep(0.001)")
    source.open()
    images = [shot.image for _ in range(2) if (shot := source.read())]
    assert source.read() is None
    source.close()
    assert np.array_equal(np.concatenate(images).ravel(), np.arange(48))


def test_a_stalled_child_is_noticed_and_its_words_are_told() -> None:
    source = child("sys.stderr.write('sensor\\n lost'); w(bytes(24)); time.sleep(600)", limit_s=0.3)
    source.open()
    source.read()
    with pytest.raises(UnavailableError, match=r"a child: no frame for 0\.3 s: sensor lost"):
        source.read()
    source.close()


@pytest.mark.parametrize(
    ("code", "live", "said"),
    [
        ("w(bytes(24)); sys.exit('no sensor')", False, "exit status 1: no sensor"),
        ("w(bytes(24))", True, "exit status 0"),
        ("w(bytes(30))", False, "exit status 0"),
        ("w(bytes(24)); os.kill(os.getpid(), signal.SIGSEGV)", False, "exit status -11"),
        ("w(bytes(24)); sys.stdout.close(); os.close(1); time.sleep(600)", False, "closed its"),
    ],
    ids=["failed", "live", "half a frame", "crashed", "closed"],
)
def test_an_end_that_is_none(code: str, said: str, *, live: bool) -> None:
    source = child(code, live=live)
    source.open()
    source.read()
    with pytest.raises(UnavailableError, match=said):
        source.read()
    source.close()


def test_a_child_without_a_frame() -> None:
    with pytest.raises(UnavailableError, match="a child: ended without a frame"):
        child("pass").open()
    with pytest.raises(UnavailableError, match="exit status 3"):
        child("sys.exit(3)").open()


def test_words_without_end_do_not_block_frames_and_are_cut() -> None:
    source = child(
        """
        for i in range(20):
            sys.stderr.write('x' * 10_000); sys.stderr.flush(); w(bytes(24))
        sys.exit('the last word')
        """
    )
    source.open()
    for _ in range(20):
        assert source.read() is not None
    with pytest.raises(UnavailableError, match="the last word") as caught:
        source.read()
    assert len(str(caught.value)) < 500
    source.close()


def test_close_ends_a_child_that_does_not_want_to(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    source = child(
        f"""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        open({str(told)!r}, 'w').write(str(os.getpid()))
        w(bytes(24))
        time.sleep(600)
        """
    )
    source.open()
    pid = int(told.read_text(encoding="utf-8"))
    source.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_missing_program_is_named_with_its_package() -> None:
    source = PipeSource(
        "a camera",
        lambda: Program(("no-such-program-here", "-x"), "its-package", RAW),
        SystemClock(),
        open_timeout_s=1,
        read_timeout_s=1,
    )
    with pytest.raises(UnavailableError) as caught:
        source.open()
    assert "no-such-program-here is not installed: apt install its-package" in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "jetson://0?width=1281",
        "jetson://0?height=721",
        "jetson://front",
        "jetson://0;reboot",
        "jetson://0?sensor=2",
    ],
)
def test_wrong_jetson_uris(uri: str) -> None:
    with pytest.raises(BadContentError, match=r"jetson://"):
        jetson_source(uri, SystemClock(), 1, 1)


@pytest.mark.parametrize(
    "uri",
    ["rpicam://0?width=800", "rpicam://0?height=0", "rpicam://", "rpicam://0 --post x"],
)
def test_wrong_rpicam_uris(uri: str) -> None:
    with pytest.raises(BadContentError, match=r"rpicam://"):
        rpicam_source(uri, SystemClock(), 1, 1)


def test_wrong_pattern() -> None:
    with pytest.raises(BadContentError, match="use one of smpte"):
        pattern("pattern=x!filesink")


def stand_in(folder: Path, name: str, code: str) -> None:
    """A program of our own in place of one that only a Pi has."""
    path = folder / name
    # Half shell, half Python: a "#!" line cannot name a Python whose path has a space.
    head = f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n'''\n"
    path.write_text(head + textwrap.dedent(code), encoding="utf-8")
    path.chmod(0o755)


def test_rpicam_vid_is_asked_for_raw_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    stand_in(
        tmp_path,
        "rpicam-vid",
        """
        import argparse, sys
        p = argparse.ArgumentParser()
        for name in ("camera", "width", "height", "framerate", "timeout"):
            p.add_argument("--" + name, type=int, required=True)
        p.add_argument("--codec", choices=["yuv420"], required=True)
        p.add_argument("--output", choices=["-"], required=True)
        p.add_argument("--nopreview", action="store_true")
        p.add_argument("--flush", action="store_true")
        a = p.parse_args()
        size = a.width * a.height
        frame = bytes([235]) * size + bytes([128]) * (size // 2)
        while True:
            sys.stdout.buffer.write(frame)
        """,
    )
    source = rpicam_source("rpicam://1?width=128&height=96&fps=10", SystemClock(), 20, 20)
    source.open()
    shots = [source.read() for _ in range(3)]
    source.close()
    for shot in shots:
        assert shot is not None
        assert shot.image.shape == (96, 128, 3)
        assert shot.image.min() >= 253


PICAMERA2 = """
    import numpy as np
    class Picamera2:
        def __init__(self, number): assert number == 1
        def create_video_configuration(self, main, controls):
            assert controls == {"FrameRate": 10.0} and main["format"] == "RGB888"
            return main["size"]
        def configure(self, size): self.size = size
        def start(self): pass
        def stop(self): open(__file__ + ".stopped", "w").close()
        def capture_array(self, name):
            width, height = self.size
            padded = np.zeros((height, width + 32, 3), np.uint8)
            padded[:, :width] = (10, 20, 30)
            return padded[:, :width]
"""


def test_picamera2_helper_with_a_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "picamera2.py").write_text(textwrap.dedent(PICAMERA2), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    command = (sys.executable, str(rpicam.HELPER), "1", "64", "48", "10")
    program = Program(command, "python3-picamera2", RawFormat(64, 48, "bgr"))
    source = PipeSource(
        "picamera2", lambda: program, SystemClock(), open_timeout_s=20, read_timeout_s=20
    )
    source.open()
    shot = source.read()
    source.close()
    assert shot is not None
    assert (shot.image == (10, 20, 30)).all()
    assert shot.image.shape == (48, 64, 3)
    assert until((tmp_path / "picamera2.py.stopped").exists)


def test_without_any_camera_program_both_packages_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match=r"rpicam-apps-lite \(or python3-picamera2\)"):
        choose_program("0", 640, 480, 15, python=str(tmp_path / "python3"))


def test_picamera2_is_used_where_only_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    stand_in(tmp_path, "python3", "import sys; sys.exit(0)")
    program = choose_program("0", 640, 480, 15, python=str(tmp_path / "python3"))
    assert list(program.command)[2:] == [str(rpicam.HELPER), "0", "640", "480", "15"]
    assert program.raw.layout == "bgr"


def test_nothing_is_left_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for code in ("w(bytes(48))", "w(bytes(24)); sys.exit(2)", "pass"):
        source = child(code)
        with contextlib.suppress(UnavailableError):
            count(source)
        source.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
