"""The agent as systemd sees it, and agent and worker over the deployed broker's mutual TLS."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from cloud.config import parse_cloud_config
from cloud.demo.recount import read_looks, rows_of
from cloud.worker import Worker
from tests.llm_server import LlmServer
from tests.programs import Program, running, wait_for
from tests.tls_broker import Broker, Party, run_broker

DEVICE = """
device = "cam-1"
state_dir = "{root}/device"
[[camera]]
name = "road"
uri = "{uri}"
"""
TLS = """
[broker]
url = "mqtts://localhost:{port}"
ca_file = "{ca}"
cert_file = "{party.cert}"
key_file = "{party.key}"
[settings]
threshold = 1.0
[limits]
max_threshold = 1.0
"""


def test_systemd_hears_ready_and_a_pulse_though_the_camera_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "device.toml"
    file.write_text(DEVICE.format(root=tmp_path, uri="file:///nowhere.mp4"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "2000000")
        agent = Program("agent", "run", "--config", str(file), log=tmp_path / "agent.log")
        with running(agent):
            assert manager.recv(4096).startswith(b"READY=1")
            assert [manager.recv(4096) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            agent.stop(signal.SIGTERM)
            assert agent.finish(20) == os.EX_OK
        words = b""
        while b"STOPPING=1" not in words:
            words = manager.recv(4096)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[tuple[Broker, Party, Party]]:
    """The deployed Mosquitto, a device's certificate and a worker's."""
    folder = tmp_path / "broker"
    devices, workers = trustme.CA(), trustme.CA()
    server = Party(folder / "server", devices, "localhost")
    device = Party(folder / "device", devices, "cam-1")
    worker = Party(folder / "worker", workers, "secondlook-cloud")
    for name, source in (("broker.crt", server.cert), ("broker.key", server.key)):
        (folder / name).write_bytes(source.read_bytes())
    devices.cert_pem.write_to_path(folder / "ca.crt")
    workers.cert_pem.write_to_path(folder / "workers-ca.crt")
    for running_broker in run_broker(Broker(folder, folder / "ca.crt")):
        yield running_broker, device, worker


def test_the_whole_loop_over_mutual_tls(
    tmp_path: Path, broker: tuple[Broker, Party, Party]
) -> None:
    served, device, worker = broker
    file = tmp_path / "device.toml"
    file.write_text(
        DEVICE.format(root=tmp_path, uri="scene://3?frames=60")
        + TLS.format(port=served.devices, ca=served.ca, party=device)
    )
    with LlmServer(lambda _: "Stop") as llm:
        config = parse_cloud_config(
            {
                "state_dir": str(tmp_path / "cloud"),
                "broker": {
                    "url": f"mqtts://localhost:{served.workers}",
                    "ca_file": str(served.ca),
                    "cert_file": str(worker.cert),
                    "key_file": str(worker.key),
                },
                "label": {"base_url": llm.url, "api_key_env": ""},
            },
            "test",
        )
        agent = Program(
            "agent", "run", "--config", str(file), "--until-settled", "40",
            log=tmp_path / "agent.log",
        )  # fmt: skip
        with Worker(config), running(agent):
            assert agent.finish(90) == os.EX_OK, agent.output[-3000:]
            database = tmp_path / "cloud" / "secondlook.sqlite"
            wait_for(
                "status on the worker",
                lambda: rows_of(database, "SELECT device FROM devices") == [("cam-1",)],
                20,
            )
    assert len(read_looks(database)) > 0
