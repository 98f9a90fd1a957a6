"""Certificates and protocols that must not be trusted, and ones that are replaced."""

import datetime as dt
import gc
import os
import random
import signal
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from agent.base.clock import SystemClock
from agent.commands.link import check_link
from agent.contract.config import DeviceConfig, parse_config
from agent.session import Session
from tests.faults.case import Case
from tests.programs import Program, wait_for
from tests.streams import until
from tests.tls_broker import Broker, Party, run_broker

DAY = dt.timedelta(days=1)
NOW = dt.datetime.now(dt.timezone.utc)
LOOK = b"bytes of a look"


def written(folder: Path, ca: trustme.CA, *names: str, **options: object) -> tuple[Path, Path]:
    """A new certificate and its key, as files."""
    leaf = ca.issue_cert(*names, **options)  # type: ignore[arg-type]
    folder.mkdir(parents=True, exist_ok=True)
    cert, key = folder / "cert.pem", folder / "key.pem"
    leaf.private_key_pem.write_to_path(key)
    cert.write_bytes(b"".join(part.bytes() for part in leaf.cert_chain_pems))
    return cert, key


def revoked(folder: Path, ca: trustme.CA, cert: Path) -> Path:
    """A list of revoked certificates with this one on it."""
    issuer = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
    number = x509.load_pem_x509_certificate(cert.read_bytes()).serial_number
    entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(NOW - DAY)
    key = load_pem_private_key(ca.private_key_pem.bytes(), None)
    listed = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(NOW - DAY)
        .next_update(NOW + 30 * DAY)
        .add_revoked_certificate(entry.build())
        .sign(key, hashes.SHA256())  # type: ignore[arg-type]
    )
    path = folder / "revoked.pem"
    path.write_bytes(listed.public_bytes(Encoding.PEM))
    return path


class Server:
    """Accepts TLS as told and counts what comes through it; nothing is ever answered."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.connections = 0
        self.decrypted = b""
        """What came inside TLS."""
        self.first: set[int] = set()
        """First byte of each connection: 22 is a TLS handshake, 16 a CONNECT in plain text."""
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)

    @contextmanager
    def served(self) -> Iterator["Server"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._thread.join()
            self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with plain:
                plain.settimeout(2)
                try:
                    self._take(plain)
                except OSError:
                    continue

    def _take(self, plain: socket.socket) -> None:
        if first := plain.recv(1, socket.MSG_PEEK):
            self.first.add(first[0])
        if self._context is None:
            plain.recv(4096)
            return  # a broker without TLS takes it for rubbish and hangs up
        with self._context.wrap_socket(plain, server_side=True) as sealed:
            self.decrypted += sealed.recv(4096)


@dataclass
class Scene:
    """One bad way: what the server does and which files the device has."""

    server: ssl.SSLContext | None
    device: dict[str, str]
    words: str
    """What the diagnosis must say."""


def heard_more(server: Server, seen: int) -> bool:
    return len(server.decrypted) > seen


def server_context(cert: Path, key: Path, clients: trustme.CA | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.cert_pem.bytes().decode())
    return context


def old(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def scenes(root: Path) -> dict[str, Callable[[], Scene]]:
    ca, stranger = trustme.CA(), trustme.CA()
    ca_file = root / "ca.pem"
    ca.cert_pem.write_to_path(ca_file)
    good = written(root / "server", ca, "localhost", "127.0.0.1")
    mine = written(root / "mine", ca, "x", common_name="cam-1")
    trusting = {"ca_file": str(ca_file)}
    enrolled = {**trusting, "cert_file": str(mine[0]), "key_file": str(mine[1])}

    def with_server(name: str, issuer: trustme.CA, words: str, **options: object) -> Scene:
        host = str(options.pop("host", "localhost"))
        return Scene(
            server_context(*written(root / name, issuer, host, **options)), trusting, words
        )

    def self_signed() -> Scene:
        own = trustme.CA()
        folder = root / "self"
        folder.mkdir()
        own.cert_pem.write_to_path(folder / "cert.pem")
        own.private_key_pem.write_to_path(folder / "key.pem")
        context = server_context(folder / "cert.pem", folder / "key.pem")
        return Scene(context, trusting, "self")

    def expired_client() -> Scene:
        cert, key = written(root / "past", ca, "x", common_name="cam-1", not_after=NOW - DAY)
        files = {**trusting, "cert_file": str(cert), "key_file": str(key)}
        return Scene(server_context(*good, ca), files, "expired")

    def revoked_client() -> Scene:
        context = server_context(*good, ca)
        context.load_verify_locations(revoked(root, ca, mine[0]))
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        return Scene(context, enrolled, "revoked")

    return {
        "expired": lambda: with_server("exp", ca, "expired", not_after=NOW - DAY),
        "not yet valid": lambda: with_server("early", ca, "not yet valid", not_before=NOW + DAY),
        "wrong host": lambda: with_server("host", ca, "hostname", host="elsewhere.example"),
        "self-signed": self_signed,
        "unknown CA": lambda: with_server("stranger", stranger, "ca_file"),
        "TLS 1.0 only": lambda: Scene(
            old(server_context(*good), ssl.TLSVersion.TLSv1), trusting, "tls 1.2"
        ),
        "TLS 1.1 only": lambda: Scene(
            old(server_context(*good), ssl.TLSVersion.TLSv1_1), trusting, "tls 1.2"
        ),
        "no TLS at all": lambda: Scene(None, trusting, "is there tls on that port"),
        "client expired": expired_client,
        "client revoked": revoked_client,
        "client without a certificate": lambda: Scene(
            server_context(*good, ca), trusting, "wants a client certificate"
        ),
    }


def config_of(scene: Scene, port: int, root: Path) -> DeviceConfig:
    return parse_config(
        {
            "device": "cam-1",
            "state_dir": str(root / "state"),
            "camera": [{"name": "front", "uri": "scene://1"}],
            "broker": {"url": f"mqtts://localhost:{port}", **scene.device},
        },
        "test",
    )


class Hasty(threading.Event):
    """Ends waiting at once and sums up how long it would have been."""

    def __init__(self, really_s: float = 0.0) -> None:
        super().__init__()
        self._really_s = really_s
        self.skipped = 0.0
        self.at: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.at.append(time.monotonic() + self.skipped)
        self.skipped += timeout or 0.0
        return super().wait(self._really_s)


# paho leaves the socket of a failed handshake to the garbage collector, which takes it at once.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.fault(34)
def test_nothing_is_said_to_whom_we_cannot_trust(case: Case, tmp_path: Path) -> None:
    attempts = case.size(10, 100)
    secret, connected, rates, problems = 0, 0, {}, {}
    unexplained = []
    gc.collect()
    files = len(list(Path("/proc/self/fd").iterdir()))
    for name, make in scenes(tmp_path).items():
        scene = make()
        with Server(scene.server).served() as server:
            config = config_of(scene, server.port, tmp_path)
            will = ("secondlook/cam-1/status", LOOK)
            session = Session(config.broker, "cam-1", will, (), random.Random(case.seed))
            pause = Hasty()
            session.link._stop = pause
            session.start()
            assert until(lambda p=pause: len(p.at) >= attempts, 60), name  # type: ignore[misc]
            connected += session.connections
            problems[name] = session.problem
            session.stop()
            (told, skipped) = check_link(config, None, SystemClock())
            said = f"{told.text} {told.remedy}".lower()
            if told.grade != "fail" or skipped.grade != "skip" or scene.words not in said:
                unexplained.append((name, said))
            secret += len(server.decrypted)
            assert server.first <= {22}, f"{name}: spoke without TLS"
            assert server.connections >= attempts
        rates[name] = max(sum(a <= b < a + 60 for b in pause.at) for a in pause.at)
    gc.collect()
    left = len(list(Path("/proc/self/fd").iterdir())) - files
    case.record(
        attempts * len(rates), files_left_open=left, bytes_sent=secret, connected=connected,
        attempts_per_min_max=max(rates.values()), unexplained=len(unexplained),
    )  # fmt: skip
    assert connected == 0
    assert secret == 0
    assert left <= 0
    assert max(rates.values()) < 10, rates
    assert all(p.startswith(("unreachable: ", "lost: ")) for p in problems.values())
    assert unexplained == []


DEVICE = """
device = "cam-1"
state_dir = "{root}/device"
[[camera]]
name = "road"
uri = "scene://3?frames=1000000&realtime=1&fps=5"
[broker]
url = "mqtts://localhost:{port}"
ca_file = "{root}/mine/ca.pem"
cert_file = "{root}/mine/cert.pem"
key_file = "{root}/mine/key.pem"
"""


def put(path: Path, data: bytes) -> None:
    """Replace a file as an operator's tool does: at once."""
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.replace(path)


def deploy(folder: Path, ca: trustme.CA, devices: trustme.CA) -> None:
    """Give the broker a certificate of one CA; it trusts devices of the other."""
    server = Party(folder / f"server-{time.monotonic()}", ca, "localhost")
    for name, data in (
        ("broker.crt", server.cert.read_bytes()),
        ("broker.key", server.key.read_bytes()),
        ("ca.crt", devices.cert_pem.bytes()),
        ("workers-ca.crt", devices.cert_pem.bytes()),
    ):
        put(folder / name, data)


@pytest.mark.fault(35)
@pytest.mark.slow
def test_certificates_are_replaced_under_a_running_agent(case: Case, tmp_path: Path) -> None:
    folder, mine = tmp_path / "broker", tmp_path / "mine"
    folder.mkdir()
    mine.mkdir()
    ca, devices = trustme.CA(), trustme.CA()
    broker = Broker(folder, folder / "ca.crt")
    file, log = tmp_path / "device.toml", tmp_path / "agent.log"
    file.write_text(DEVICE.format(root=tmp_path, port=broker.devices))
    agent = Program("agent", "run", "--config", str(file), log=log)

    def enrol(issuer: trustme.CA) -> None:
        party = Party(tmp_path / f"issued-{time.monotonic()}", issuer, "cam-1")
        put(mine / "cert.pem", party.cert.read_bytes())
        put(mine / "key.pem", party.key.read_bytes())

    def served() -> Iterator[float]:
        """Start the broker; yield the seconds until the agent is with it."""
        before = agent.output.count("broker_connected") if log.exists() else 0
        for _ in run_broker(broker):
            if agent.child is None:
                agent.start()
            up = time.monotonic()
            wait_for("connected", lambda: agent.output.count("broker_connected") > before, 90)
            yield time.monotonic() - up

    deploy(folder, ca, devices)
    put(mine / "ca.pem", ca.cert_pem.bytes())
    enrol(devices)
    gaps: dict[str, list[float]] = {"key": [], "CA": []}
    try:
        for _ in served():
            pid = agent.child.pid if agent.child else 0
        for _ in range(case.size(1, 10)):
            # The broker's CA is renewed: both are trusted for a while, as one does it.
            new = trustme.CA()
            put(mine / "ca.pem", ca.cert_pem.bytes() + new.cert_pem.bytes())
            deploy(folder, new, devices)
            for gap in served():
                gaps["CA"].append(gap)
                # New keys for all devices, laid over the old while the connection stands. From
                # its next start on, the broker takes nothing else.
                ca, devices = new, trustme.CA()
                deploy(folder, ca, devices)
                enrol(devices)
            gaps["key"] += served()
        assert agent.child
        assert agent.child.pid == pid
        agent.stop(signal.SIGTERM)
        assert agent.finish(20) == os.EX_OK
    finally:
        agent.stop(signal.SIGKILL)
    case.record(
        len(gaps["CA"] + gaps["key"]), agent_restarts=0,
        gap_s_max={k: round(max(v), 1) for k, v in gaps.items()},
    )  # fmt: skip


@pytest.mark.fault(35, cheap=True)
def test_half_replaced_files_are_waited_out(case: Case, tmp_path: Path) -> None:
    """A certificate whose key has not come yet, no CA file: not our end, and nothing in clear."""
    ca = trustme.CA()
    good = written(tmp_path / "server", ca, "localhost")
    old_cert, key = written(tmp_path / "mine", ca, "x", common_name="cam-1")
    new_cert, _ = written(tmp_path / "new", ca, "x", common_name="cam-1")
    ca_file = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(ca_file)
    files = {"ca_file": str(ca_file), "cert_file": str(old_cert), "key_file": str(key)}
    with Server(server_context(*good, ca)).served() as server:
        config = config_of(Scene(None, files, ""), server.port, tmp_path)
        session = Session(config.broker, "cam-1", ("t", LOOK), (), random.Random(case.seed))
        pause = session.link._stop = Hasty(0.02)
        whole, contents = [old_cert, key, ca_file], {}
        for path in whole:
            contents[path] = path.read_bytes()
        session.start()
        problems = []
        broken: list[tuple[Path, bytes | None]] = [
            (old_cert, new_cert.read_bytes()), (key, b"no key"), (key, None), (ca_file, None),
            (ca_file, b""), (old_cert, b"\0" * 100),
        ]  # fmt: skip
        for path, data in broken:
            if data is None:
                path.unlink()
            else:
                path.write_bytes(data)
            mark = len(pause.at)
            assert until(lambda m=mark: len(pause.at) > m + 2)  # type: ignore[misc]
            problems.append(session.problem)
            path.write_bytes(contents[path])
            seen = len(server.decrypted)
            tries_again = partial(heard_more, server, seen)
            assert until(tries_again), "with whole files"
        session.stop()
        case.record(len(broken), recovered=len(broken))
        assert server.first == {22}
        assert all("TLS file" in p for p in problems), problems
