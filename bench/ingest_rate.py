"""Looks a second of the worker's ingest against a paho subscriber that only counts.

    python -m bench.ingest_rate [LOOKS] [--postgres]

A real Mosquitto holds the same backlog of 4 KB looks of 20 devices for both (QoS 1, MQTT 5, each
with its own session); they drain it in turn. Ours decodes, checks, writes shards and rows
(synced), sends receipts and acknowledges. Timed from connecting to the last look, for ours to
the last receipt handed over. CPU is user and system time of the draining process, memory how far
its resident set grew while it drained.
Goals: ratio >= 0.4 as a first step, >= 0.75 in the end; >= 2,000 looks/s.

With --postgres the rows go to a real server, started for this run, which syncs every commit; its
own CPU time is not counted.
"""

import argparse
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import psutil
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.contract.codec import Look, encode_look
from agent.contract.config import BrokerConfig
from agent.contract.ids import new_id
from agent.contract.messages import LookMeta, ScoredLabel
from agent.contract.topics import Topics
from bench.common import machine, of_values, paired
from cloud.config import CloudConfig, LabelConfig
from cloud.worker import Worker
from tests.postgres import postgres_server

LOOKS = 4_000
PAIRS = 7
DEVICES = 20
LOOK_BYTES = 4_000
TOPICS = Topics("secondlook")
LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Drain:
    """What taking one backlog cost."""

    seconds: float
    cpu_s: float
    grown_bytes: int


def main() -> None:
    """Fill both sessions, drain them in turn, and again."""
    parser = argparse.ArgumentParser(usage="python -m bench.ingest_rate [LOOKS] [--postgres]")
    parser.add_argument("looks", nargs="?", type=int, default=LOOKS)
    parser.add_argument("--postgres", action="store_true")
    args = parser.parse_args()
    looks: int = args.looks
    ours, counted = [], []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = stack.enter_context(broker(folder))
        server = stack.enter_context(postgres_server("")) if args.postgres else None
        counter, url = Counter(port), f"mqtt://127.0.0.1:{port}"
        for pair in range(PAIRS + 1):
            database = server.new_database() if server else ""
            worked = Worked(folder / str(pair), url, database)
            counter.visit()
            worked.visit()
            publish(port, payloads(looks, seed=pair))
            arms: list[Callable[[int], Drain]] = [counter.drain, worked.drain]
            took = {arm: arm(looks) for arm in (arms if pair % 2 else arms[::-1])}
            if pair:  # the first pair warms caches
                counted.append(took[counter.drain])
                ours.append(took[worked.drain])
    tell(looks, ours, counted)


def tell(looks: int, ours: list[Drain], counted: list[Drain]) -> None:
    """Print rates, their ratio, CPU and memory."""
    fast, bare = ([looks / d.seconds for d in arm] for arm in (ours, counted))
    print(f"looks/s stored and receipted: {of_values(fast)}; counted: {of_values(bare)}")
    print(f"ingest / counting subscriber: {paired(fast, bare)}")
    cpu, bare_cpu = ([d.cpu_s / looks * 1e6 for d in arm] for arm in (ours, counted))
    print(f"CPU us a look: {of_values(cpu)}; counted: {of_values(bare_cpu)}")
    print(f"CPU counted / CPU ingest: {paired(bare_cpu, cpu)}")
    print(f"most memory grown while draining: {max(d.grown_bytes for d in ours) / 2**20:.1f} MiB")
    print(machine(bare))


class Meter:
    """Measures this process from its making on."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._rss = self._most = self._process.memory_info().rss
        self._cpu_s = time.process_time()
        self._started = time.perf_counter()

    def look(self) -> None:
        """Note how large the process is now."""
        self._most = max(self._most, self._process.memory_info().rss)

    def stop(self) -> Drain:
        """Return what it took until now."""
        seconds = time.perf_counter() - self._started
        return Drain(seconds, time.process_time() - self._cpu_s, self._most - self._rss)


class Counter:
    """A paho subscriber that counts and, as paho does by itself, acknowledges."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._seen = 0
        self._wanted = 0
        self._done = threading.Event()

    def visit(self) -> None:
        """Make the session and its subscription, then leave."""
        client = self._client()
        ready = threading.Event()
        client.on_subscribe = lambda *_: ready.set()
        client.subscribe(TOPICS.of_all("look"), 1)
        assert ready.wait(10), "no SUBACK"
        self._leave(client)

    def drain(self, looks: int) -> Drain:
        """Take the backlog."""
        self._seen, self._wanted = 0, looks
        self._done.clear()
        meter = Meter()
        client = self._client()
        assert self._done.wait(LIMIT_S), f"{self._seen} of {looks} counted"
        took = meter.stop()
        self._leave(client)
        return took

    def _client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, "bench-counter", protocol=MQTTProtocolVersion.MQTTv5
        )
        client.on_message = self._on_message
        connect(client, self._port)
        return client

    def _on_message(self, *_: object) -> None:
        self._seen += 1
        if self._seen == self._wanted:
            self._done.set()

    @staticmethod
    def _leave(client: mqtt.Client) -> None:
        client.disconnect()
        client.loop_stop()


class Worked:
    """The worker on a folder of its own, labelling switched off."""

    def __init__(self, folder: Path, url: str, database: str) -> None:
        self._config = CloudConfig(
            state_dir=str(folder),
            database_url=database,
            broker=BrokerConfig(url=url),
            label=LabelConfig(enabled=False),
        )

    def visit(self) -> None:
        """Make the session and its subscriptions, then leave."""
        with Worker(self._config) as worker:
            worker.bus.wait(10)
            time.sleep(0.2)  # the bus does not tell of SUBACK

    def drain(self, looks: int) -> Drain:
        """Take the backlog, until the last look is stored and receipted."""
        worker = Worker(self._config)
        counters = worker.ingest.counters
        deadline = time.monotonic() + LIMIT_S
        meter = Meter()
        with worker:
            while counters["receipts"] < looks:
                assert time.monotonic() < deadline, dict(counters)
                time.sleep(0.005)
                meter.look()
            took = meter.stop()
            assert worker.store.totals().looks == looks, dict(counters)
            # A socket closed at once may lose its last acknowledgements: they would come again.
            time.sleep(0.5)
        return took


def payloads(looks: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield topics and looks of 4 KB, ids all different."""
    rng = random.Random(seed)
    drawn = cv2.imencode(".jpg", np.zeros((96, 96, 3), np.uint8))[1].tobytes()
    head = drawn[: drawn.index(b"\xff\xda") + 14]
    for number in range(looks):
        device = f"cam-{number % DEVICES}"
        meta = LookMeta(
            look_id=new_id(time.time(), rng.randbytes(10)),
            device=device,
            camera="front",
            sighting_id=new_id(time.time(), rng.randbytes(10)),
            captured_at=time.time(),
            frame=number,
            frame_size=(640, 480),
            box=(100, 100, 150, 150),
            profile="traffic-signs",
            model=rng.randbytes(8).hex(),
            agent="0.1.0",
            reason="uncertain",
            top=tuple(ScoredLabel(label=f"sign {i}", score=0.3 - i / 20) for i in range(5)),
            margin=0.05,
            energy=-3.2,
        )
        noise = rng.randbytes(LOOK_BYTES - 1_100).replace(b"\xff", b"\0")
        jpeg = head + noise + b"\xff\xd9"
        yield TOPICS.of(device, "look"), encode_look(Look(meta, jpeg))


def publish(port: int, messages: Iterator[tuple[str, bytes]]) -> None:
    """Hand all messages to the broker and wait for its word on each."""
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, "bench-publisher", protocol=MQTTProtocolVersion.MQTTv5
    )
    client.max_queued_messages_set(0)
    connect(client, port)
    sent = [client.publish(topic, payload, 1) for topic, payload in messages]
    for message in sent:
        message.wait_for_publish(LIMIT_S)
    client.disconnect()
    client.loop_stop()


def connect(client: mqtt.Client, port: int) -> None:
    """Connect to a session that outlives the connection."""
    ready = threading.Event()
    client.on_connect = lambda *_: ready.set()
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 3_600
    client.connect("127.0.0.1", port, clean_start=False, properties=properties)
    client.loop_start()
    # paho sends again on CONNACK what was published before it.
    assert ready.wait(10), "no CONNACK"


@contextmanager
def broker(folder: Path) -> Iterator[int]:
    """Run Mosquitto on a free port of loopback; yield the port."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    assert program, "mosquitto is not installed"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n"
        "max_inflight_messages 0\nmax_queued_messages 0\n"
    )
    child = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not _listens(port):
            assert child.poll() is None, "mosquitto ended"
            assert time.monotonic() < deadline, "mosquitto does not listen"
            time.sleep(0.02)
        yield port
    finally:
        child.terminate()
        child.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main()
