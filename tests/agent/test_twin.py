from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from agent.contract.config import DeviceConfig, parse_config
from agent.notebook import Notebook
from agent.twin import Twin
from tests.makers import NOW, FakeClock, Keys, envelope

_opened: list[Notebook] = []


@pytest.fixture(autouse=True)
def _close_notebooks() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


def notebook(folder: Path) -> Notebook:
    _opened.append(Notebook(folder))
    return _opened[-1]


SIGNER = CryptoSigner.generate_ed25519()
STRANGER = CryptoSigner.generate_ed25519()


def config(**limits: Any) -> DeviceConfig:
    return parse_config(
        {
            "device": "cam-1",
            "camera": [{"name": "front", "uri": "scene://1"}],
            "limits": limits,
        },
        "test",
    )


def twin(folder: Path, clock: FakeClock, **limits: Any) -> Twin:
    return Twin(config(**limits), notebook(folder), clock, Keys(SIGNER.public_key))


def desired(seq: int, signer: CryptoSigner = SIGNER, **settings: Any) -> bytes:
    return envelope(signer, "desired", {"settings": settings}, seq)


def test_a_good_config_counts_as_a_whole_and_after_a_restart(tmp_path: Path) -> None:
    clock = FakeClock()
    one = twin(tmp_path, clock)
    assert one.receive("desired", desired(10, threshold=0.7, audit_share=0.2))
    assert (one.orders.settings.threshold, one.orders.settings.audit_share) == (0.7, 0.2)
    again = twin(tmp_path, clock)
    assert again.orders.settings == one.orders.settings
    assert again.seq("desired") == 10


def test_the_retained_message_of_every_reconnect_is_no_attack(tmp_path: Path) -> None:
    one = twin(tmp_path, FakeClock())
    message = desired(10, threshold=0.7)
    assert one.receive("desired", message)
    assert not one.receive("desired", message)
    assert not one.refused


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (desired(10, STRANGER, threshold=0.1), "signature"),
        (b'{"settings": {"threshold": 0.1}}', "malformed"),
        (b"\xff" * 100, "malformed"),
        (b"[" * 60_000, "malformed"),
        (envelope(SIGNER, "desired", {"settings": {}}, 10, audience="cam-2"), "audience"),
        (envelope(SIGNER, "desired", {"settings": {}}, 10, expires=NOW - 1), "expired"),
        (envelope(SIGNER, "advice", {"wanted": []}, 10), "malformed"),
        (desired(4, threshold=0.1), "replay"),
        (desired(5, threshold=0.2), "replay"),
        (desired(10, threshold=1e9), "insane"),
        (desired(10, threshold=-0.1), "insane"),
        (desired(10, threshold=0.1, camera="exec:rm"), "insane"),
        (desired(10, threshold=0.1, max_fps=1e9), "insane"),
        (envelope(SIGNER, "desired", {"settings": {str(i): i for i in range(99)}}, 10), "insane"),
    ],
)
def test_rogue_config_changes_nothing_and_is_reported(
    tmp_path: Path, payload: bytes, reason: str
) -> None:
    one = twin(tmp_path, FakeClock())
    one.receive("desired", desired(5, threshold=0.6))
    before = one.orders
    assert one.receive("desired", payload)
    assert one.orders is before
    assert one.seq("desired") == 5
    assert one.refused[-1].reason.startswith(reason)
    assert one.receive("desired", desired(11, threshold=0.3))


def test_local_limits_win(tmp_path: Path) -> None:
    one = twin(tmp_path, FakeClock(), looks_per_day=50, context="thumbnail", max_threshold=0.8)
    one.receive("desired", desired(1, looks_per_day=9_000, context="frame", threshold=1.0))
    settings = one.orders.settings
    assert (settings.looks_per_day, settings.context, settings.threshold) == (50, "thumbnail", 0.8)


def test_a_clock_that_falls_back_does_not_reopen_expired_messages(tmp_path: Path) -> None:
    clock = FakeClock()
    one = twin(tmp_path, clock)
    one.receive("desired", desired(1, threshold=0.6))
    clock.wall = 0.0
    stale = envelope(SIGNER, "desired", {"settings": {}}, 2, expires=NOW - 10)
    assert one.receive("desired", stale)
    assert one.refused[-1].reason.startswith("expired")


def test_advice_counts_until_it_expires(tmp_path: Path) -> None:
    clock = FakeClock()
    one = twin(tmp_path, clock)
    body = {"wanted": ["Stop"], "thresholds": {"Yield": 0.9}, "based_on": 40}
    one.receive("advice", envelope(SIGNER, "advice", body, 3))
    assert one.orders.at(clock.now()).advice is not None
    clock.pass_(3601)
    assert one.orders.at(clock.now()).advice is None
    assert twin(tmp_path, clock).seq("advice") == 3


def test_without_a_trusted_key_nothing_is_accepted(tmp_path: Path) -> None:
    one = Twin(config(), notebook(tmp_path), FakeClock(), Keys())
    assert one.receive("desired", desired(1, threshold=0.6))
    assert "no config key" in one.refused[-1].reason
    assert one.orders.settings.threshold == 0.5


def test_config_that_came_before_the_key_counts_once_the_key_is_there(tmp_path: Path) -> None:
    clock, keys = FakeClock(), Keys()
    one = Twin(config(), notebook(tmp_path), clock, keys)
    assert one.receive("desired", desired(1, threshold=0.6))
    assert keys.hurried == 1
    assert not one.retry()
    clock.pass_(10)
    assert not one.retry(), "refused again for the same reason: nothing new to report"
    keys.keys.append(SIGNER.public_key)
    clock.pass_(10)
    assert one.retry()
    assert one.orders.settings.threshold == 0.6
    clock.pass_(10)
    assert not one.retry()


def test_two_channels_that_wait_are_reported_once_each(tmp_path: Path) -> None:
    clock = FakeClock()
    one = Twin(config(), notebook(tmp_path), clock, Keys())
    one.receive("desired", desired(1, threshold=0.6))
    one.receive("advice", envelope(SIGNER, "advice", {"wanted": []}, 1))
    for _ in range(5):
        clock.pass_(10)
        one.retry()
    assert [r.channel for r in one.refused] == ["desired", "advice"]
