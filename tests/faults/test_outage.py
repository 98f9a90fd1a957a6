"""Broker away for half a minute, agent and worker killed: nothing lost, nothing twice."""

import os
import signal
import time
from pathlib import Path

import pytest

from cloud.demo.recount import read_ledger, read_looks, rows_of, shard_members
from tests.conftest import Mosquitto
from tests.llm_server import LlmServer
from tests.programs import Program, running, wait_for

OUTAGE_S = 30.0
PER_PHASE = 55
DEVICE = """
device = "cam-1"
profile = "traffic-signs"
state_dir = "{root}/device"
[[camera]]
name = "road"
uri = "scene://3?frames={frames}"
fps = 30
[broker]
url = "{broker}"
[spool]
ledger = true
[limits]
looks_per_day = 1000000
bytes_per_day = 10000000000
max_threshold = 1.0
[settings]
threshold = 1.0
looks_per_day = 1000000
bytes_per_day = 10000000000
looks_per_sighting = 20
duplicate_bits = 0
"""
WORKER = """
state_dir = "{root}/cloud"
[broker]
url = "{broker}"
[label]
base_url = "{llm}"
api_key_env = ""
daily_cap_usd = 100.0
"""


@pytest.mark.slow
def test_outage_and_kills_lose_nothing(tmp_path: Path, mosquitto: Mosquitto) -> None:
    def accepted() -> int:
        return len(read_ledger(tmp_path / "device" / "spool" / "ledger.log")[0])

    def phase(name: str) -> None:
        target = accepted() + PER_PHASE
        wait_for(f"{PER_PHASE} looks: {name}", lambda: accepted() >= target, 120)

    with LlmServer(lambda _: "Stop") as llm:
        device_file, worker_file = tmp_path / "device.toml", tmp_path / "cloud.toml"
        words = {"root": tmp_path, "broker": mosquitto.url, "llm": llm.url}
        device_file.write_text(DEVICE.format(frames=1_000_000, **words))
        worker_file.write_text(WORKER.format(**words))
        agent = Program("agent", "run", "--config", str(device_file), log=tmp_path / "agent.log")
        worker = Program("cloud", "run", "--config", str(worker_file), log=tmp_path / "worker.log")
        with running(worker, agent):
            phase("all well")
            mosquitto.stop()
            back_at = time.monotonic() + OUTAGE_S
            phase("broker away")
            wait_for("the outage is over", lambda: time.monotonic() >= back_at, OUTAGE_S + 1)
            mosquitto.start()
            phase("broker back")
            agent.stop(signal.SIGKILL)
            agent.start()
            phase("agent killed")
            worker.stop(signal.SIGKILL)
            phase("worker gone")
            worker.start()
            phase("worker back")
            agent.stop(signal.SIGTERM)
            device_file.write_text(DEVICE.format(frames=1, **words))
            drain = Program(
                "agent", "run", "--config", str(device_file), "--until-settled", "60",
                log=tmp_path / "agent.log",
            )  # fmt: skip
            with running(drain):
                assert drain.finish(180) == os.EX_OK, drain.output[-3000:]
            database = tmp_path / "cloud" / "secondlook.sqlite"
            waiting = "SELECT COUNT(*) FROM looks WHERE outcome IS NULL"
            wait_for("all answered", lambda: rows_of(database, waiting) == [(0,)], 120)

    ids, evicted = read_ledger(tmp_path / "device" / "spool" / "ledger.log")
    stored = [look.look_id for look in read_looks(database)]
    members = shard_members(tmp_path / "cloud" / "objects")
    assert len(ids) >= 200
    assert not evicted
    assert ids.keys() - set(stored) == set(), "lost"
    assert set(stored) - ids.keys() == set(), "phantoms"
    assert len(stored) == len(set(stored)), "stored twice"
    assert set(members) == set(stored), "rows and shards differ"
    assert max(members.values()) == 1, "in two shards"
