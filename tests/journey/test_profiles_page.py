"""docs/profiles.md, followed literally: every file written, every command run, in order."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.contract.profile import (
    Augmentation,
    Budget,
    Profile,
    ProfileClass,
    ProposeConfig,
)
from agent.vision.shipped import shipped_profiles

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "profiles.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w-]+\.\w+)\n")
PROGRAMS = {"secondlook": "-m agent", "secondlook-cloud": "-m cloud", "python": ""}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder, beside one with the programs as an installation would have them."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, module in PROGRAMS.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module} "$@"\n')
        program.chmod(0o755)
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def blocks() -> Iterator[tuple[str, str]]:
    """Kind and text of the walkthrough's blocks."""
    walk = PAGE.read_text().split("## A fifth one")[1].split("\n## ")[0]
    for found in BLOCK.finditer(walk):
        yield found[1], found[2]


def shell(place: Path, script: str) -> str:
    """Run a block as one script that ends at the first failure, and return all it prints."""
    path = f"{place.parent / 'bin'}:{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
    )  # fmt: skip
    assert ran.returncode == 0, f"{script}\n{ran.stdout}"
    return ran.stdout


def promised(line: str, output: str) -> bool:
    """Whether a line of the page was printed, whatever its spaces."""
    wanted = re.compile(".*".join(re.escape(" ".join(p.split())) for p in line.split("...")))
    return any(wanted.search(" ".join(printed.split())) for printed in output.splitlines())


@pytest.mark.slow
def test_the_page_does_what_it_says(place: Path) -> None:
    output, told = "", {"bash": 0, "text": 0, "file": 0}
    for kind, text in blocks():
        if kind == "bash":
            output = shell(place, text)
        elif kind == "text":
            for line in text.splitlines():
                assert promised(line, output), f"{line!r} is not in:\n{output}"
        elif named := FILE.match(text):
            (place / named[1]).write_text(text)
            kind = "file"  # noqa: PLW2901 - what it turned out to be
        told[kind] += 1
        check(place, output)
    assert told == {"bash": 4, "text": 4, "file": 2}


def check(place: Path, output: str) -> None:
    """What the page promises in words."""
    if found := re.search(r"^accuracy +([\d.]+)%", output, re.MULTILINE):
        assert float(found[1]) >= 90
        assert "split by image, as in training" in output
    if found := re.search(r"sightings, (\d+) looks accepted, .* (\d+) left in the spool", output):
        assert int(found[1]) == int(found[2]) >= 1
        assert len(list((place / "state" / "spool" / "looks").rglob("*.look"))) == int(found[1])


def test_the_table_names_every_shipped_profile_and_every_key() -> None:
    page = PAGE.read_text()
    for name in shipped_profiles():
        assert f"| `{name}` |" in page
    for model in (Profile, ProfileClass, ProposeConfig, Augmentation, Budget):
        for key, field in model.model_fields.items():
            assert re.search(rf"`\[*{field.alias or key}\]*`", page), key
