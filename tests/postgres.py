"""A real Postgres server of one's own, never run as root."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from tests.conftest import free_port

NOBODY = 65_534


def programs() -> Path | None:
    """The folder of initdb and pg_ctl; None where Postgres is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class Postgres:
    """A server on a free port of loopback; `stop` and `start` keep its data."""

    def __init__(self, folder: Path, options: str) -> None:
        self._folder = folder
        self._port = free_port()
        self._names = count()
        self._options = f"-p {self._port} -c listen_addresses=127.0.0.1 -k {folder} {options}"
        self._as_user: dict[str, Any] = {}
        if os.getuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
            self._as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": ()}
        self._pg("initdb", "-U", "secondlook", "-A", "trust", "-E", "UTF8")

    @property
    def url(self) -> str:
        return f"postgresql://secondlook@127.0.0.1:{self._port}/postgres"

    def new_database(self) -> str:
        """Make an empty database; its address."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            name = f"db{next(self._names)}"
            connection.execute(f"CREATE DATABASE {name}")
        return self.url.removesuffix("postgres") + name

    def start(self) -> None:
        self._pg("pg_ctl", "-l", str(self._folder / "log"), "-w", "-o", self._options, "start")

    def stop(self) -> None:
        """Die at once, as in a crash."""
        self._pg("pg_ctl", "-m", "immediate", "-w", "stop")

    def _pg(self, program: str, *args: str) -> None:
        found = programs()
        assert found, "postgresql is not installed"
        subprocess.run(
            [str(found / program), "-D", str(self._folder / "data"), *args],
            check=True, cwd=self._folder, timeout=60, stdout=subprocess.DEVNULL, **self._as_user,
        )  # fmt: skip


@contextmanager
def postgres_server(options: str = "-c fsync=off") -> Iterator[Postgres]:
    """A running server; by default one that trusts the machine not to lose power."""
    folder = Path(tempfile.mkdtemp(prefix="secondlook-pg-"))
    try:
        server = Postgres(folder, options)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
