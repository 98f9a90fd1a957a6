"""A training that is killed goes on, and ends with the very file it would have ended with."""

import hashlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.drawn_folder import PROFILE, full_folder

KILLS = 2
LIMIT_S = 300.0


def command(place: Path, out: str) -> list[str]:
    settings = ("side=24", "width=0.25", "batch=16", "calibration=32", "learning_rate=0.005")
    sets = [word for setting in settings for word in ("--set", setting)]
    return [
        sys.executable, "-m", "cloud", "train", "--profile", str(place / "profile.toml"),
        "--data", str(place / "data"), "--out", str(place / f"{out}.tflite"),
        "--epochs", "8", "--seed", "5", *sets,
    ]  # fmt: skip


def kill_in_training(place: Path, out: str, epochs: int, rng: random.Random) -> None:
    """Start, wait until at least so many epochs are saved, and kill it a little later."""
    state = place / f"{out}.checkpoint" / "state.json"
    process = subprocess.Popen(
        command(place, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + LIMIT_S
    while not (state.is_file() and state.read_text().count('"number"') >= epochs):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(rng.uniform(0.0, 0.3))
    process.kill()
    assert process.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_killed_twice_it_gives_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "profile.toml").write_text(PROFILE)
    (tmp_path / "data").mkdir()
    full_folder(tmp_path / "data", tracks=8, frames=8)
    rng = random.Random(7)
    for epochs in range(1, KILLS + 1):
        kill_in_training(tmp_path, "killed", 2 * epochs - 1, rng)
    digests = []
    for out in ("killed", "undisturbed"):
        subprocess.run(command(tmp_path, out), check=True, capture_output=True, timeout=LIMIT_S)
        digests.append(hashlib.sha256((tmp_path / f"{out}.tflite").read_bytes()).hexdigest())
    assert digests[0] == digests[1]
