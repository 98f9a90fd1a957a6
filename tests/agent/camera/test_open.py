import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.base.clock import SystemClock
from agent.camera.open import make_source, open_source
from agent.camera.v4l2 import V4l2Source
from agent.contract.config import SCHEMES, CameraConfig
from agent.contract.errors import BadContentError, UnavailableError

URIS = {
    "v4l2": "v4l2:///dev/video0?width=640&height=480&fps=15&fourcc=MJPG",
    "rtsp": "rtsp://127.0.0.1/x",
    "rtsps": "rtsps://127.0.0.1/x",
    "http": "http://127.0.0.1/x?what=1",
    "https": "https://127.0.0.1/x",
    "file": "file:///x.mp4?loop=1&realtime=1&start=3",
    "dir": "dir:///x?limit=3&every=2&loop=1",
    "rpicam": "rpicam://0?width=640&height=480&fps=10",
    "jetson": "jetson://1?width=1920&height=1080&fps=30",
    "gst-test": "gst-test://?width=320&height=240&fps=15&frames=3&pattern=ball",
    "scene": "scene://7",
}
LIVE = {"v4l2", "rtsp", "rtsps", "http", "https", "rpicam", "jetson"}


def test_each_scheme_is_known() -> None:
    assert set(URIS) == set(SCHEMES)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_scheme_has_its_source(scheme: str) -> None:
    source = make_source(CameraConfig(name="a", uri=URIS[scheme]), SystemClock())
    if scheme != "scene":
        assert source.live == (scheme in LIVE)
    assert source.still == (scheme == "dir")
    source.close()


@pytest.mark.parametrize("scheme", ["v4l2", "file", "dir", "rpicam", "jetson", "gst-test"])
def test_each_local_scheme_refuses_what_it_does_not_know(scheme: str) -> None:
    uri = URIS[scheme].partition("?")[0] + "?command=reboot"
    with pytest.raises(BadContentError, match="unknown parameter 'command'; known: "):
        open_source(CameraConfig(name="a", uri=uri), SystemClock())


def test_the_renderer_is_not_loaded_by_a_device_with_cameras() -> None:
    code = (
        "import sys, agent.camera.capture\n"
        "sys.exit(any(m.startswith('agent.camera.scene') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_camera_that_is_not_plugged_in() -> None:
    with pytest.raises(UnavailableError, match="/dev/video77: no such device; plug it in"):
        V4l2Source("v4l2:///dev/video77").open()


def test_a_camera_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    path.write_bytes(b"no device")
    with pytest.raises(UnavailableError, match="video0: does not open"):
        V4l2Source(f"v4l2://{path}").open()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_a_camera_that_we_may_not_open(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    path.touch(0o000)
    with pytest.raises(UnavailableError, match="group 'video'"):
        V4l2Source(f"v4l2://{path}").open()


@pytest.mark.parametrize("parameter", ["fourcc=MJ", "width=0", "fps=fast", "height=70000"])
def test_wrong_wishes(parameter: str) -> None:
    with pytest.raises(BadContentError, match=parameter.partition("=")[0]):
        V4l2Source(f"v4l2:///dev/video0?{parameter}")
