"""What a device's disk has to bear: bytes written a payload byte, and syncs a minute.

    python -m bench.disk_writes [--json] [--seconds N]

First the spool alone: a day of looks (two a minute, 1 to 3 KB) accepted, sent and receipted one by
one. Then a whole agent on its default settings before a busy rendered road, with a real Mosquitto
and nobody in the cloud, watched from outside by `strace` for a minute or so. Bytes are those handed
to write calls; a file system writes whole blocks (4 KB) and its own journal besides.
Goal: at most 1.5 bytes written by the spool a payload byte.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

from agent.base.clock import SystemClock
from agent.contract.codec import encode_look
from agent.contract.config import SpoolConfig
from agent.spool import Spool
from bench.ingest_rate import broker
from bench.looks import made_up

DAY_LOOKS = 2_880
SECONDS = 60
WARM_S = 10
DEVICE = """
device = "cam-1"
profile = "traffic-signs"
state_dir = "{state}"
[[camera]]
name = "road"
uri = "scene://3?frames=1000000"
fps = 10
[broker]
url = "mqtt://127.0.0.1:{port}"
"""
_CALL = re.compile(r"^(?:\d+\s+)?(\w+)\((\d+)<([^>]*)>.* = (\d+)$")


def spool_alone(folder: Path) -> dict[str, float]:
    """Put a day of looks through the spool; return its figures."""
    rng = random.Random(20)
    spool = Spool(folder, SpoolConfig(min_free_bytes=0), SystemClock())
    synced = 0
    real = os.fsync

    def counted(descriptor: int) -> None:
        nonlocal synced
        synced += 1
        real(descriptor)

    before, payload = own_writes(), 0
    with patch.object(os, "fsync", counted):
        for number in range(DAY_LOOKS):
            look = made_up(rng, 1_780_000_000.0 + number, rng.random(), rng.randint(600, 2_500))
            payload += len(encode_look(look))
            spool.put([look])
            (item,) = spool.live(1, 1e12) or spool.backlog(1, 1e12)
            spool.payload(item)
            spool.sent(item.look_id, 0.0)
            spool.forget([item.look_id])
    written = own_writes()
    spool.close()
    return {
        "payload_bytes": payload,
        "written_per_payload_byte": round((written - before) / payload, 3),
        "fsyncs_per_look": round(synced / DAY_LOOKS, 2),
    }


def own_writes() -> int:
    """Return the bytes that this process has handed to write calls."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("wchar")).split()[1])


def whole_agent(folder: Path, port: int, seconds: int) -> dict[str, Any]:
    """Run an agent under strace; return bytes and syncs a minute by what they are for."""
    config, trace, state = folder / "device.toml", folder / "trace", folder / "state"
    config.write_text(DEVICE.format(state=state, port=port))
    command = [sys.executable, "-m", "agent", "run", "--config", str(config)]
    agent = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        time.sleep(WARM_S)
        looks = count_looks(state)
        subprocess.run(
            ["timeout", str(seconds), "strace", "-f", "-y", "-qq", "-e", "signal=none", "-e",
             "trace=write,pwrite64,writev,fsync,fdatasync", "-s", "0", "-o", str(trace),
             "-p", str(agent.pid)],
            check=False,
        )  # fmt: skip
        looks = count_looks(state) - looks
    finally:
        agent.terminate()
        agent.wait(20)
    written, synced = tally(trace.read_text().splitlines(), state)
    minutes = seconds / 60
    return {
        "seconds": seconds,
        "looks": looks,
        "bytes_a_minute": {k: round(n / minutes) for k, n in sorted(written.items())},
        "fsyncs_a_minute": {k: round(n / minutes, 1) for k, n in sorted(synced.items())},
    }


def count_looks(state: Path) -> int:
    """Return how many looks lie in a spool."""
    return len(list((state / "spool" / "looks").glob("*.look")))


def tally(lines: list[str], state: Path) -> tuple[Counter[str], Counter[str]]:
    """Count bytes written and syncs in a state folder, by spool, notebook and sign of life."""
    written: Counter[str] = Counter()
    synced: Counter[str] = Counter()
    for line in lines:
        call = _CALL.match(line)
        if not call or not call[3].startswith(str(state)):
            continue
        first = Path(call[3]).relative_to(state).parts[:1]
        what = (first[0] if first else "state").split(".")[0]
        if call[1].endswith("sync"):
            synced[what] += 1
        else:
            written[what] += int(call[4])
    return written, synced


def main() -> None:
    """Measure both and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=int, default=SECONDS)
    options = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found["spool"] = spool_alone(folder / "spool")
        if shutil.which("strace"):
            with broker(folder) as port:
                found["agent"] = whole_agent(folder, port, options.seconds)
        else:
            found["agent"] = "not measured: strace is not installed"
    if options.json:
        print(json.dumps(found))
        return
    for part, figures in found.items():
        print(part, figures if isinstance(figures, str) else "")
        for key, value in figures.items() if isinstance(figures, dict) else ():
            print(f"  {key.replace('_', ' '):26} {value}")


if __name__ == "__main__":
    main()
