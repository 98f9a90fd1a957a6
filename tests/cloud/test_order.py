"""The order of system calls: no receipt before shard, folder and database are on disk."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.conftest import Mosquitto
from tests.device_sim import DeviceSim, wait_until
from tests.makers import look

PATIENCE_S = 10.0
CALLS = "fsync,fdatasync,rename,renameat,renameat2,sendto,write"


ORDER = [
    "shard synced", "shard renamed", "folder synced", "database synced", "receipt sent",
    "look acknowledged",
]  # fmt: skip


def steps(trace: str) -> list[str]:
    """Name the calls that matter, in their order."""
    shard = r"objects/looks/[^>\"]*\.tar"
    patterns = {
        "shard synced": rf"f(data)?sync\(\d+<[^>]*{shard}\.tmp>",
        "shard renamed": rf"rename.*{shard}\.tmp\".*{shard}\"",
        "folder synced": r"f(data)?sync\(\d+<[^>]*objects/looks/[\d\w/-]*/\d\d>",
        "database synced": r"f(data)?sync\(\d+<[^>]*secondlook\.sqlite-wal>",
        "receipt sent": r"(sendto|write)\(\d+<.*secondlook/cam-1/receipt",
        # A PUBACK of MQTT 5 is 0x40 ("@"), length 2, and the packet id.
        "look acknowledged": r"(sendto|write)\(\d+<(TCP|socket)[^\"]*\"@\\2",
    }
    found = []
    for line in trace.splitlines():
        found += [name for name, pattern in patterns.items() if re.search(pattern, line)]
    return found


def test_receipts_come_after_the_disk(tmp_path: Path, mosquitto: Mosquitto) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    config = tmp_path / "cloud.toml"
    config.write_text(
        f'state_dir = "{tmp_path}/cloud"\n[broker]\nurl = "{mosquitto.url}"\n'
        "[label]\nenabled = false\n"
    )
    command = [
        strace, "-f", "-y", "-s", "200", "-e", f"trace={CALLS}", "-e", "signal=none",
        "-o", str(trace), sys.executable, "-m", "cloud", "run", "--config", str(config),
    ]  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        # A traced worker starts slowly: a look sent again meanwhile would be acknowledged twice.
        with DeviceSim(mosquitto.port, resend_s=PATIENCE_S) as device:
            for n in range(3):  # one at a time: three batches
                device.send(look(n))
                wait_until(lambda: device.waiting == 0 or worker.poll() is not None, 60)
                if worker.poll() is not None:
                    pytest.skip(f"strace may not trace here: {(tmp_path / 'log').read_text()}")
    finally:
        # strace keeps signals to itself: its child is told, and strace ends with it.
        for child in psutil.Process(worker.pid).children():
            child.terminate()
        worker.wait(30)
    found = steps(trace.read_text())
    # Before the first shard the device's report is stored; after the last the database closes.
    mine = found[found.index("shard synced") :]
    assert mine[: 3 * len(ORDER)] == ORDER * 3
    assert set(mine[3 * len(ORDER) :]) <= {"database synced"}
