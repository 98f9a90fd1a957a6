from pathlib import Path
from typing import Any

import pytest

from agent.contract.errors import BadContentError, UnavailableError
from cloud.config import parse_cloud_config
from cloud.config_file import load_cloud_config


def test_defaults_put_everything_into_the_state_folder() -> None:
    config = parse_cloud_config({"state_dir": "/srv/sl"}, "x")
    assert config.database == "sqlite:////srv/sl/secondlook.sqlite"
    assert config.workflows_database == "sqlite:////srv/sl/workflows.sqlite"
    assert config.objects == "file:///srv/sl/objects"


def test_postgres_holds_workflows_too() -> None:
    config = parse_cloud_config({"database_url": "postgresql://u@h/d"}, "x")
    assert config.workflows_database == "postgresql://u@h/d"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"label": {"daily_cap_usd": -1}}, ["cloud.toml", "label.daily_cap_usd", "0", "-1"]),
        (
            {"label": {"min_confidence": 2}},
            ["label.min_confidence", "must be a number in 0..1 (got 2)"],
        ),
        ({"label": {"base_url": "ftp://x"}}, ["label.base_url", "http://"]),
        ({"label": {"timeout_s": 0}}, ["label.timeout_s", "above 0, at most 600"]),
        ({"ingest": {"batch": 100_000}}, ["ingest.batch", "a whole number in 1..512"]),
        ({"ingest": {"retention": "../x"}}, ["ingest.retention"]),
        ({"database_url": "mysql://x"}, ["database_url", "sqlite, postgresql"]),
        ({"objects_url": "ftp://x"}, ["objects_url", "s3"]),
        ({"broker": {"url": "http://x"}}, ["broker.url", "mqtt://"]),
        ({"name": "A B"}, ["name", "use a-z", "A B"]),
        ({"colour": "red"}, ["colour", "no such key"]),
        ({"label": {"dayly_cap_usd": 1}}, ["label.dayly_cap_usd", "did you mean daily_cap_usd?"]),
        ({"advice": {"target_error": 1}}, ["advice.target_error", "above 0 and below 1"]),
        ({"label": 3}, ["must be a table: [label]"]),
    ],
)
def test_errors_name_file_key_value_and_range(document: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(BadContentError) as caught:
        parse_cloud_config(document, "cloud.toml")
    for word in words:
        assert word in str(caught.value)


def test_file_and_command_line_together(tmp_path: Path) -> None:
    file = tmp_path / "cloud.toml"
    file.write_text('name = "a"\n[broker]\nurl = "mqtt://one"\nprefix = "p"\n')
    config = load_cloud_config(file, {"broker.url": "mqtt://two", "profile": None})
    assert (config.name, config.broker.url, config.broker.prefix) == ("a", "mqtt://two", "p")


def test_unreadable_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"none\.toml"):
        load_cloud_config(tmp_path / "none.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("name = ")
    with pytest.raises(BadContentError, match="not TOML"):
        load_cloud_config(bad)
    odd = tmp_path / "odd.toml"
    odd.write_text("broker = 3")
    with pytest.raises(BadContentError, match="broker"):
        load_cloud_config(odd, {"broker.url": "mqtt://x"})
