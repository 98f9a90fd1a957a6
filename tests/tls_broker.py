"""A real Mosquitto with deploy/mosquitto.conf, and clients that tell what happened to them."""

import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import trustme
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.conftest import free_port, listens

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
LIMIT_S = 10.0


class Party:
    """One holder of a certificate, as files."""

    def __init__(self, folder: Path, ca: trustme.CA, name: str) -> None:
        folder.mkdir(parents=True)
        certificate = ca.issue_cert("localhost", "127.0.0.1", common_name=name)
        self.name = name
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        certificate.private_key_pem.write_to_path(self.key)
        for part in certificate.cert_chain_pems:
            part.write_to_path(self.cert, append=True)


@dataclass
class Broker:
    """A running Mosquitto with deploy/mosquitto.conf; only paths and ports are its own."""

    folder: Path
    ca: Path
    devices: int = field(default_factory=free_port)
    workers: int = field(default_factory=free_port)

    def config(self) -> str:
        text = (DEPLOY / "mosquitto.conf").read_text()
        for old, new in (
            ("listener 8883", f"listener {self.devices} 127.0.0.1"),
            ("listener 8884", f"listener {self.workers} 127.0.0.1"),
            ("acl_file /etc/mosquitto/acl", f"acl_file {DEPLOY / 'acl'}"),
            ("/etc/mosquitto/certs/", f"{self.folder}/"),
            ("persistence_location /var/lib/mosquitto/", f"persistence_location {self.folder}/"),
        ):
            assert old in text
            text = text.replace(old, new)
        # Root would become the user mosquitto, who may not read here.
        return f"{text}\nuser root\n"


def run_broker(broker: Broker) -> Iterator[Broker]:
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("mosquitto is not installed")
    config, log = broker.folder / "mosquitto.conf", broker.folder / "mosquitto.log"
    config.write_text(broker.config())
    with log.open("ab") as out:
        child = subprocess.Popen([program, "-c", str(config)], stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + LIMIT_S
        while not (listens(broker.devices) and listens(broker.workers)):
            assert child.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "mosquitto does not listen"
            time.sleep(0.02)
        yield broker
    finally:
        child.terminate()
        child.wait(LIMIT_S)


class Client:
    """A paho client over mutual TLS; everything it hears is kept."""

    def __init__(self, broker: Broker, port: int, party: Party | None, client_id: str) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.answers: dict[int, str] = {}
        self.losses = 0
        self.packet_limit = 0
        self._granted: set[int] = set()
        self._change = threading.Condition()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5
        )
        context = ssl.create_default_context(cafile=str(broker.ca))
        if party:
            context.load_cert_chain(party.cert, party.key)
        self._client.tls_set_context(context)
        self._client.reconnect_delay_set(60, 60)
        self._client.on_message = lambda _c, _d, m: self._note(
            lambda: self.heard.append((m.topic, bytes(m.payload)))
        )
        self._client.on_publish = lambda _c, _d, mid, code, _p: self._note(
            lambda: self.answers.update({mid: str(code)})
        )
        self._client.on_subscribe = lambda _c, _d, mid, _r, _p: self._note(
            lambda: self._granted.add(mid)
        )
        self._client.on_connect = lambda _c, _d, _f, _code, properties: self._note(
            lambda: setattr(self, "packet_limit", getattr(properties, "MaximumPacketSize", 0))
        )
        self._client.on_disconnect = lambda *_: self._note(
            lambda: setattr(self, "losses", self.losses + 1)
        )
        self._port = port

    def _note(self, what: Callable[[], Any]) -> None:
        with self._change:
            what()
            self._change.notify_all()

    def wait(self, until: Callable[[], bool], what: str) -> None:
        with self._change:
            assert self._change.wait_for(until, LIMIT_S), f"{what}: not within {LIMIT_S} s"

    def start(self) -> None:
        self._client.connect("127.0.0.1", self._port, keepalive=30)
        self._client.loop_start()

    def connect(self) -> "Client":
        self.start()
        self.wait(self._client.is_connected, "connection")
        return self

    def subscribe(self, *filters: str) -> None:
        mid = self._client.subscribe([(name, 1) for name in filters])[1]
        self.wait(lambda: mid in self._granted, "SUBACK")

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> str:
        """Publish with QoS 1; returns the broker's word."""
        mid = self.send(topic, payload, retain=retain)
        self.wait(lambda: mid in self.answers, f"PUBACK for {topic}")
        return self.answers[mid]

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Publish with QoS 1 and do not wait; returns the message id."""
        return self._client.publish(topic, payload, 1, retain).mid

    def wait_heard(self, topic: str, payload: bytes) -> None:
        self.wait(lambda: (topic, payload) in self.heard, f"{payload!r} on {topic}")

    @property
    def connected(self) -> bool:
        return self._client.is_connected()

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
