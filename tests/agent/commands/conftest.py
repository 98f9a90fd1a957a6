"""The command line in this process, and a device's file."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.cli import main

DEVICE = """\
device = "gate-3"
state_dir = "{root}/state"
[[camera]]
name = "road"
uri = "{uri}"
[broker]
url = "{broker}"
"""


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ran]
WriteConfig = Callable[..., Path]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs `secondlook ARGS...` on an 80-column screen."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*args: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["secondlook", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return Ran(int(ended.value.code or 0), told.out, told.err)

    return run


@pytest.fixture
def write_config(tmp_path: Path) -> WriteConfig:
    """Writes a device's file; `more` is appended, in the broker's table."""

    def write(
        more: str = "", uri: str = "scene://3?frames=20", broker: str = "mqtt://127.0.0.1:9"
    ) -> Path:
        path = tmp_path / "device.toml"
        path.write_text(DEVICE.format(root=tmp_path, uri=uri, broker=broker) + more)
        return path

    return write
