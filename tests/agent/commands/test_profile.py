"""`secondlook profile`, and what is said about a profile for research only."""

from pathlib import Path

import cv2
import pytest

from agent.contract.errors import BadContentError
from agent.contract.profile import Profile, parse_profile
from agent.vision.shipped import MODELS, PROFILES, load_profile, shipped_profiles
from tests.agent.commands.conftest import Cli, WriteConfig
from tests.makers import picture

RESEARCH = "for research only"


def test_shipped_profiles_are_listed_on_80_columns(cli: Cli) -> None:
    ran = cli("profile")
    assert ran.code == 0
    for name in shipped_profiles():
        assert f"{name} " in ran.out
    assert "(research only)" in " ".join(ran.out.split())
    assert max(map(len, ran.out.splitlines())) <= 80


@pytest.mark.parametrize("name", shipped_profiles())
def test_a_check_says_what_the_profile_holds(cli: Cli, name: str) -> None:
    profile = load_profile(name)
    ran = cli("profile", "check", name)
    assert ran.code == 0
    assert f"profile  {name}: " in ran.out
    assert f"regions  {profile.propose.kind}" in ran.out
    assert f"{profile.budget.looks_per_day} looks" in ran.out
    assert f"classes  {len(profile.classes)}" in ran.out
    assert (RESEARCH in ran.out) == profile.research_only
    assert ("checked by `secondlook-cloud train`" in " ".join(ran.out.split())) == bool(
        profile.recipe
    )
    assert max(map(len, ran.out.splitlines())) <= 80


def test_a_check_names_what_is_wrong(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = (PROFILES / "medical.toml").read_text()
    path.write_text(text.replace('aliases = ["1"]', 'aliases = ["0"]'))
    ran = cli("profile", "check", path)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert ran.err.endswith("mine.toml: '0' names more than one class, or one class twice\n")
    path.write_text(text.replace('label = "normal"', 'label = "fine"'))
    ran = cli("profile", "check", path)
    assert ran.code == 1
    assert "medical.tflite has other classes (fine); train it anew" in ran.err


def test_research_use_is_said_by_classify(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), picture(3))
    said = cli("classify", path, "--profile", "medical")
    assert said.code == 0
    assert RESEARCH in said.err
    assert RESEARCH not in said.out
    assert RESEARCH not in cli("classify", path).err
    own = tmp_path / "own.toml"
    own.write_text((PROFILES / "medical.toml").read_text())
    stock = MODELS / "traffic-signs.tflite"
    assert RESEARCH in cli("classify", path, "--profile", own, "--model", stock).err


def test_research_use_is_said_by_doctor(cli: Cli, write_config: WriteConfig) -> None:
    config = write_config()
    config.write_text('profile = "medical"\n' + config.read_text())
    ran = cli("doctor", "--config", config)
    line = next(line for line in ran.out.splitlines() if " model:" in line)
    assert line.startswith("warn")
    assert RESEARCH in line
    assert "2 classes, self-test passed" in line


def small(**changes: object) -> Profile:
    classes = [{"label": "a b", "description": "", "aliases": ["x_y"]},
               {"label": "c", "description": "", "aliases": ["d e"]}]  # fmt: skip
    base = {"name": "p", "title": "", "instructions": "", "class": classes}
    return parse_profile(base | changes, "p.toml")


@pytest.mark.parametrize(
    ("name", "label"),
    [("a b", "a b"), ("a_b", "a b"), ("x_y", "a b"), ("x y", None), ("d_e", "c"), ("C", None)],
)
def test_underscores_stand_for_spaces_not_the_other_way(name: str, label: str | None) -> None:
    assert small().canonical(name) == label


def test_a_recipe_is_numbers(cli: Cli, tmp_path: Path) -> None:
    assert small(recipe={"side": 32, "width": 0.5}).recipe == {"side": 32, "width": 0.5}
    assert small().recipe == {}
    with pytest.raises(BadContentError, match=r"p\.toml: recipe\.side"):
        small(recipe={"side": "32"})
