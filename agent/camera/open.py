"""From a camera's URI to its open source. Shell."""

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from agent.base.clock import Clock
from agent.camera.base import Source
from agent.camera.clip import ClipSource
from agent.camera.gstreamer import jetson_source, pattern_source
from agent.camera.rpicam import rpicam_source
from agent.camera.stills import StillsSource
from agent.camera.stream import StreamSource
from agent.camera.v4l2 import V4l2Source
from agent.contract.config import CameraConfig
from agent.contract.errors import BadContentError, UnavailableError

Maker = Callable[[CameraConfig, Clock], Source]


def open_source(config: CameraConfig, clock: Clock) -> Source:
    """Make and open the source of a camera.

    Args:
        config: The camera: its URI and time limits.
        clock: Paces clips and scenes, measures time limits.

    Returns:
        An open source; the caller closes it.

    Raises:
        UnavailableError: it is not there (now).
        BadContentError: the URI is wrong, or what it names is nothing that we read.
    """
    source = make_source(config, clock)
    try:
        source.open()
    except (UnavailableError, BadContentError):
        source.close()
        raise
    return source


def make_source(config: CameraConfig, clock: Clock) -> Source:
    """Make the source of a camera without opening it.

    Raises:
        BadContentError: the URI is wrong.
    """
    return _MAKERS[urlsplit(config.uri).scheme](config, clock)


def _stream(config: CameraConfig, clock: Clock) -> Source:
    return StreamSource(config.uri, clock, config.open_timeout_s, config.read_timeout_s)


def _scene(config: CameraConfig, clock: Clock) -> Source:
    # Only a demo or a test draws scenes: a device does not carry the renderer in memory.
    from agent.camera.scene.source import SceneSource  # noqa: PLC0415

    return SceneSource(config.uri, clock)


def _piped(make: Callable[[str, Clock, float, float], Source]) -> Maker:
    return lambda c, clock: make(c.uri, clock, c.open_timeout_s, c.read_timeout_s)


_MAKERS: Final[Mapping[str, Maker]] = {
    "v4l2": lambda config, _: V4l2Source(config.uri),
    "rtsp": _stream,
    "rtsps": _stream,
    "http": _stream,
    "https": _stream,
    "file": lambda config, clock: ClipSource(config.uri, clock),
    "dir": lambda config, _: StillsSource(config.uri),
    "rpicam": _piped(rpicam_source),
    "jetson": _piped(jetson_source),
    "gst-test": _piped(pattern_source),
    "scene": _scene,
}
