"""Databases, brokers and workers for the cloud's tests."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from cloud.config import CloudConfig, parse_cloud_config
from cloud.database import open_database
from cloud.schema import metadata
from tests.conftest import free_port

NOBODY = 65_534


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An empty SQLite database with the current schema."""
    opened = open_database(f"sqlite:///{tmp_path}/cloud.sqlite")
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a real Postgres server of this run's own, never run as root."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("postgresql is not installed")
    programs = found[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="secondlook-pg-"))
    as_user: dict[str, Any] = {}
    if os.getuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
        as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": ()}
    port = free_port()
    data, log = folder / "data", folder / "log"

    def pg(*args: str) -> None:
        subprocess.run(
            args, check=True, cwd=folder, timeout=60, stdout=subprocess.DEVNULL, **as_user
        )

    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
    pg(str(programs / "initdb"), "-D", str(data), "-U", "secondlook", "-A", "trust", "-E", "UTF8")
    pg(str(programs / "pg_ctl"), "-D", str(data), "-l", str(log), "-w", "-o", options, "start")
    yield f"postgresql://secondlook@127.0.0.1:{port}/postgres"
    pg(str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "-w", "stop")
    shutil.rmtree(folder)


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
