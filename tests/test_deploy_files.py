"""deploy/: example configs, access rules and installer say what code and units say."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from agent.contract.config import DeviceConfig, parse_config
from agent.contract.topics import DOWN, UP
from cloud.config import CloudConfig, parse_cloud_config

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"


def test_acl_names_every_channel_once() -> None:
    text = (DEPLOY / "acl").read_text()
    rules = re.findall(r"^pattern (\w+) secondlook/%u/(\w+)$", text, flags=re.MULTILINE)
    # Its own status tells a device whether another one uses its id.
    read = (*DOWN, "status")
    assert sorted(rules) == sorted([*(("write", c) for c in UP), *(("read", c) for c in read)])
    assert text.count("pattern") == len(rules)


# --- example configs ----------------------------------------------------------------------------


def read_example(name: str, *, uncommented: bool = False) -> dict[str, Any]:
    """Parse an example; `uncommented`: with its commented settings switched on."""
    text = (DEPLOY / name).read_text()
    if uncommented:
        text = re.sub(r"^# ((?:\w+ = |\[\w+\.\w+\]$).*)", r"\1", text, flags=re.MULTILINE)
        # The last of two wins, as it would for somebody who edits the file.
        text = re.sub(r"^(\w+) = .*\n(?=(?:\w+ = .*\n|#.*\n)*\1 = )", "", text, flags=re.MULTILINE)
    return tomllib.loads(text)


def missing_keys(document: dict[str, Any], model: type[BaseModel], place: str = "") -> list[str]:
    """List the keys of a config that an example does not show."""
    missing = []
    for name, info in model.model_fields.items():
        if name not in document:
            missing.append(place + name)
            continue
        value = document[name]
        inner = [t for t in _types(info.annotation) if issubclass(t, BaseModel)]
        if inner:
            first = value[0] if isinstance(value, list) else value
            missing += missing_keys(first, inner[0], f"{place}{name}.")
    return missing


def _types(annotation: object) -> list[type]:
    if isinstance(annotation, type):
        return [annotation]
    return [found for part in get_args(annotation) for found in _types(part)]


def test_device_example_is_a_config() -> None:
    config = parse_config(read_example("device.example.toml"), "device.example.toml")
    default = DeviceConfig(device=config.device, camera=config.camera)
    assert config == default, "what stands uncommented is the default"


def test_cloud_example_is_a_config() -> None:
    config = parse_cloud_config(read_example("cloud.example.toml"), "cloud.example.toml")
    assert config == CloudConfig(), "what stands uncommented is the default"


def test_examples_show_every_key_and_every_comment_works() -> None:
    device = read_example("device.example.toml", uncommented=True)
    assert missing_keys(device, DeviceConfig) == []
    device["broker"]["url"] = "mqtts://broker.example.com"
    parse_config(device, "device.example.toml")
    cloud = read_example("cloud.example.toml", uncommented=True)
    assert missing_keys(cloud, CloudConfig) == []
    cloud["broker"]["url"] = "mqtts://broker.example.com:8884"
    parse_cloud_config(cloud, "cloud.example.toml")


def test_examples_name_the_credentials_that_the_units_lend() -> None:
    for example, unit in (("device", "agent"), ("cloud", "cloud")):
        text = (DEPLOY / f"{example}.example.toml").read_text()
        named = re.findall(r"/run/credentials/(\S+?\.service)/([\w.]+)\"", text)
        assert named
        service = f"secondlook-{unit}.service"
        lent = (DEPLOY.parent / "systemd" / service).read_text()
        for place, name in named:
            assert place == service
            assert f"LoadCredential={name}:/etc/secondlook/keys/{name}\n" in lent


# --- the installer ------------------------------------------------------------------------------


def install_agent(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(DEPLOY / "install-agent.sh"), "--dry-run", *words],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_dry_run_says_everything_and_does_nothing() -> None:
    before = {p: p.exists() for p in (Path("/opt/secondlook"), Path("/etc/secondlook"))}
    result = install_agent("--device", "cam-1", "--board", "jetson")
    assert result.returncode == 0, result.stderr
    for part in ("device cam-1, board jetson", "--require-hashes", "jetson.conf", "venv"):
        assert part in result.stdout
    assert before == {p: p.exists() for p in before}


@pytest.mark.parametrize("words", [("--device", "Cam 1"), ("--board", "toaster"), ("--dryrun",)])
def test_installer_refuses_what_it_does_not_know(words: tuple[str, ...]) -> None:
    result = install_agent(*words)
    assert result.returncode != 0
    assert words[-1] in result.stderr
