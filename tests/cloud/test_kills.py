"""`kill -9` of the worker in mid-stream, again and again: nothing lost, nothing twice."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import Mosquitto
from tests.device_sim import DeviceSim, wait_until
from tests.llm_server import LlmServer
from tests.makers import look

KILLS = 4
PER_LIFE = 60
CONFIG = """
state_dir = "{root}/cloud"
[broker]
url = "{broker}"
[label]
base_url = "{llm}"
api_key_env = ""
daily_cap_usd = 100.0
concurrency = 2
"""


def start(config: Path, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as file:
        command = [sys.executable, "-m", "cloud", "run", "--config", str(config)]
        return subprocess.Popen(command, stdout=file, stderr=file)


def rows(database: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        found = db.execute(query).fetchall()
    db.close()
    return found


@pytest.mark.slow
def test_killed_worker_loses_nothing_and_stores_nothing_twice(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    rng = random.Random(20)
    config, log = tmp_path / "cloud.toml", tmp_path / "worker.log"
    database = tmp_path / "cloud" / "secondlook.sqlite"
    sent: list[str] = []
    with LlmServer() as llm, DeviceSim(mosquitto.port) as device:
        config.write_text(CONFIG.format(root=tmp_path, broker=mosquitto.url, llm=llm.url))
        for _ in range(KILLS):
            worker = start(config, log)
            before = len(device.receipts)
            for _ in range(PER_LIFE):
                item = look(len(sent))
                sent.append(item.meta.look_id)
                device.send(item)
                time.sleep(0.002)
            wait_until(lambda seen=before: len(device.receipts) > seen, 60)
            time.sleep(rng.uniform(0.0, 0.7))
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
        worker = start(config, log)
        wait_until(lambda: device.waiting == 0, 60)
        undone = "SELECT COUNT(*) FROM looks WHERE outcome IS NULL"
        wait_until(lambda: rows(database, undone) == [(0,)], 120)
        wait_until(lambda: len(device.verdicts) == len(sent), 60)
        worker.terminate()
        assert worker.wait(30) == 0, log.read_text()[-3000:]

    stored = [row[0] for row in rows(database, "SELECT look_id FROM looks")]
    assert sorted(map(str, stored)) == sorted(sent)
    assert len(rows(database, "SELECT look_id FROM verdicts")) == len(sent)
    members: Counter[str] = Counter()
    for shard in (tmp_path / "cloud" / "objects").rglob("*.tar"):
        with tarfile.open(shard) as tar:
            members.update(n for n in tar.getnames() if n.endswith(".jpg"))
    assert sorted(members) == sorted(f"{look_id}.jpg" for look_id in sent)
    assert set(members.values()) == {1}
    # A call that was under way when the worker died is made again, and never a third time here.
    asked = Counter(llm.looks)
    again = sum(n - 1 for n in asked.values())
    print(json.dumps({"sent": len(sent), "asked_again": again, "kills": KILLS}))  # noqa: T201
    assert max(asked.values()) <= 1 + KILLS
    assert again <= KILLS * 2
