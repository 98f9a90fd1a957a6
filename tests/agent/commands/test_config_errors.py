"""What a person is told about a wrong config: file, key, what is allowed, what is there."""

from pathlib import Path

import pytest

from agent.config_file import load_config
from agent.contract.config import Limits, Settings, changed_settings
from agent.contract.errors import BadContentError

GOOD = 'device = "gate-3"\n[[camera]]\nname = "road"\nuri = "scene://3"\n'

WRONG = {
    "device: required": "",
    "not TOML": "device = gate-3\n",
    "device: use a-z, 0-9 and '-', at most 63, a letter or digit first (got 'Gate 3')": (
        GOOD.replace("gate-3", "Gate 3")
    ),
    "camera: required": 'device = "gate-3"\n',
    "camera: must be a list of tables: write [[camera]]": 'device="a"\n[camera]\nname="b"\n',
    "camera.0.uri: scheme 'usb': use one of v4l2": GOOD.replace("scene://3", "usb://0"),
    "camera.0.fps: must be a number in 0..240 (got 1000)": GOOD + "fps = 1000\n",
    "camera.0.fps: must be a number in 0..240 (got 'fast')": GOOD + 'fps = "fast"\n',
    "camera.0.open_timeout_s: must be a number above 0, at most 120 (got 0)": (
        GOOD + "open_timeout_s = 0\n"
    ),
    "camera.0.fsp: no such key; did you mean fps?": GOOD + "fsp = 10\n",
    "camera.0.xyzzy: no such key; known: name, uri": GOOD + "xyzzy = 1\n",
    "camera names must differ": GOOD + '[[camera]]\nname="road"\nuri="scene://4"\n',
    "camera.0.masks.0: must be a list of 3 to 64 items": GOOD + "masks = [[[0,0],[1,1]]]\n",
    "camera.0.masks.0.0: must be a list of 2 items (got 0)": GOOD + "masks = [[0,0,1]]\n",
    "camera.0.masks.0.2.0: must be a number in 0..1 (got 2)": GOOD + "masks=[[[0,0],[1,1],[2,0]]]",
    'camera.0.propose.kind: use one of "whole-frame", "zones"': GOOD + 'propose = {kind="zone"}\n',
    "camera.0.propose: zone (0.5, 0.5, 0.2, 0.9): need 0 <= x0 < x1 <= 1": (
        GOOD + 'propose = {kind = "zones", zones = [[0.5, 0.5, 0.2, 0.9]]}\n'
    ),
    "broker.url: use mqtt://host[:port] or mqtts://": GOOD + '[broker]\nurl = "broker.example"\n',
    'broker.protocol: use one of "5", "3.1.1" (got 5)': GOOD + "[broker]\nprotocol = 5\n",
    "broker: cert_file and key_file go together": (
        GOOD + '[broker]\nurl="mqtts://b"\ncert_file="/x"\n'
    ),
    "broker: must be a table: [broker]": 'broker = "mqtt://x"\n' + GOOD,
    "settings.treshold: no such key; did you mean threshold?": GOOD + "[settings]\ntreshold = 1\n",
    "settings.threshold: must be a number in 0..1 (got 1.5)": GOOD
    + "[settings]\nthreshold = 1.5\n",
    "settings.looks_per_day: must be a whole number in 0..1000000 (got -1)": (
        GOOD + "[settings]\nlooks_per_day = -1\n"
    ),
    'settings.context: use one of "none", "thumbnail", "frame" (got \'full\')': (
        GOOD + '[settings]\ncontext = "full"\n'
    ),
    "limits: min_threshold must not be above max_threshold": (
        GOOD + "[limits]\nmin_threshold = 0.9\nmax_threshold = 0.1\n"
    ),
    "spool.ledger: must be true or false (got 'maybe')": GOOD + '[spool]\nledger = "maybe"\n',
    "profile: must be text in quotes of 1 to 500 characters (got 7)": "profile = 7\n" + GOOD,
}


@pytest.mark.parametrize("words", WRONG)
def test_config_error(words: str, tmp_path: Path) -> None:
    path = tmp_path / "device.toml"
    path.write_text(WRONG[words])
    with pytest.raises(BadContentError) as error:
        load_config(path)
    assert str(error.value).startswith(f"{path}: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "device.toml"
    path.write_bytes(b'device = "caf\xe9"\n')
    with pytest.raises(BadContentError, match="not TOML"):
        load_config(path)


def test_fleet_config_is_told_the_range_too() -> None:
    with pytest.raises(BadContentError, match=r"insane: threshold: must be a number in 0\.\.1"):
        changed_settings(Settings(), {"threshold": 7}, Limits())
