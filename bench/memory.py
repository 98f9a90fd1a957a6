"""Memory of a running agent against a bare script that does the same work.

    python -m bench.memory [CLIP]

Ours: `python -m agent run` on a looped clip, whole frames, no broker. Bare: a script of a few
lines with the same model, an open video, and the same names imported from outside packages. Both
are looked at after 500 frames: resident set (RSS), its share (PSS), and what is theirs alone.
Goal: RSS ratio <= 1.12.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from agent.vision.shipped import shipped_model
from bench.common import DATA, of_values, paired
from bench.line import device_config

CLIP = DATA / "video" / "car-detection.mp4"
PAIRS = 7
FRAMES = 500
LIMIT_S = 60.0
BARE = """
import sqlite3, sys, threading
import cbor2, cv2, numpy as np, numpy.typing, typer
from ai_edge_litert.interpreter import Interpreter
from paho.mqtt import client as mqtt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from securesystemslib.dsse import Envelope
from securesystemslib.signer import Key, SSlibKey
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.urllib3_fetcher import Urllib3Fetcher

class Used(BaseModel):  # pydantic loads most of itself with the first model
    number: int = Field(ge=0)

model, clip, frames = sys.argv[1], sys.argv[2], int(sys.argv[3])
interpreter = Interpreter(model_path=model, num_threads=1)
interpreter.allocate_tensors()
tensor = interpreter.get_input_details()[0]
_, height, width, _ = tensor["shape"]
video = cv2.VideoCapture(clip, cv2.CAP_FFMPEG)
for _ in range(frames):
    there, image = video.read()
    if not there:
        video = cv2.VideoCapture(clip, cv2.CAP_FFMPEG)
        there, image = video.read()
    small = cv2.resize(image, (width, height))[None].view(tensor["dtype"])
    interpreter.set_tensor(tensor["index"], small)
    interpreter.invoke()
print("ready", flush=True)
sys.stdin.read()
"""


def main() -> None:
    """Alternate the two and compare."""
    clip = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else CLIP
    ours, bare = [], []
    for pair in range(PAIRS):
        arms = [agent_memory, bare_memory]
        took = {arm: arm(clip) for arm in (arms if pair % 2 else arms[::-1])}
        ours.append(took[agent_memory])
        bare.append(took[bare_memory])
    for kind in ("Rss", "Pss", "Private"):
        a, b = [m[kind] for m in ours], [m[kind] for m in bare]
        print(f"{kind} MB: agent {of_values(a)}; bare {of_values(b)}")
        print(f"{kind} ratio: {paired(a, b)}")


def agent_memory(clip: Path) -> dict[str, float]:
    """Return the memory of a real agent after some frames."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        uri = f"{clip.as_uri()}?loop=1"
        document = device_config(state, "", uri, broker={"url": "mqtt://127.0.0.1:1"})
        config = Path(folder) / "device.toml"
        config.write_text(_toml(document))
        command = [sys.executable, "-m", "agent", "run", "--config", str(config)]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as ours:
            deadline = time.monotonic() + LIMIT_S
            while _frames(state) < FRAMES:
                assert ours.poll() is None, "the agent ended"
                assert time.monotonic() < deadline, "too few frames"
                time.sleep(0.2)
            memory = memory_of(ours.pid)
            ours.terminate()
    return memory


def bare_memory(clip: Path) -> dict[str, float]:
    """Return the memory of the bare script after as many frames."""
    model = str(shipped_model("traffic-signs.tflite"))
    command = [sys.executable, "-c", BARE, model, str(clip), str(FRAMES)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as bare:
        assert bare.stdout
        assert bare.stdout.readline() == b"ready\n", "the bare script failed"
        memory = memory_of(bare.pid)
        bare.kill()
    return memory


def memory_of(pid: int) -> dict[str, float]:
    """Return resident, proportional and private megabytes of a process."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kb = {name: int(value.split()[0]) for name, value in (row.split(":") for row in rows)}
    private = kb["Private_Clean"] + kb["Private_Dirty"]
    return {"Rss": kb["Rss"] / 1024, "Pss": kb["Pss"] / 1024, "Private": private / 1024}


def _frames(state: Path) -> int:
    try:
        alive = json.loads((state / "alive.json").read_text())
    except (OSError, ValueError):
        return 0
    return int(alive["telemetry"]["frames"])


def _toml(document: dict[str, object]) -> str:
    # Inline tables and strings of TOML are close enough to JSON for what stands here.
    return "\n".join(f"{key} = {_value(value)}" for key, value in document.items())


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)


if __name__ == "__main__":
    main()
