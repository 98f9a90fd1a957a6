"""The units of systemd/: understood word for word by systemd, and hardened."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[1] / "systemd"
PROGRAM = shutil.which("systemd-analyze")
AGENT, CLOUD = "secondlook-agent.service", "secondlook-cloud.service"

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="systemd-analyze is not installed")


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROGRAM), *words], capture_output=True, text=True, timeout=60, check=False
    )


def unit_copy(folder: Path, name: str, drop_in: str = "", *, old: str = "", new: str = "") -> Path:
    """Copy a unit; its program is replaced by one that this machine has."""
    text = re.sub(
        r"^ExecStart=\S+",
        f"ExecStart={shutil.which('true')}",
        (UNITS / name).read_text(),
        flags=re.MULTILINE,
    )
    assert old in text
    target = folder / name
    target.write_text(text.replace(old, new) if old else text)
    if drop_in:
        (folder / f"{name}.d").mkdir()
        shutil.copy(UNITS / f"{name}.d" / drop_in, folder / f"{name}.d")
    return target


def complaints(unit: Path) -> str:
    """What `verify` says: its exit status is 0 for unknown keys, so the words count."""
    return analyze("verify", "--man=no", str(unit)).stderr


CASES = [(AGENT, ""), (AGENT, "raspberry-pi.conf"), (AGENT, "jetson.conf"), (CLOUD, "")]


def test_cases_cover_every_file() -> None:
    shipped = {p.name for p in UNITS.rglob("*") if p.is_file()}
    assert shipped == {AGENT, CLOUD, "raspberry-pi.conf", "jetson.conf"}


@pytest.mark.parametrize(("name", "drop_in"), CASES)
def test_verify_has_no_complaint(tmp_path: Path, name: str, drop_in: str) -> None:
    assert complaints(unit_copy(tmp_path, name, drop_in)) == ""


@pytest.mark.parametrize("name", [AGENT, CLOUD])
def test_verify_would_find_a_typo(tmp_path: Path, name: str) -> None:
    unit = unit_copy(tmp_path, name, old="WatchdogSec=", new="WatchdogSex=")
    assert "WatchdogSex" in complaints(unit)


@pytest.mark.parametrize(
    ("name", "drop_in", "most"),
    [(name, drop_in, 2.0 if name == CLOUD else 2.5) for name, drop_in in CASES],
)
def test_exposure_stays_low(tmp_path: Path, name: str, drop_in: str, most: float) -> None:
    unit = unit_copy(tmp_path, name, drop_in)
    result = analyze("security", "--offline=true", "--threshold=25", "--no-pager", str(unit))
    assert result.returncode == 0, result.stdout[-500:]
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
    assert found
    assert float(found[1]) <= most


def test_threshold_would_find_an_open_unit(tmp_path: Path) -> None:
    unit = unit_copy(tmp_path, AGENT, old="ProtectSystem=strict", new="ProtectSystem=no")
    unit.write_text(
        "\n".join(x for x in unit.read_text().splitlines() if not x.startswith("Restrict"))
    )
    assert analyze("security", "--offline=true", "--threshold=25", str(unit)).returncode != 0


@pytest.mark.parametrize("name", [AGENT, CLOUD])
def test_a_crashing_service_is_started_for_ever(name: str) -> None:
    lines = (UNITS / name).read_text().splitlines()
    assert {"Type=notify", "Restart=always", "RestartSec=30", "StartLimitIntervalSec=0"} <= {*lines}


@pytest.mark.parametrize("name", [AGENT, CLOUD])
def test_every_credential_has_a_default(name: str) -> None:
    text = (UNITS / name).read_text()
    loaded = re.findall(r"^LoadCredential=([^:]+):", text, flags=re.MULTILINE)
    assert loaded
    assert loaded == re.findall(r"^SetCredential=([^:]+):.", text, flags=re.MULTILINE)
