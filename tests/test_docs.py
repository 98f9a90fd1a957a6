"""What the reference must name: commands, settings, channels."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from agent.cli import app as device_app
from agent.contract.config import Settings
from agent.contract.topics import CHANNELS
from cloud.cli import app as cloud_app

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
LATER = {"release", "call", "reply"}
"""Channels of the contract that nothing uses yet."""


@pytest.mark.parametrize("key", sorted(Settings.model_fields))
def test_every_setting_is_in_the_reference(key: str) -> None:
    assert f"| `{key}` |" in REFERENCE


@pytest.mark.parametrize("channel", sorted(set(CHANNELS) - LATER))
def test_every_channel_is_in_the_reference(channel: str) -> None:
    assert f"`{channel}`" in REFERENCE


def commands_of(group: TyperGroup, before: str = "") -> Iterator[str]:
    """Names of all commands, those of groups after their group's."""
    for name, command in group.commands.items():
        yield before + name
        if isinstance(command, TyperGroup):
            yield from commands_of(command, f"{before}{name} ")


@pytest.mark.parametrize("app", [device_app, cloud_app])
def test_every_command_is_in_the_reference(app: typer.Typer) -> None:
    names = list(commands_of(typer.main.get_group(app)))
    assert names
    for name in names:
        assert re.search(rf"`{name}\b", REFERENCE), name


@pytest.mark.parametrize(
    "page", [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md"], ids=lambda p: p.name
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)", page.read_text()):
        assert (page.parent / target).exists(), target
