"""The wall clock is wrong, or set while frames come: only timestamps may show it."""

import itertools
import json
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone, tzinfo
from functools import partial
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.ngclient._internal import trusted_metadata_set

from agent import notebook as notebook_module
from agent.contract.codec import decode_look
from agent.contract.config import TrustConfig, parse_config
from agent.contract.errors import BadContentError
from agent.contract.ids import new_id
from agent.contract.messages import LookMeta
from agent.notebook import Note, Notebook
from agent.pipeline import too_soon
from agent.trust import KeyKeeper, fetch_config_keys
from agent.twin import Twin
from agent.vision.tracker import Tracker
from agent.vision.types import Box, Frame, Image, Prediction, Region
from cloud.keys import init_keys
from tests.camera_rig import PERIOD_S, Rig, noise
from tests.conftest import Mosquitto
from tests.faults.case import Case
from tests.listener import Listener
from tests.makers import NOW, FakeClock, Keys, envelope, prediction
from tests.programs import Program, running, wait_for

Y2038, Y2100 = 2_147_483_648.0, 4_102_444_800.0
JUMPS: dict[str, Callable[[float], float]] = {
    "1970": lambda _: 0.0,
    "2038": lambda _: Y2038,
    "2100": lambda _: Y2100,
    "an hour on": lambda now: now + 3600,
    "an hour back": lambda now: now - 3600,
    "ten minutes back": lambda now: now - 600,
}
SIGNER = CryptoSigner.generate_ed25519()


def moved(x: int) -> Prediction:
    seen = prediction("Stop", 0.9)
    region = Region(Box(x, 20, x + 40, 60))
    return Prediction(
        region, seen.index, seen.label, seen.score, seen.margin, seen.energy, seen.scores
    )


@pytest.mark.fault(33, cheap=True)
def test_sightings_survive_a_clock_that_is_set(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, rng = 400, case.rng
    jumps = case.size(4, 40)
    kinds = [jump for _ in range(jumps) for jump in JUMPS.values()]
    rng.shuffle(kinds)
    at = dict(zip(rng.sample(range(frames), len(kinds)), kinds, strict=True))

    def script() -> Iterator[Image | None]:
        for n in range(frames):
            if n in at:
                rig.clock.wall = at[n](rig.clock.wall if rig.clock.wall > 3600 else NOW)
            yield noise(n)
        yield None

    def keep(frame: Frame, **_: object) -> bool:
        handed.append(frame)
        return True

    rig = Rig(script())
    handed: list[Frame] = []
    # None is overwritten by a newer one: each counts here.
    monkeypatch.setattr(rig.mailbox, "put", keep)
    states = rig.run()
    tracker = Tracker(rng.randbytes, min_hits=3)
    sightings: set[str] = set()
    skipped, last = 0, float("-inf")
    for frame in handed:
        skipped += too_soon(frame, last, 1 / PERIOD_S)
        last = frame.moment
        # One object crosses the picture at 10 pixels a frame, without end.
        tracked = tracker.update(frame, [moved(10 * frame.number)])
        sightings |= {s.sighting_id for _, s in tracked.pairs}
    case.record(
        len(kinds), frames=len(handed), sightings=len(sightings), frames_skipped=skipped,
        false_camera_restarts=len(rig.sources) - 1,
    )  # fmt: skip
    assert len(handed) == frames
    assert states == ["starting", "ok", "ended"]
    assert len(rig.sources) == 1
    assert len(sightings) == 1
    assert not skipped


def a_twin(folder: Path, clock: FakeClock) -> tuple[Twin, Notebook]:
    config = parse_config(
        {"device": "cam-1", "camera": [{"name": "front", "uri": "scene://1"}]}, "test"
    )
    notebook = Notebook(folder)
    return Twin(config, notebook, clock, Keys(SIGNER.public_key)), notebook


@pytest.mark.fault(33, cheap=True)
def test_no_stale_order_under_any_clock(case: Case, tmp_path: Path) -> None:
    tried = accepted_stale = refused_fresh = 0
    for name, jump in JUMPS.items():
        clock = FakeClock()
        twin, notebook = a_twin(tmp_path / name, clock)
        settings = {"settings": {"threshold": 0.6}}
        advice = {"wanted": ["Stop"], "thresholds": {}, "based_on": 40}
        assert twin.receive("desired", envelope(SIGNER, "desired", settings, 10))
        twin.receive("advice", envelope(SIGNER, "advice", advice, 10, expires=NOW + 60))
        clock.pass_(61)
        twin.retry()
        assert twin.orders.at(twin.now()).advice is None
        clock.wall = jump(clock.wall)
        stale = {"settings": {"threshold": 0.1}}
        for seq, expires in ((11, NOW - 10), (10, NOW + 3600), (9, NOW + 3600)):
            twin.receive("desired", envelope(SIGNER, "desired", stale, seq, expires=expires))
        tried += 3
        accepted_stale += twin.orders.settings.threshold != 0.6
        # Expired advice stays so: now, and after a restart with this clock.
        again = Twin(twin._config, notebook, clock, twin._keyring)
        revived = [t.orders.at(t.now()).advice for t in (twin, again)]
        accepted_stale += revived != [None, None]
        fresh = envelope(SIGNER, "desired", {"settings": {"threshold": 0.7}}, 12)
        twin.receive("desired", fresh)
        clock.wall = NOW + 120
        for _ in range(10):
            clock.pass_(10)
            twin.retry()
        refused_fresh += twin.orders.settings.threshold != 0.7
        notebook.close()
    case.record(tried, accepted_stale=accepted_stale, refused_fresh_in_the_end=refused_fresh)
    assert accepted_stale == 0
    assert refused_fresh == 0, "once the clock is right, and without a new connection"


@pytest.mark.fault(33, cheap=True)
def test_no_stale_repository_under_any_clock(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(timezone.utc)
    made = init_keys(tmp_path / "keys", now - timedelta(days=40))
    config = TrustConfig(root_file=str(made.root_file), repository=made.repository.as_uri())
    accepted = []

    class Then(datetime):
        """What `tuf` takes for the time."""

        instant = datetime.fromtimestamp(0, timezone.utc)

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Then":
            return cls.fromtimestamp(cls.instant.timestamp(), tz)

    class Module:
        datetime = Then
        timezone = timezone

    monkeypatch.setattr(trusted_metadata_set, "datetime", Module)
    for name, jump in JUMPS.items():
        Then.instant = datetime.fromtimestamp(jump(now.timestamp()), timezone.utc)
        try:
            fetch_config_keys(config, tmp_path / name, now.timestamp() - 60)
        except BadContentError:
            continue
        accepted.append(name)
    # The floor is what refuses it in 1970, and keys verified once are not lost by it.
    Then.instant = datetime.fromtimestamp(0, timezone.utc)
    keys = fetch_config_keys(config, tmp_path / "no floor", 0.0)
    keeper = KeyKeeper(config, tmp_path / "no floor", FakeClock(), now.timestamp)
    keeper.keys = keys
    assert not keeper.refresh()
    case.record(len(JUMPS) + 1, accepted_stale=len(accepted))
    assert accepted == []
    assert keeper.keys == keys
    assert "expired" in keeper.problem


def note_at(unix: float, n: int) -> Note:
    key = new_id(unix, n.to_bytes(10, "big"))
    return Note(key, "road", "provisional", "Stop", None, 0.5, unix, unix, 3, (0, 0, 9, 9), "m")


@pytest.mark.fault(33, cheap=True)
def test_new_sightings_stay_whatever_the_clock_said_before(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebook_module, "MAX_SIGHTINGS", 20)
    notebook = Notebook(tmp_path)
    lost = 0
    count = itertools.count()
    for now in (NOW, 5_000.0, NOW + 100, Y2100, NOW + 200):
        # More than it holds, so that all from the clock before are driven out.
        for i in range(30):
            newest = note_at(now + i, next(count))
            notebook.note([newest])
            kept = {n.sighting_id for n in notebook.latest(100)}
            lost += newest.sighting_id not in kept
            assert len(kept) <= 20
        assert all(abs(n.first_seen - now) < 60 for n in notebook.latest(100))
    notebook.close()
    case.record(next(count), new_sightings_dropped=lost)
    assert not lost


DEVICE = """
device = "cam-1"
state_dir = "{root}/device"
[[camera]]
name = "road"
uri = "scene://3?frames=1000000&realtime=1&fps=15"
[broker]
url = "{broker}"
[spool]
min_free_bytes = 0
[limits]
max_threshold = 1.0
looks_per_day = 1000000
bytes_per_day = 1000000000
[settings]
threshold = 1.0
looks_per_day = 1000000
bytes_per_day = 1000000000
looks_per_sighting = 20
duplicate_bits = 0
"""
SHIFTED = """
import time
real, path = time.time, {path!r}
def shifted():
    with open(path) as file:
        return real() + float(file.read() or 0)
time.time = shifted
"""
"""Runs at the start of the agent's Python: its wall clock is off by what the file says."""


def receipted(listener: Listener, done: list[LookMeta], count: int) -> bool:
    """Give each look its receipt; true when there were so many."""
    for payload in listener.heard["secondlook/cam-1/look"][len(done) :]:
        done.append(decode_look(payload).meta)
        receipt = json.dumps({"look_ids": [done[-1].look_id]}).encode()
        listener.publish("secondlook/cam-1/receipt", receipt)
    return len(done) >= count


def drained_to_a_ping(manager: socket.socket) -> int:
    """Forget what systemd heard before now, and wait until it hears the next ping."""
    manager.settimeout(0)
    with suppress(BlockingIOError):
        while manager.recv(4096):
            pass
    manager.settimeout(30)
    while manager.recv(4096) != b"WATCHDOG=1":
        pass
    return 1


@pytest.mark.fault(33)
@pytest.mark.slow
def test_an_agent_lives_through_its_clock(
    case: Case, tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    offset, part = tmp_path / "offset", tmp_path / "offset.part"
    (tmp_path / "early").mkdir()
    (tmp_path / "early" / "sitecustomize.py").write_text(SHIFTED.format(path=str(offset)))
    file = tmp_path / "device.toml"
    file.write_text(DEVICE.format(root=tmp_path, broker=mosquitto.url))

    def shift(seconds: float) -> None:
        part.write_text(str(seconds))
        part.replace(offset)

    shift(JUMPS["1970"](0) - time.time() + 5)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'early'}:{Path.cwd()}")
    agent = Program("agent", "run", "--config", str(file), log=tmp_path / "agent.log")
    metas: list[LookMeta] = []
    rounds: list[Callable[[float], float]] = [*JUMPS.values(), lambda now: now]
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        Listener(mosquitto.url) as listener,
    ):
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "4000000")
        with running(agent):
            pings = 0
            wait_for("looks", lambda: receipted(listener, metas, 2), 60)
            for jump in rounds * case.size(1, 10):
                shift(jump(time.time()) - time.time() + 5)
                pings += drained_to_a_ping(manager)
                more = partial(receipted, listener, metas, len(metas) + 5)
                wait_for("looks after the jump", more, 60)
            agent.stop(signal.SIGTERM)
            assert agent.finish(20) == 0, agent.output[-3000:]
        receipted(listener, metas, 0)
    sent_twice = len(metas) - len({m.look_id for m in metas})
    marks = Counter((m.captured_at > 1e9, m.captured_at > 3e9, m.clock_synced) for m in metas)
    status = listener.json("secondlook/cam-1/status")
    log = agent.output
    case.record(
        len(rounds) * case.size(1, 10), looks=len(metas), looks_sent_again=sent_twice,
        false_camera_restarts=log.count("camera_starting") + log.count("camera_stalled") - 1,
        pings_after_a_jump=pings, stuck=log.count("loops_stuck"),
        looks_of_1970_marked=marks[False, False, False],
        looks_of_2100_marked=marks[True, True, False],
    )  # fmt: skip
    assert sent_twice == 0, "resends follow the monotonic clock"
    assert log.count("camera_ok") == log.count("camera_starting") == 1
    assert "camera_stalled" not in log
    assert "loops_stuck" not in log
    assert "Traceback" not in log
    # What was taken by an impossible clock says so; 2038 cannot be told from a right one.
    assert marks[False, False, False]
    assert marks[True, True, False]
    assert not marks[False, False, True] + marks[True, True, True]
    assert any("clock is not synchronised" in s.get("problems", []) for s in status)
    assert json.loads(listener.heard["secondlook/cam-1/status"][-1])["online"] is False
