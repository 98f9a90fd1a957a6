"""What GStreamer brings: a Jetson's CSI cameras, and a test pattern. Adapter.

`jetson://0?width=1280&height=720&fps=30` is sensor 0 through nvarguscamerasrc.
`gst-test://?width=320&height=240&fps=15&pattern=smpte&frames=100` is videotestsrc through the very
same pipe; without `frames` it is live and never ends.
"""

from typing import Final

from agent.base.clock import Clock
from agent.camera.pipe import PipeSource, Program, RawFormat
from agent.camera.uri import LocalUri, parse_local
from agent.contract.errors import BadContentError

GST: Final = "gst-launch-1.0"
ALIGN: Final = 8
"""GStreamer pads rows of I420 to 4 bytes, chroma rows too: multiples of 8 have no padding."""
PATTERNS: Final = ("smpte", "snow", "black", "white", "ball", "smpte75", "gradient")


def jetson_source(
    uri: str, clock: Clock, open_timeout_s: float, read_timeout_s: float
) -> PipeSource:
    """Make the source of a Jetson's CSI camera.

    Raises:
        BadContentError: a parameter is unknown or out of range.
    """
    parsed = parse_local(uri, "width", "height", "fps")
    if not parsed.place.isdecimal():
        raise BadContentError(f"{uri}: name a sensor, e.g. jetson://0")
    raw, fps = _size(parsed, 1280, 720), parsed.whole("fps", 30, 1, 240)
    size = f"width={raw.width},height={raw.height}"
    command = (
        GST, "-q", "nvarguscamerasrc", f"sensor-id={parsed.place}",
        "!", f"video/x-raw(memory:NVMM),{size},framerate={fps}/1",
        "!", "nvvidconv",
        "!", f"video/x-raw,format=I420,{size}",
        "!", "fdsink", "fd=1", "sync=false",
    )  # fmt: skip
    package = "gstreamer1.0-tools nvidia-l4t-gstreamer (a Jetson's own)"
    return PipeSource(
        f"jetson camera {parsed.place}",
        lambda: Program(command, package, raw),
        clock,
        open_timeout_s=open_timeout_s,
        read_timeout_s=read_timeout_s,
    )


def pattern_source(
    uri: str, clock: Clock, open_timeout_s: float, read_timeout_s: float
) -> PipeSource:
    """Make the source of a test pattern.

    Raises:
        BadContentError: a parameter is unknown or out of range.
    """
    parsed = parse_local(uri, "width", "height", "fps", "frames", "pattern")
    raw, fps = _size(parsed, 320, 240), parsed.whole("fps", 15, 1, 240)
    frames = parsed.whole("frames", 0, 0, 10**9)
    pattern = parsed.query.get("pattern", "smpte")
    if pattern not in PATTERNS:
        raise BadContentError(f"{uri}: pattern={pattern}: use one of {', '.join(PATTERNS)}")
    command = (
        GST, "-q", "videotestsrc", f"pattern={pattern}",
        f"num-buffers={frames or -1}", f"is-live={'false' if frames else 'true'}",
        "!", f"video/x-raw,format=I420,width={raw.width},height={raw.height},framerate={fps}/1",
        "!", "fdsink", "fd=1", "sync=false",
    )  # fmt: skip
    return PipeSource(
        f"test pattern {pattern}",
        lambda: Program(command, "gstreamer1.0-tools gstreamer1.0-plugins-base", raw),
        clock,
        open_timeout_s=open_timeout_s,
        read_timeout_s=read_timeout_s,
        live=not frames,
    )


def _size(parsed: LocalUri, width: int, height: int) -> RawFormat:
    raw = RawFormat(
        parsed.whole("width", width, ALIGN, 7680), parsed.whole("height", height, 2, 4320), "i420"
    )
    if raw.width % ALIGN or raw.height % 2:
        raise BadContentError(
            f"{parsed.uri}: {raw.width}x{raw.height}: use a width divisible by {ALIGN}"
            " and an even height"
        )
    return raw
