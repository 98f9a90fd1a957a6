"""Exit codes, one-line errors, the help page."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent import __version__
from agent.cli import with_seconds
from tests.agent.commands.conftest import Cli, WriteConfig

HEAVY = ("cv2", "numpy", "paho", "tuf", "ai_edge_litert", "pydantic")


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"secondlook {__version__}\n"


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom agent.cli import main\n"
        "sys.argv = ['secondlook', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"loaded = [m for m in {HEAVY} if m in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    for name in ("run", "classify", "watch", "spool", "advice", "model", "doctor"):
        assert f" {name} " in ran.stdout


@pytest.mark.parametrize("args", [("nonsense",), ("classify",), ("run", "--until-settled", "x")])
def test_wrong_usage_is_2(cli: Cli, args: tuple[str, ...]) -> None:
    assert cli(*args).code == 2


@pytest.mark.parametrize("command", ["run", "watch", "spool", "advice"])
def test_what_is_not_there_is_3_in_one_line(cli: Cli, command: str, tmp_path: Path) -> None:
    ran = cli(command, "--config", tmp_path / "no.toml")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.count("\n") == 1
    assert "no.toml: No such file or directory; check the path" in ran.err


@pytest.mark.parametrize("command", ["run", "watch", "spool", "advice"])
def test_a_wrong_config_is_1_in_one_line_without_its_password(
    cli: Cli, command: str, write_config: WriteConfig
) -> None:
    config = write_config(uri="rtps://admin:hunter2@camera/1")
    ran = cli(command, "--config", config)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count("\n") == 1
    assert "device.toml: camera.0.uri: scheme 'rtps': use one of v4l2" in ran.err
    assert "hunter2" not in ran.err


def test_a_model_that_is_no_model_is_1(cli: Cli, write_config: WriteConfig, tmp_path: Path) -> None:
    (tmp_path / "x.tflite").write_bytes(b"no model")
    (tmp_path / "x.txt").write_text("a\nb\n")
    ran = cli("run", "--config", write_config(f'[model]\nfile = "{tmp_path}/x.tflite"\n'))
    assert ran.code == 1
    assert "x.tflite" in ran.err.splitlines()[-1]


def test_until_settled_may_stand_alone() -> None:
    assert with_seconds(["run", "--until-settled"]) == ["run", "--until-settled", "60"]
    assert with_seconds(["run", "--until-settled", "--config", "x"]) == [
        "run", "--until-settled", "60", "--config", "x",
    ]  # fmt: skip
    assert with_seconds(["run", "--until-settled", "5"]) == ["run", "--until-settled", "5"]
    assert with_seconds(["run"]) == ["run"]
