"""`secondlook doctor`: each part well, each part broken, all broken at once."""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from agent.alive import read_alive
from agent.base.clock import SystemClock
from agent.commands.checks import check_clock, check_disk
from agent.commands.link import judge_receipts, probe
from agent.config_file import load_config
from agent.contract.codec import decode_look
from agent.spool_files import read_spool
from cloud.config import parse_cloud_config
from cloud.keys import init_keys
from cloud.worker import Worker
from tests.agent.commands.conftest import Cli, Ran, WriteConfig
from tests.agent.commands.states import fill_notebook, fill_spool, leave_sign
from tests.conftest import Mosquitto, free_port
from tests.makers import FakeClock

Findings = dict[str, dict[str, Any]]


def findings(ran: Ran) -> Findings:
    assert "Traceback" not in ran.err
    return {item["name"]: item for item in json.loads(ran.out)}


def examine(cli: Cli, config: Path) -> Findings:
    return findings(cli("doctor", "--config", config, "--json"))


@pytest.fixture
def worker(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Worker]:
    """A cloud worker that takes looks in and labels none."""
    document = {
        "state_dir": str(tmp_path / "cloud"),
        "broker": {"url": mosquitto.url},
        "label": {"enabled": False},
    }
    with Worker(parse_cloud_config(document, "test")) as running:
        deadline = time.monotonic() + 20
        while not running.bus.connected:
            assert time.monotonic() < deadline, "the worker does not connect"
            time.sleep(0.02)
        yield running


def test_all_well_but_what_nobody_set_up(
    cli: Cli, write_config: WriteConfig, mosquitto: Mosquitto, worker: Worker, tmp_path: Path
) -> None:
    fill_notebook(tmp_path / "state", [])
    fill_spool(tmp_path / "state", 0)
    ran = cli("doctor", "--config", write_config(broker=mosquitto.url), "--json")
    assert ran.code == 0
    told = findings(ran)
    assert list(told) == [
        "config", "clock", "disk", "state", "agent", "camera road", "model", "trust", "broker",
        "receipt",
    ]  # fmt: skip
    well = {"config", "disk", "state", "camera road", "model", "broker", "receipt"}
    assert {name for name, f in told.items() if f["grade"] == "ok"} >= well
    assert told["camera road"]["text"] == "gives pictures, 640 x 480 pixels"
    assert "a probe receipted" in told["receipt"]["text"]
    assert "43 classes, self-test passed" in told["model"]["text"]
    for name in ("agent", "trust"):
        assert told[name]["grade"] == "warn"
        assert told[name]["remedy"]


def test_a_probe_is_stored_nowhere(
    cli: Cli, write_config: WriteConfig, mosquitto: Mosquitto, worker: Worker
) -> None:
    told = examine(cli, write_config(broker=mosquitto.url))
    assert "a probe receipted" in told["receipt"]["text"]
    totals = worker.store.totals()
    assert (totals.looks, totals.waiting) == (0, 0)
    assert worker.ingest.counters["quarantined"] == 0


def test_a_waiting_look_is_asked_about_instead_and_stays(
    cli: Cli, write_config: WriteConfig, mosquitto: Mosquitto, worker: Worker, tmp_path: Path
) -> None:
    ids = fill_spool(tmp_path / "state", 2)
    config = write_config(broker=mosquitto.url)
    for _ in range(2):
        told = examine(cli, config)
        assert "the oldest waiting look receipted" in told["receipt"]["text"]
    assert [i.name.look_id for i in read_spool(tmp_path / "state" / "spool")] == ids
    assert worker.store.totals().looks == 1


def test_nobody_listens(cli: Cli, write_config: WriteConfig, mosquitto: Mosquitto) -> None:
    told = examine(cli, write_config(broker=mosquitto.url))
    assert told["broker"]["grade"] == "ok"
    assert told["receipt"]["grade"] == "fail"
    assert "nobody in the cloud listens" in told["receipt"]["text"]


def test_bad_config_fails_and_the_rest_is_skipped(cli: Cli, write_config: WriteConfig) -> None:
    ran = cli("doctor", "--config", write_config(uri="rtps://admin:hunter2@x/1"))
    lines = ran.out.splitlines()
    assert ran.code == 1
    assert lines[0].startswith("fail config: ")
    assert "-> sudoedit " in lines[0]
    assert len(lines) == 10
    assert all(line.startswith("skip ") for line in lines[1:])
    assert "hunter2" not in ran.out + ran.err


def test_all_broken_at_once(cli: Cli, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    config = tmp_path / "device.toml"
    config.write_text(f"""
device = "gate-3"
profile = "martians"
state_dir = "{blocked}/state"
[[camera]]
name = "gone"
uri = "v4l2:///dev/video99"
[[camera]]
name = "stream"
uri = "rtsp://admin:hunter2@127.0.0.1:{free_port()}/1"
open_timeout_s = 2
[[camera]]
name = "clip"
uri = "file://{blocked}"
[broker]
url = "mqtts://127.0.0.1:{free_port()}"
ca_file = "{tmp_path}/no-ca.pem"
[trust]
root_file = "{tmp_path}/no-root.json"
repository = "http://127.0.0.1:{free_port()}/"
""")
    ran = cli("doctor", "--config", config)
    assert ran.code == 1
    assert "Traceback" not in ran.err
    assert "hunter2" not in ran.out + ran.err
    grades = {line[5:].partition(":")[0]: line[:4].strip() for line in ran.out.splitlines()}
    for name in ("disk", "camera gone", "camera stream", "camera clip", "model", "trust", "broker"):
        assert grades[name] == "fail", name
    assert grades["config"] == "ok"
    assert grades["receipt"] == "skip"
    for line in ran.out.splitlines():
        assert " -> " in line or line[:4] in ("ok  ", "skip"), line


def test_broker_not_there(cli: Cli, write_config: WriteConfig) -> None:
    told = examine(cli, write_config(broker=f"mqtt://127.0.0.1:{free_port()}"))
    assert told["broker"]["grade"] == "fail"
    assert "nothing listens there" in told["broker"]["text"]
    assert "systemctl status mosquitto" in told["broker"]["remedy"]
    assert told["receipt"]["grade"] == "skip"


def test_password_file_not_there(
    cli: Cli, write_config: WriteConfig, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    lines = f'username = "gate-3"\npassword_file = "{tmp_path}/none"\n'
    found = examine(cli, write_config(lines, broker=mosquitto.url))["broker"]
    assert found["grade"] == "fail"
    assert f"{tmp_path}/none" in found["text"]


def test_tls_file_not_there_is_named(cli: Cli, write_config: WriteConfig, tmp_path: Path) -> None:
    lines = f'ca_file = "{tmp_path}/none.pem"\n'
    found = examine(cli, write_config(lines, broker="mqtts://127.0.0.1"))["broker"]
    assert f"broker TLS file {tmp_path}/none.pem: No such file or directory" in found["text"]


def test_key_that_systemd_lends_to_the_service(cli: Cli, write_config: WriteConfig) -> None:
    lines = 'ca_file = "/run/credentials/secondlook-agent.service/none.pem"\n'
    found = examine(cli, write_config(lines, broker="mqtts://127.0.0.1"))["broker"]
    assert "sudo systemctl start secondlook-agent" in found["remedy"]


def test_broker_without_a_name(cli: Cli, write_config: WriteConfig) -> None:
    told = examine(cli, write_config(broker="mqtt://no-such-host.invalid"))
    assert "name does not resolve" in told["broker"]["text"]


def test_running_agent_is_asked_and_not_disturbed(
    cli: Cli, write_config: WriteConfig, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    fill_notebook(state, [])
    fill_spool(state, 1)
    leave_sign(state, time.time())
    # A camera that cannot be opened: the running agent's word counts.
    told = examine(cli, write_config(uri="v4l2:///dev/video99", broker=mosquitto.url))
    assert told["agent"]["grade"] == "ok"
    assert (told["camera road"]["grade"], told["camera road"]["text"]) == ("ok", "ok for 30 s")
    assert "the agent is connected" in told["broker"]["text"]
    assert "newest receipt 5 s ago" in told["receipt"]["text"]
    log = (tmp_path / "mosquitto" / "mosquitto.log").read_text()
    assert "as gate-3" not in log


def test_running_agent_that_is_refused(
    cli: Cli, write_config: WriteConfig, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    leave_sign(tmp_path / "state", time.time(), broker="refused: Not authorized")
    told = examine(cli, write_config(broker=mosquitto.url))
    assert told["broker"]["grade"] == "fail"
    assert "Not authorized" in told["broker"]["text"]
    assert "access rules" in told["broker"]["remedy"]


def test_cloud_that_does_not_answer_a_running_agent(tmp_path: Path) -> None:
    fill_spool(tmp_path, 2)
    leave_sign(tmp_path, time.time(), receipted_at=None, attempts={0: 1, 1: 1})
    alive = read_alive(tmp_path)
    assert alive
    waiting = read_spool(tmp_path / "spool")
    assert judge_receipts(alive, waiting, time.time()).grade == "warn"
    worse = alive.model_copy(update={"attempts": {3: 2}})
    found = judge_receipts(worse, waiting, time.time())
    assert found.grade == "fail"
    assert "newest receipt: never" in found.text


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may look everywhere; anybody else keeps his own rights."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65_534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_closed_state_folder_ends_the_examination(cli: Cli, write_config: WriteConfig) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        state, config = folder / "state", folder / "device.toml"
        original = write_config()
        config.write_text(original.read_text().replace(str(original.parent), name))
        # Once as ourselves: all modules are loaded, wherever they lie.
        assert cli("doctor", "--config", config).code == 1
        assert cli("watch", "--config", config).code == 3
        state.mkdir(mode=0)
        with as_nobody():
            ran = cli("doctor", "--config", config, "--json")
            watched = cli("watch", "--config", config)
        state.chmod(0o700)
    told = findings(ran)
    assert ran.code == 1
    assert told["state"]["grade"] == "fail"
    assert told["state"]["remedy"] == f"sudo secondlook doctor --config {config}"
    assert {f["grade"] for n, f in told.items() if n not in ("config", "state")} == {"skip"}
    assert (watched.code, "closed to this user; use sudo" in watched.err) == (3, True)


def test_damaged_notebook_comes_with_the_way_to_mend_it(
    cli: Cli, write_config: WriteConfig, tmp_path: Path
) -> None:
    fill_notebook(tmp_path / "state", [])
    (tmp_path / "state" / "notebook.db").write_bytes(b"not a database at all" * 100)
    told = examine(cli, write_config())
    assert told["state"]["grade"] == "fail"
    assert "notebook.db.bad" in told["state"]["remedy"]


def test_clock(tmp_path: Path) -> None:
    assert check_clock(tmp_path, FakeClock(1_000.0)).grade == "fail"
    clock = FakeClock()
    fill_notebook(tmp_path, [], time_floor=clock.now() + 3 * 86_400)
    found = check_clock(tmp_path, clock)
    assert found.grade == "fail"
    assert "3 d behind the newest signed message" in found.text
    clock.pass_(4 * 86_400)
    assert check_clock(tmp_path, clock).grade != "fail"


def test_disk_too_small_for_the_spool(write_config: WriteConfig, tmp_path: Path) -> None:
    big = load_config(write_config("[spool]\nmax_bytes = 1_000_000_000_000\n"))
    found = check_disk(big)
    assert found.grade == "warn"
    assert "set [spool] max_bytes = " in found.remedy
    full = load_config(write_config("[spool]\nmin_free_bytes = 1_000_000_000_000\n"))
    assert check_disk(full).grade == "fail"


def test_probe_is_a_look_that_any_ingest_can_read(write_config: WriteConfig) -> None:
    asked = probe(load_config(write_config()), SystemClock().now())
    look = decode_look(asked.payload)
    assert look.meta.reason == "probe"
    assert look.meta.look_id == asked.look_id


def test_trust(cli: Cli, write_config: WriteConfig, tmp_path: Path) -> None:
    init_keys(tmp_path / "keys")
    repository = tmp_path / "keys" / "repository"
    lines = (
        f'[trust]\nroot_file = "{tmp_path}/keys/root.json"\nrepository = "file://{repository}"\n'
    )
    found = examine(cli, write_config(lines))["trust"]
    assert (found["grade"], found["text"]) == ("ok", f"file://{repository}: 1 config key")
    repository.rename(tmp_path / "away")
    assert examine(cli, write_config(lines))["trust"]["grade"] == "fail"
    found = examine(cli, write_config(lines.replace("root.json", "none.json")))["trust"]
    assert found["grade"] == "fail"
    assert f"copy the fleet's root.json to {tmp_path}/keys/none.json" in found["remedy"]


@dataclass
class Tls:
    """A CA, the broker's certificate, and files of clients."""

    ca: trustme.CA
    folder: Path

    def client(self, name: str) -> str:
        """Issue a client certificate; its lines of the config."""
        leaf = self.ca.issue_cert(f"{name}.example", common_name=name)
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        leaf.cert_chain_pems[0].write_to_path(cert)
        leaf.private_key_pem.write_to_path(key)
        return f'cert_file = "{cert}"\nkey_file = "{key}"\n'

    @property
    def ca_line(self) -> str:
        return f'ca_file = "{self.folder}/ca.pem"\n'


class SealedMosquitto(Mosquitto):
    """Wants a client certificate; the certificate's name is the user's, who writes as it alone."""

    def configure(self) -> str:
        folder = self.folder
        (folder / "acl").write_text(
            "pattern write secondlook/%u/#\npattern read secondlook/%u/#\n"
            "user dumb\ntopic deny secondlook/dumb/look\n"
        )
        return (
            f"listener {self.port} 127.0.0.1\nuser root\nallow_anonymous false\n"
            f"cafile {folder}/ca.pem\ncertfile {folder}/server.pem\nkeyfile {folder}/server.key\n"
            f"require_certificate true\nuse_identity_as_username true\nacl_file {folder}/acl\n"
        )

    @property
    def url(self) -> str:
        return f"mqtts://127.0.0.1:{self.port}"


@pytest.fixture
def sealed(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[tuple[SealedMosquitto, Tls]]:
    folder = tmp_path / "sealed"
    folder.mkdir()
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    leaf = ca.issue_cert("127.0.0.1")
    leaf.cert_chain_pems[0].write_to_path(folder / "server.pem")
    leaf.private_key_pem.write_to_path(folder / "server.key")
    broker = SealedMosquitto(mosquitto.program, folder)
    broker.start()
    yield broker, Tls(ca, folder)
    broker.stop()


def test_mutual_tls(
    cli: Cli, write_config: WriteConfig, sealed: tuple[SealedMosquitto, Tls]
) -> None:
    broker, tls = sealed
    told = examine(cli, write_config(tls.ca_line + tls.client("gate-3"), broker=broker.url))
    assert told["broker"]["grade"] == "ok"
    assert "TLSv1.3, logged in" in told["broker"]["text"]


def test_tls_troubles_have_names(
    cli: Cli, write_config: WriteConfig, sealed: tuple[SealedMosquitto, Tls], tmp_path: Path
) -> None:
    broker, tls = sealed
    stranger = Tls(trustme.CA(), tmp_path)
    stranger.ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    ours = tls.client("gate-3")
    troubles = {
        "wants a client certificate": tls.ca_line,
        "made for gate-4, not for gate-3": tls.ca_line + tls.client("gate-4"),
        "the broker refuses": tls.ca_line + stranger.client("gate-3"),
        "put the CA that signed the broker into [broker] ca_file": stranger.ca_line + ours,
    }
    for words, lines in troubles.items():
        found = examine(cli, write_config(lines, broker=broker.url))["broker"]
        assert found["grade"] == "fail"
        assert words in f"{found['text']}; {found['remedy']}", found
    other_name = broker.url.replace("127.0.0.1", "localhost")
    found = examine(cli, write_config(tls.ca_line + ours, broker=other_name))["broker"]
    assert "use the name in the broker's certificate" in found["remedy"]


def test_no_tls_on_that_port(cli: Cli, write_config: WriteConfig, mosquitto: Mosquitto) -> None:
    found = examine(cli, write_config(broker=mosquitto.url.replace("mqtt:", "mqtts:")))["broker"]
    assert found["grade"] == "fail"
    assert found["remedy"]


class PasswordMosquitto(Mosquitto):
    """Lets nobody in without a password."""

    def configure(self) -> str:
        return f"listener {self.port} 127.0.0.1\nuser root\nallow_anonymous false\n"


def test_password_refused_and_not_told(
    cli: Cli, write_config: WriteConfig, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    broker = PasswordMosquitto(mosquitto.program, folder)
    broker.start()
    try:
        (tmp_path / "password").write_text("hunter2\n")
        lines = f'username = "gate-3"\npassword_file = "{tmp_path}/password"\n'
        for protocol in ("5", "3.1.1"):
            more = f'{lines}protocol = "{protocol}"\n'
            ran = cli("doctor", "--config", write_config(more, broker=broker.url), "--json")
            told = findings(ran)
            assert told["broker"]["grade"] == "fail"
            assert "refused: " in told["broker"]["text"]
            assert "password_file" in told["broker"]["remedy"]
            assert told["receipt"]["grade"] == "skip"
            assert "hunter2" not in ran.out + ran.err
    finally:
        broker.stop()
