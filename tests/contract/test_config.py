"""The device's own file, and what fleet config may change of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contract.config import (
    CONTEXTS,
    DeviceConfig,
    Limits,
    Settings,
    broker_address,
    changed_settings,
    parse_config,
    within,
)
from agent.contract.errors import BadContentError

CAMERA = {"name": "front", "uri": "v4l2:///dev/video0"}
GOOD: dict[str, Any] = {"device": "cam-1", "camera": [CAMERA]}

SETTINGS = st.builds(
    Settings,
    threshold=st.floats(0, 1),
    context=st.sampled_from(CONTEXTS),
    looks_per_day=st.none() | st.integers(0, 1_000_000),
    bytes_per_day=st.none() | st.integers(0, 10**10),
)
LIMITS = st.builds(
    Limits,
    looks_per_day=st.integers(0, 1_000_000),
    bytes_per_day=st.integers(0, 10**10),
    context=st.sampled_from(CONTEXTS),
    min_threshold=st.floats(0, 0.4),
    max_threshold=st.floats(0.5, 1),
)


def test_the_smallest_file_is_enough() -> None:
    config = parse_config(GOOD, "device.toml")
    assert (config.device, config.profile, config.camera[0].name) == (
        "cam-1", "traffic-signs", "front",
    )  # fmt: skip
    assert parse_config(config.model_dump(), "again") == config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "Cam 1"}, ["device", "Cam 1"]),
        ({"camera": []}, ["camera"]),
        ({"camera": [CAMERA, CAMERA]}, ["camera names must differ"]),
        ({"camera": [{**CAMERA, "uri": "exec:rm -rf /"}]}, ["camera.0.uri", "v4l2", "exec:rm"]),
        ({"camera": [{**CAMERA, "fps": 1e9}]}, ["camera.0.fps", "240"]),
        ({"camera": [{**CAMERA, "masks": [[[0, 0], [1, 1]]]}]}, ["camera.0.masks.0", "3"]),
        ({"camera": [{**CAMERA, "masks": [[[0, 0], [1, 1], [2, 0]]]}]}, ["masks", "1"]),
        ({"broker": {"url": "http://x"}}, ["broker.url", "mqtts://"]),
        ({"broker": {"url": "mqtts://x", "cert_file": "a"}}, ["cert_file and key_file"]),
        ({"broker": {"cert_file": "a", "key_file": "b"}}, ["mqtts://"]),
        ({"settings": {"threshold": 7}}, ["settings.threshold", "1", "7"]),
        ({"settings": {"treshold": 0.5}}, ["settings.treshold"]),
        ({"limits": {"context": "video"}}, ["limits.context", "thumbnail"]),
        ({"model": {"threads": 0}}, ["model.threads", "1"]),
        ({"spool": {"max_bytes": 5}}, ["spool.max_bytes", "100000"]),
    ],
)
def test_errors_name_file_key_value_and_range(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(BadContentError) as refusal:
        parse_config({**GOOD, **changes}, "device.toml")
    message = str(refusal.value)
    assert message.startswith("device.toml: ")
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://broker", ("broker", 1883, False)),
        ("mqtts://broker", ("broker", 8883, True)),
        ("mqtt://10.0.0.1:2000", ("10.0.0.1", 2000, False)),
        ("mqtts://[::1]:2001", ("::1", 2001, True)),
    ],
)
def test_broker_addresses(url: str, address: tuple[str, int, bool]) -> None:
    assert broker_address(url) == address


@pytest.mark.parametrize("url", ["", "broker:1883", "mqtt://", "ws://x", "mqtt://x:port"])
def test_no_broker_addresses(url: str) -> None:
    with pytest.raises(BadContentError, match=r"broker\.url"):
        parse_config({**GOOD, "broker": {"url": url}}, "device.toml")


@given(SETTINGS, LIMITS)
def test_no_message_loosens_the_local_limits(wanted: Settings, limits: Limits) -> None:
    changes = wanted.model_dump()
    got = changed_settings(Settings(), changes, limits)
    assert CONTEXTS.index(got.context) <= CONTEXTS.index(limits.context)
    assert limits.min_threshold <= got.threshold <= limits.max_threshold
    assert got.looks_per_day is None or got.looks_per_day <= limits.looks_per_day
    assert got.bytes_per_day is None or got.bytes_per_day <= limits.bytes_per_day
    assert within(got, limits) == got


def test_changes_apply_as_a_whole_or_not_at_all() -> None:
    current = Settings(threshold=0.3)
    assert changed_settings(current, {"min_hits": 4}, Limits()).min_hits == 4
    assert changed_settings(current, {"min_hits": 4}, Limits()).threshold == 0.3
    for bad in ({"min_hits": 4, "threshold": 9}, {"min_hits": 4, "camera": []}, {"min_hits": "x"}):
        with pytest.raises(BadContentError, match=r"^insane: "):
            changed_settings(current, bad, Limits())


@given(st.dictionaries(st.text(max_size=12), st.none() | st.integers() | st.text(max_size=9)))
def test_any_document_is_read_or_refused(document: dict[str, Any]) -> None:
    with pytest.raises(BadContentError, match=r"^device\.toml: "):
        parse_config(document, "device.toml")
    try:
        config = parse_config({**document, **GOOD}, "device.toml")
    except BadContentError:
        return
    assert isinstance(config, DeviceConfig)
