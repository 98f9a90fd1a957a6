"""Row 57: a device with a good certificate that plays another one; what counts is delivery."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from agent.contract.topics import CHANNELS, DOWN, UP, Topics
from tests.faults.case import Case
from tests.tls_broker import Broker, Client, Party, run_broker

TOPICS = Topics()
WORKER = "secondlook-cloud"
FILTERS = (
    "#", "+/#", "secondlook/#", "secondlook/+/#", "secondlook/cam-b/#", "$SYS/#",
    "$share/mine/secondlook/+/look", "$share/mine/#", "secondlook/cam-b/verdict",
    "secondlook/+/advice", "secondlook/cam-b/desired",
)  # fmt: skip
SETTLE_S = 1.0


@pytest.fixture
def parties(tmp_path: Path) -> Iterator[tuple[Broker, Callable[[str], Client]]]:
    """The broker of deploy/ with its rules, and who connects to it by name."""
    devices, workers = trustme.CA(), trustme.CA()
    devices.cert_pem.write_to_path(tmp_path / "ca.crt")
    workers.cert_pem.write_to_path(tmp_path / "workers-ca.crt")
    server = Party(tmp_path / "server", devices, "localhost")
    shutil.copy(server.cert, tmp_path / "broker.crt")
    shutil.copy(server.key, tmp_path / "broker.key")
    with ExitStack() as stack:
        for broker in run_broker(Broker(tmp_path, tmp_path / "ca.crt")):

            def connected(name: str, broker: Broker = broker) -> Client:
                ca, port = (
                    (workers, broker.workers) if name == WORKER else (devices, broker.devices)
                )
                client = Client(broker, port, Party(tmp_path / name, ca, name), name)
                stack.callback(client.stop)
                return client.connect()

            yield broker, connected
            stack.close()


@pytest.mark.fault(57)
def test_device_plays_another(case: Case, parties: tuple[Broker, Callable[[str], Client]]) -> None:
    _, connected = parties
    worker, a, b = connected(WORKER), connected("cam-a"), connected("cam-b")
    # Retained before A subscribes, and sent after: both ways of hearing it.
    worker.publish(TOPICS.of("cam-b", "desired"), b"of b, retained", retain=True)
    worker.subscribe("secondlook/#")
    a.subscribe(*FILTERS)
    b.subscribe("secondlook/cam-b/#")
    tried = 0
    for channel in (c for c in CHANNELS if c in UP):
        a.publish(TOPICS.of("cam-b", channel), b"a as b")
        a.publish(TOPICS.of("cam-b", channel), b"a as b, retained", retain=True)
        tried += 2
    for down in (c for c in CHANNELS if c in DOWN):
        a.publish(TOPICS.of("cam-b", down), b"a as the cloud")
        a.publish(TOPICS.of("cam-a", down), b"a as its own cloud")
        worker.publish(TOPICS.of("cam-b", down), b"of b")
        tried += 3
    for topic in ("secondlook", "secondlook/look", "secondlook//look", "$SYS/broker/uptime"):
        a.publish(topic, b"a elsewhere")
        tried += 1
    b.publish(TOPICS.of("cam-b", "look"), b"a look of b")
    # What comes last says that what came before has been delivered or never will be.
    a.publish(TOPICS.of("cam-a", "look"), b"last")
    worker.wait_heard(TOPICS.of("cam-a", "look"), b"last")
    worker.publish(TOPICS.of("cam-a", "verdict"), b"last")
    a.wait_heard(TOPICS.of("cam-a", "verdict"), b"last")
    worker.publish(TOPICS.of("cam-b", "verdict"), b"last")
    b.wait_heard(TOPICS.of("cam-b", "verdict"), b"last")
    time.sleep(SETTLE_S)
    forged = [
        m
        for client in (worker, b)
        for m in client.heard
        if m[1].startswith(b"a ") and m[1] != b"a look of b"
    ]
    leaked = [m for m in a.heard if not m[0].startswith("secondlook/cam-a/")]
    case.record(tried + len(FILTERS), forged=len(forged), leaked=len(leaked))
    assert forged == []
    assert leaked == []
    assert (TOPICS.of("cam-b", "look"), b"a look of b") in worker.heard
    assert (TOPICS.of("cam-b", "desired"), b"of b, retained") in b.heard
