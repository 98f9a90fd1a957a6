"""End-to-end frames a second against the slower of its two stages alone.

    python -m bench.pipeline_fps [CLIP]

Three arms in turn over one real clip: decode only; bare invokes while another thread decodes one
frame an invoke; the device's line (capture thread, mailbox, step, journal thread, spool and
notebook on disk, default settings, no broker). FFmpeg decodes in one thread in all arms: with two
it takes both cores of a small machine, and then no stage can run beside it.
Figure: line fps / min(decode fps, invoke fps).
Goal: >= 0.95, for a model slower than the decoder and for one that is faster.
"""

import functools
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from unittest import mock

import cv2

from agent.base.clock import SystemClock
from agent.camera.base import Source
from agent.camera.capture import Capture
from agent.camera.decoder import open_video
from agent.camera.mailbox import DEPTH, Mailbox
from agent.camera.open import open_source
from agent.contract.config import CameraConfig
from agent.contract.messages import CameraReport
from agent.vision.shipped import shipped_model
from bench.common import DATA, machine, paired
from bench.line import CAMERA, MOBILENET, Line, device_config, line

ROUNDS = 9
TAKE_S = 0.2
CLIP = DATA / "video" / "car-detection.mp4"


def main() -> None:
    """Measure an invoke-bound and a decode-bound line."""
    clip = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else CLIP
    one_thread = functools.partial(open_video, params=(cv2.CAP_PROP_N_THREADS, 1))
    for model in (MOBILENET, shipped_model("traffic-signs.tflite")):
        with mock.patch("agent.camera.clip.open_video", one_thread):
            measure(model, CameraConfig(name=CAMERA, uri=clip.as_uri()))


def measure(model: Path, camera: CameraConfig) -> None:
    """Alternate the three arms, whose order turns from round to round."""
    arms = {"decode": decode_only, "invoke": bare_invokes, "line": whole_line}
    fps: dict[str, list[float]] = {name: [] for name in arms}
    names = list(arms)
    for round_ in range(ROUNDS + 1):
        for name in names[round_ % 3 :] + names[: round_ % 3]:
            with tempfile.TemporaryDirectory() as folder:
                document = device_config(Path(folder), str(model), camera.uri)
                with line(document) as built:
                    measured = arms[name](built, camera)
            if round_:  # the first round warms caches
                fps[name].append(measured)
    roof = [min(pair) for pair in zip(fps["decode"], fps["invoke"], strict=True)]
    print(f"{model.name}: " + ", ".join(f"{n} {max(v):.0f} fps (best)" for n, v in fps.items()))
    print(f"line / min(decode, invoke): {paired(fps['line'], roof)}")
    print(machine(roof))


def decode_only(_built: Line, camera: CameraConfig) -> float:
    """Read the clip through the device's own source."""
    source = open_source(camera, SystemClock())
    started = time.perf_counter()
    frames = 0
    while source.read():
        frames += 1
    took = time.perf_counter() - started
    source.close()
    return frames / took


def bare_invokes(built: Line, camera: CameraConfig) -> float:
    """Invoke without waiting while a thread decodes as many frames."""
    invoke = built.parts.engine.bare_invoke
    source = open_source(camera, SystemClock())
    room = threading.Semaphore(DEPTH)
    ended = threading.Event()

    def decode() -> None:
        while source.read():
            room.acquire()
        ended.set()

    thread = threading.Thread(target=decode)
    started = time.perf_counter()
    thread.start()
    invokes = 0
    while not ended.is_set():
        invoke()
        room.release()
        invokes += 1
    took = time.perf_counter() - started
    thread.join()
    source.close()
    return invokes / took


def whole_line(built: Line, camera: CameraConfig) -> float:
    """Run the device's threads over the clip; looks are kept as they come."""
    clock, mailbox = SystemClock(), Mailbox()
    source = open_source(camera, clock)

    def opened(_config: CameraConfig, _clock: object) -> Source:
        return source

    def silent(_report: CameraReport) -> None:
        pass

    capture = Capture(camera, mailbox, clock, random.Random(1), silent, opener=opened)
    started = time.perf_counter()
    capture.start()
    while not (capture.ended and mailbox.idle):
        frame = mailbox.take(TAKE_S)
        if frame:
            built.pipeline.step(frame)
            mailbox.done(frame)
            last = time.perf_counter()
    capture.stop()
    return built.pipeline.counters.frames / (last - started)


if __name__ == "__main__":
    main()
