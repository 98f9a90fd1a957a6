"""Signed config reaches a running device; everything else changes nothing. Last will, events."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from tests.conftest import Mosquitto
from tests.listener import Listener
from tests.makers import envelope
from tests.programs import Program, running, wait_for

DEVICE = """
device = "cam-1"
state_dir = "{root}/device"
[[camera]]
name = "road"
uri = "scene://5?frames=1000000&realtime=1"
[[camera]]
name = "gone"
uri = "file:///nowhere/clip.mp4"
[broker]
url = "{broker}"
[trust]
root_file = "{root}/keys/root.json"
repository = "file://{root}/keys/repository"
[limits]
max_threshold = 0.8
"""
FAR = 4_000_000_000.0


def cloud(*args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cloud", *args],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_config_by_mqtt(tmp_path: Path, mosquitto: Mosquitto) -> None:
    assert cloud("keys", "init", str(tmp_path / "keys")).returncode == 0
    again = cloud("keys", "init", str(tmp_path / "keys"))
    assert again.returncode == 1, "existing keys are never written over"
    where = (
        "--broker", mosquitto.url, "--keys", str(tmp_path / "keys"),
        "--state-dir", str(tmp_path / "cloud"),
    )  # fmt: skip
    file = tmp_path / "device.toml"
    file.write_text(DEVICE.format(root=tmp_path, broker=mosquitto.url))
    agent = Program("agent", "run", "--config", str(file), log=tmp_path / "agent.log")
    reported, status = "secondlook/cam-1/reported", "secondlook/cam-1/status"
    with Listener(mosquitto.url) as listener, running(agent):
        wait_for("a report", lambda: bool(listener.last(reported)), 30)
        assert listener.last(reported)["config"]["threshold"] == 0.5
        cameras = {c["camera"]: c for c in listener.last(status)["cameras"]}
        wait_for(
            "camera states",
            lambda: (
                {c["camera"]: c["state"] for c in listener.last(status)["cameras"]}
                == {"road": "ok", "gone": "absent"}
            ),
            20,
        )
        assert "road" in cameras

        done = cloud("fleet", "set", "cam-1", "threshold=0.75", "audit_share=0.2", *where)
        assert done.returncode == 0, done.stderr
        wait_for("the new threshold", lambda: _now(listener, "threshold") == 0.75, 20)
        seq = listener.last(reported)["config_seq"]
        assert seq > 0
        assert _now(listener, "audit_share") == 0.2

        insane = cloud("fleet", "set", "cam-1", "threshold=7", *where)
        assert insane.returncode == 1
        assert "threshold" in insane.stderr
        assert "1" in insane.stderr

        stranger = CryptoSigner.generate_ed25519()
        good = listener.heard["secondlook/cam-1/desired"][-1]
        rogue = {
            "signature": envelope(stranger, "desired", {"settings": {}}, 2**50, expires=FAR),
            "malformed": b'{"settings": {"threshold": 0.1}}',
        }
        for reason, payload in rogue.items():
            listener.publish("secondlook/cam-1/desired", payload)
            wait_for(reason, lambda r=reason: _refused(listener).startswith(r), 20)  # type: ignore[misc]
        assert _now(listener, "threshold") == 0.75
        assert listener.last(reported)["config_seq"] == seq

        over = cloud("fleet", "set", "cam-1", "threshold=0.95", *where)
        assert over.returncode == 0, over.stderr
        wait_for("the limit", lambda: _now(listener, "threshold") == 0.8, 20)
        listener.publish("secondlook/cam-1/desired", good)
        wait_for("replay", lambda: _refused(listener).startswith("replay"), 20)
        assert _now(listener, "threshold") == 0.8

        wait_for("an event", lambda: bool(listener.last("secondlook/cam-1/event")), 60)
        event = listener.last("secondlook/cam-1/event")
        assert event["state"] == "provisional"
        assert event["label"]

        agent.stop(signal.SIGKILL)
        wait_for("the last will", lambda: listener.last(status)["online"] is False, 60)
        agent.start()
        wait_for("back", lambda: listener.last(status)["online"] is True, 30)
        assert _now(listener, "threshold") == 0.8, "config survives kill -9"
        agent.stop(signal.SIGTERM)
        assert agent.finish(20) == 0
        wait_for("goodbye", lambda: listener.last(status)["online"] is False, 20)


def _now(listener: Listener, key: str) -> object:
    return listener.last("secondlook/cam-1/reported")["config"][key]


def _refused(listener: Listener) -> str:
    refused = listener.last("secondlook/cam-1/reported")["refused"]
    return json.dumps(refused[-1]["reason"]).strip('"') if refused else ""
