"""Row 7: a look over the broker's limit, and those behind it."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.contract.messages import ScoredLabel
from tests.conftest import Mosquitto
from tests.faults.case import Case
from tests.faults.device import Device, drained, working
from tests.faults.oracle import judge
from tests.faults.scripted_broker import ScriptedBroker
from tests.listener import Listener
from tests.programs import wait_for

LIMIT = 64 * 1024
TINY = 2 * 1024
"""So little that an ordinary look has to be made smaller too."""
BEHIND = 5
BOUNDED = "max_queued_messages 1000\n"
"""Without a bound on its queue, Mosquitto 2.0.11 hangs up on whom it has refused something."""
LIMIT_S = 40.0
DISCONNECTS = {"5": 1, "3.1.1": 2}
"""What may be needed to find out; MQTT 3.1.1 cannot say why a connection ended."""


@dataclass(frozen=True)
class Way:
    """One way in which a broker keeps its limit."""

    protocol: str = "5"
    announced: int | None = None
    says_why: bool = True
    mosquitto: str = ""
    """Line of the config of a real one."""


WAYS = {
    "announces": Way(announced=LIMIT),
    "announces-little": Way(announced=TINY),
    "hangs-up-and-says-why": Way(),
    "hangs-up": Way(says_why=False),
    "hangs-up-311": Way(protocol="3.1.1"),
    "mosquitto-packet": Way(mosquitto=f"max_packet_size {LIMIT}\n"),
    "mosquitto-packet-311": Way("3.1.1", mosquitto=f"max_packet_size {LIMIT}\n"),
    "mosquitto-message": Way(mosquitto=f"message_size_limit {LIMIT}\n"),
}
Heard = Callable[[], list[bytes]]


@contextmanager
def limited(way: Way, like: Mosquitto, folder: Path) -> Iterator[tuple[str, Heard]]:
    """A broker with a limit: its address, and the looks that it took."""
    if not way.mosquitto:
        limit = way.announced or LIMIT
        with ScriptedBroker(
            announced=way.announced, limit=limit, says_why=way.says_why
        ) as scripted:
            yield scripted.url, lambda: [item.payload for item in scripted.on("look")]
        return
    folder.mkdir()
    broker = Mosquitto(like.program, folder)
    broker.extra = way.mosquitto + BOUNDED
    broker.start()
    try:
        with Listener(broker.url) as listener:
            yield (
                broker.url,
                lambda: [p for t, all_ in list(listener.heard.items()) if "/look" in t
                         for p in list(all_)],
            )  # fmt: skip
    finally:
        broker.stop()


def noise() -> bytes:
    """A picture that is large because nothing in it repeats."""
    pixels = np.random.default_rng(1).integers(0, 256, (265, 265, 3), np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def arrived(ids: list[str], heard: Heard) -> bool:
    """Whether all of some looks are among those heard."""
    payloads = heard()
    return all(any(look_id.encode() in payload for payload in payloads) for look_id in ids)


@pytest.mark.fault(7, cheap=True)
def test_over_the_limit(case: Case, tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Each device has its own kind of broker, so that all are tried at once."""
    large, behind_s, disconnects = noise(), dict[str, float](), dict[str, int]()
    with ExitStack() as entered:
        devices, heard = dict[str, Device](), dict[str, Heard]()
        for name, way in WAYS.items():
            url, heard[name] = entered.enter_context(limited(way, mosquitto, tmp_path / name))
            device = Device(tmp_path, url, name, protocol=way.protocol, in_flight=16)
            devices[name] = entered.enter_context(device)
        for device in devices.values():
            wait_for("connected", partial(getattr, device.session, "connected"), LIMIT_S)
        first = {name: device.put(jpeg=large) for name, device in devices.items()}
        behind = {name: device.put(BEHIND) for name, device in devices.items()}
        started = time.monotonic()

        def all_behind() -> bool:
            for name in WAYS.keys() - behind_s.keys():
                if arrived(behind[name], heard[name]):
                    behind_s[name] = round(time.monotonic() - started, 2)
            return len(behind_s) == len(WAYS)

        wait_for("all that is behind", all_behind, LIMIT_S)
        for name in WAYS:
            wait_for(f"{name}: large", partial(arrived, first[name], heard[name]), LIMIT_S)
            disconnects[name] = devices[name].session.connections - 1
    with working(tmp_path, mosquitto.url), ExitStack() as entered:
        again = [entered.enter_context(Device(tmp_path, mosquitto.url, name)) for name in WAYS]
        count = drained(*again)
    case.record(len(WAYS), behind_s=behind_s, disconnects=disconnects)
    judge(case, count)
    assert {n: d for n, d in disconnects.items() if d > DISCONNECTS[WAYS[n].protocol]} == {}


@pytest.mark.fault(7, cheap=True)
def test_can_never_fit(case: Case, tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Words alone are over the limit: held back, told, nobody waits, until a broker takes it."""
    fat = tuple(ScoredLabel(label=f"{n} {'long ' * 20}", score=0.05) for n in range(16))
    mosquitto.stop()
    mosquitto.extra = f"max_packet_size {TINY}\n"
    mosquitto.start()
    with working(tmp_path, mosquitto.url), Device(tmp_path, mosquitto.url) as device:
        device.put(top=fat)
        device.put(BEHIND)
        wait_for("all but one", lambda: device.waiting == 1, 60)
        told, connections = device.uplink.problems, device.session.connections
        mosquitto.stop()
        mosquitto.extra = ""
        mosquitto.start()
        count = drained(device)
    case.record(1, disconnects=connections - 1)
    judge(case, count)
    assert any("looks held back: 1 (the broker takes no more than" in words for words in told)
    assert (connections, count.stored) == (1, BEHIND + 1)


@pytest.mark.fault(7)
def test_swallowed_without_a_word(
    case: Case, tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mosquitto drops what MQTT 3.1.1 has no words for, and says that it took it."""
    monkeypatch.setattr("agent.sending.RESEND_S", (3.0, 60.0))
    mosquitto.stop()
    mosquitto.extra = f"message_size_limit {LIMIT}\n{BOUNDED}"
    mosquitto.start()
    with (
        working(tmp_path, mosquitto.url),
        Device(tmp_path, mosquitto.url, protocol="3.1.1") as device,
    ):
        device.put(jpeg=noise())
        device.put(BEHIND)
        count = drained(device)
        connections = device.session.connections
    case.record(1, disconnects=connections - 1)
    judge(case, count)
