"""deploy/: the broker's doors and rules, on a real Mosquitto with mutual TLS."""

import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from agent.contract.codec import MAX_LOOK_BYTES
from agent.contract.topics import DOWN, UP, Topics
from tests.tls_broker import DEPLOY, LIMIT_S, Broker, Client, Party, run_broker

WORKER = "secondlook-cloud"
TOPICS = Topics()


@dataclass
class Fleet:
    broker: Broker
    a: Party
    b: Party
    worker: Party
    stranger: Party
    posing_worker: Party
    """A certificate of the devices' authority that bears the worker's name."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    devices, workers, strangers = trustme.CA(), trustme.CA(), trustme.CA()
    devices.cert_pem.write_to_path(folder / "ca.crt")
    workers.cert_pem.write_to_path(folder / "workers-ca.crt")
    server = Party(folder / "server", devices, "localhost")
    shutil.copy(server.cert, folder / "broker.crt")
    shutil.copy(server.key, folder / "broker.key")
    for broker in run_broker(Broker(folder, folder / "ca.crt")):
        yield Fleet(
            broker,
            Party(folder / "a", devices, "cam-a"),
            Party(folder / "b", devices, "cam-b"),
            Party(folder / "worker", workers, WORKER),
            Party(folder / "stranger", strangers, "cam-a"),
            Party(folder / "posing", devices, WORKER),
        )


Connect = Callable[..., Client]


@pytest.fixture
def device(fleet: Fleet) -> Iterator[Connect]:
    """Connect with a party's certificate through the devices' door."""
    yield from _clients(fleet.broker, fleet.broker.devices)


@pytest.fixture
def worker(fleet: Fleet) -> Iterator[Connect]:
    """The same through the workers' door."""
    yield from _clients(fleet.broker, fleet.broker.workers)


def _clients(broker: Broker, port: int) -> Iterator[Connect]:
    made: list[Client] = []

    def connect(party: Party | None, client_id: str = "", *, now: bool = True) -> Client:
        made.append(Client(broker, port, party, client_id or (party.name if party else "nobody")))
        return made[-1].connect() if now else made[-1]

    yield connect
    for client in made:
        client.stop()


# --- who may do what ----------------------------------------------------------------------------


def test_device_sends_up_and_the_worker_hears_it(
    fleet: Fleet, device: Connect, worker: Connect
) -> None:
    cloud, cam = worker(fleet.worker), device(fleet.a)
    cloud.subscribe("secondlook/+/+")
    for channel in UP:
        assert cam.publish(TOPICS.of("cam-a", channel), channel.encode()) == "Success"
        cloud.wait_heard(TOPICS.of("cam-a", channel), channel.encode())


def test_worker_sends_down_and_only_that_device_hears_it(
    fleet: Fleet, device: Connect, worker: Connect
) -> None:
    cloud, a, b = worker(fleet.worker), device(fleet.a), device(fleet.b)
    a.subscribe("#", *(TOPICS.of("cam-b", c) for c in DOWN), *(TOPICS.of("cam-a", c) for c in DOWN))
    b.subscribe(*(TOPICS.of("cam-b", c) for c in DOWN))
    for channel in DOWN:
        cloud.publish(TOPICS.of("cam-b", channel), b"for b")
        b.wait_heard(TOPICS.of("cam-b", channel), b"for b")
    # Comes after everything that a may not hear: whatever it heard of that is here by now.
    cloud.publish(TOPICS.of("cam-a", "call"), b"for a")
    a.wait_heard(TOPICS.of("cam-a", "call"), b"for a")
    assert {payload for _, payload in a.heard} == {b"for a"}


def test_retained_orders_of_another_device_are_not_delivered(
    fleet: Fleet, device: Connect, worker: Connect
) -> None:
    cloud = worker(fleet.worker)
    for name in ("cam-a", "cam-b"):
        cloud.publish(TOPICS.of(name, "desired"), name.encode(), retain=True)
    a = device(fleet.a)
    a.subscribe(TOPICS.of("cam-b", "desired"), "secondlook/#", "+/+/desired")
    a.subscribe(TOPICS.of("cam-a", "desired"))
    a.wait_heard(TOPICS.of("cam-a", "desired"), b"cam-a")
    assert {payload for _, payload in a.heard} == {b"cam-a"}
    for name in ("cam-a", "cam-b"):
        cloud.publish(TOPICS.of(name, "desired"), b"", retain=True)


@pytest.mark.parametrize(
    "topic",
    [
        *(f"secondlook/cam-b/{channel}" for channel in (*UP, *DOWN)),
        *(f"secondlook/cam-a/{channel}" for channel in DOWN),
        "secondlook/cam-a/look/more",
        "other/cam-a/look",
    ],
)
def test_device_is_refused_elsewhere(
    fleet: Fleet, device: Connect, worker: Connect, topic: str
) -> None:
    cloud, cam = worker(fleet.worker), device(fleet.a)
    cloud.subscribe("#")
    assert cam.publish(topic, b"forged") == "Not authorized"
    cam.publish(TOPICS.of("cam-a", "look"), b"own")
    cloud.wait_heard(TOPICS.of("cam-a", "look"), b"own")
    assert (topic, b"forged") not in cloud.heard


def test_device_cannot_take_over_another_session(fleet: Fleet, device: Connect) -> None:
    a = device(fleet.a)
    posing = device(fleet.b, "cam-a")
    posing.publish(TOPICS.of("cam-b", "look"), b"x")
    a.publish(TOPICS.of("cam-a", "look"), b"x")
    assert (a.losses, posing.losses) == (0, 0)


def test_largest_look_passes_and_a_larger_packet_does_not(
    fleet: Fleet, device: Connect, worker: Connect
) -> None:
    cloud, cam = worker(fleet.worker), device(fleet.a)
    topic = TOPICS.of("cam-a", "look")
    cloud.subscribe(topic)
    assert cam.packet_limit == 131_072
    assert cam.publish(topic, bytes(MAX_LOOK_BYTES)) == "Success"
    cloud.wait_heard(topic, bytes(MAX_LOOK_BYTES))
    cam.send(topic, b"x" * 131_072)
    cam.wait(lambda: cam.losses > 0, "loss of the connection")
    device(fleet.b).publish(TOPICS.of("cam-b", "look"), b"x")
    assert [len(payload) for _, payload in cloud.heard] == [MAX_LOOK_BYTES]


# --- who gets in --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("door", "who"),
    [
        ("devices", None),
        ("devices", "stranger"),
        ("devices", "worker"),
        ("workers", None),
        ("workers", "stranger"),
        ("workers", "a"),
        ("workers", "posing_worker"),
    ],
)
def test_stranger_stays_out(
    fleet: Fleet, device: Connect, worker: Connect, door: str, who: str | None
) -> None:
    party = getattr(fleet, who) if who else None
    client = (device if door == "devices" else worker)(party, now=False)
    client.start()  # with TLS 1.3 the handshake is over before the broker looks at us
    client.wait(lambda: client.losses > 0, "loss of the connection")
    assert not client.connected


def test_broker_with_another_authority_is_not_believed(fleet: Fleet, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.crt")
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    with (
        socket.create_connection(("127.0.0.1", fleet.broker.devices), LIMIT_S) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        context.wrap_socket(plain, server_hostname="localhost")


# --- certificates by script ---------------------------------------------------------------------


def make_certs(*words: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    script = DEPLOY / "make-certs.sh"
    return subprocess.run(
        ["sh", str(script), *map(str, words)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_certificates_by_script_open_the_right_doors(tmp_path: Path) -> None:
    fleet_dir, device_dir = tmp_path / "safe place", tmp_path / "device"
    for words in (
        ("init", fleet_dir, "localhost", "127.0.0.1"),
        ("request", "cam-7", device_dir),
        ("sign", fleet_dir, device_dir / "cam-7.csr"),
    ):
        result = make_certs(*words)
        assert result.returncode == 0, result.stderr
    assert (device_dir / "device.key").stat().st_mode & 0o077 == 0
    places = tmp_path / "broker"
    places.mkdir()
    for name in ("ca.crt", "workers-ca.crt", "broker.crt", "broker.key"):
        shutil.copy(fleet_dir / name, places)
    for broker in run_broker(Broker(places, places / "ca.crt")):
        cam, cloud = (Party.__new__(Party) for _ in range(2))
        cam.cert, cam.key = device_dir / "cam-7.crt", device_dir / "device.key"
        cloud.cert, cloud.key = fleet_dir / "worker.crt", fleet_dir / "worker.key"
        down = Client(broker, broker.workers, cloud, "ingest").connect()
        up = Client(broker, broker.devices, cam, "cam-7").connect()
        down.subscribe("secondlook/+/look")
        assert up.publish("secondlook/cam-7/look", b"x") == "Success"
        down.wait_heard("secondlook/cam-7/look", b"x")
        for client in (up, down):
            client.stop()


@pytest.mark.parametrize("name", ["Cam", "a/b", "+", "", "x" * 64, WORKER])
def test_no_certificate_for_a_wrong_name(tmp_path: Path, name: str) -> None:
    assert make_certs("init", tmp_path / "ca", "localhost").returncode == 0
    assert make_certs("request", name, tmp_path / "device").returncode != 0
    assert not (tmp_path / "device").exists()
    # Nor for a request that was made without the script.
    (tmp_path / "device").mkdir()
    csr = tmp_path / "device" / "forged.csr"
    subject = "/CN=" + name.replace("/", r"\/")
    subprocess.run(
        ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", subject,
         "-keyout", str(csr.with_suffix(".key")), "-out", str(csr)],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    assert make_certs("sign", tmp_path / "ca", csr).returncode != 0
    assert not csr.with_suffix(".crt").exists()


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    assert make_certs("init", tmp_path, "localhost").returncode == 0
    before = (tmp_path / "ca.key").read_bytes()
    assert make_certs("init", tmp_path, "localhost").returncode != 0
    assert (tmp_path / "ca.key").read_bytes() == before
