"""Databases, brokers and workers for the cloud's tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from cloud.config import CloudConfig, parse_cloud_config
from cloud.database import open_database
from cloud.schema import metadata
from tests.postgres import postgres_server, programs


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An empty SQLite database with the current schema."""
    opened = open_database(f"sqlite:///{tmp_path}/cloud.sqlite")
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a real Postgres server of this run's own."""
    if programs() is None:
        pytest.skip("postgresql is not installed")
    with postgres_server() as server:
        yield server.url


@pytest.fixture(params=["sqlite", "postgresql"])
def any_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        opened = open_database(f"sqlite:///{tmp_path}/cloud.sqlite")
    else:
        opened = open_database(request.getfixturevalue("postgres"))
        with opened.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
    yield opened
    opened.dispose()


def config_for(root: Path, **sections: Any) -> CloudConfig:
    """A worker config for tests: state below `root`, sections in place of the defaults."""
    return parse_cloud_config({"state_dir": str(root / "cloud"), **sections}, "test")
