"""What is built, locked and run: the wheel, the requirement locks, make and CI."""

import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
LOCKS = {
    "build": PROJECT["build-system"]["requires"],
    "device": PROJECT["project"]["dependencies"],
    "cloud": PROJECT["project"]["dependencies"] + EXTRAS["cloud"],
    "dev": PROJECT["project"]["dependencies"] + EXTRAS["cloud"] + EXTRAS["train"] + EXTRAS["dev"],
}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def lock_text(kind: str) -> str:
    return (ROOT / "deploy" / f"requirements-{kind}.txt").read_text()


def locked(kind: str) -> dict[str, set[str]]:
    """Versions by name: more than one where they depend on Python's."""
    found: dict[str, set[str]] = {}
    for name, number in re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock_text(kind), flags=re.MULTILINE):
        found.setdefault(normal(name), set()).add(number)
    return found


# --- the wheel ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Build the wheel from a copy and list its files."""
    needed = int(re.findall(r"setuptools>=(\d+)", LOCKS["build"][0])[0])
    try:
        has = int(version("setuptools").split(".")[0])
    except ModuleNotFoundError:
        has = 0
    if has < needed:
        pytest.skip(f"setuptools >= {needed} is not installed")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("agent", "cloud", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--no-index", "--wheel-dir", str(out), str(source)],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (built,) = out.glob("secondlook-*.whl")
    with zipfile.ZipFile(built) as archive:
        return set(archive.namelist())


def test_wheel_holds_all_code_and_data(wheel: set[str]) -> None:
    kinds = {".py", ".tflite", ".toml", ".mako", ".typed", ".md", ".json"}
    wanted = {
        str(path.relative_to(ROOT))
        for package in ("agent", "cloud")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix in kinds and "__pycache__" not in path.parts
    }
    assert any(name.endswith(".tflite") for name in wanted)
    assert wanted - wheel == set()


def test_wheel_holds_nothing_else(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert tops == {"agent", "cloud", f"secondlook-{PROJECT['project']['version']}.dist-info"}


# --- the locks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LOCKS)
def test_lock_holds_what_the_project_needs(kind: str) -> None:
    names = {normal(re.split(r"[\s\[<>=!~;]", need)[0]) for need in LOCKS[kind]}
    assert names - set(locked(kind)) == set(), "run make lock"


@pytest.mark.parametrize("kind", LOCKS)
def test_lock_has_hashes_and_no_address(kind: str) -> None:
    text = lock_text(kind)
    assert not re.search(r"\w+://|--(extra-)?index|--find-links|@ ", text)
    for entry in re.split(r"\n(?=\w)", text.strip()):
        assert re.fullmatch(r"\S+==[^\n]*(\\\n    --hash=sha256:[0-9a-f]{64} ?)+", entry), entry[
            :80
        ]


def test_smaller_locks_hold_the_versions_of_the_larger_ones() -> None:
    for small, large in (("device", "cloud"), ("cloud", "dev")):
        theirs = locked(large)
        assert {n for n, v in locked(small).items() if not v <= theirs.get(n, set())} == set()


def test_device_lock_is_the_device_alone() -> None:
    assert set(locked("device")).isdisjoint({"sqlalchemy", "dbos", "tensorflow", "pytest", "keras"})
    assert "tflite-runtime" not in locked("dev"), "the legacy extra pins numpy 1"


# --- make and CI --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script", sorted(p for d in ("scripts", ".ci", "deploy") for p in (ROOT / d).glob("*"))
)
def test_shell_scripts_parse(script: Path) -> None:
    first = script.read_text(errors="replace").split("\n", 1)[0]
    shell = re.fullmatch(r"#!(?:/bin/|/usr/bin/env )(\w+)", first)
    if script.suffix == ".sh" or shell:
        name = shell[1] if shell else "bash"
        done = subprocess.run([name, "-n", str(script)], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_alone_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.findall(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)[0].split()
    told = subprocess.run(
        ["make", "--no-print-directory", "-C", str(ROOT)],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    assert {line.split()[1] for line in told.splitlines()} == set(phony)
    assert {"demo", "test", "check", "test-legacy", "bench", "clean"} <= set(phony)


def test_ci_runs_every_gate() -> None:
    text = (ROOT / ".ci" / "run").read_text()
    assert "for target in check test test-legacy" in text
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_no_file_names_a_package_index() -> None:
    scripts = [ROOT / "Makefile", ROOT / ".ci" / "run", *(ROOT / "scripts").glob("*.sh")]
    scripts += [ROOT / "deploy" / n for n in ("Dockerfile", "install-agent.sh", "compose.yaml")]
    for script in scripts:
        assert not re.search(r"--(extra-)?index-url|pypi\.", script.read_text()), script
