"""Connections to SQLite or Postgres, and the schema brought up to date. Adapter."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from agent.contract.errors import BadContentError, UnavailableError

MIGRATIONS: Final = Path(__file__).resolve().parent / "migrations"
BUSY_MS: Final = 30_000
READ_ONLY: Final = "secondlook_read_only"


def open_database(url: str, *, create: bool = True) -> Engine:
    """Open a database and migrate it to this version's schema.

    Args:
        url: `sqlite:///FILE` or `postgresql://user:password@host/name`.
        create: False: a SQLite file that is not there is an error.

    Raises:
        BadContentError: the address cannot be read, or a newer version made the schema.
        UnavailableError: the database does not answer, or is not there.
    """
    try:
        address = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise BadContentError(f"database_url: {error}") from error
    sqlite = address.get_backend_name() == "sqlite"
    if sqlite and address.database:
        _check_file(Path(address.database), create=create)
    elif not sqlite:
        address = address.set(drivername="postgresql+psycopg")
    engine = sa.create_engine(address, pool_pre_ping=not sqlite)
    if sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    place = address.render_as_string(hide_password=True)
    try:
        _migrate(engine)
    except CommandError as error:
        engine.dispose()
        raise BadContentError(
            f"{place}: {error}; its schema is newer than this program, install that version"
        ) from error
    except SQLAlchemyError as error:
        engine.dispose()
        raise UnavailableError(f"{place}: {describe(error)}") from error
    return engine


def _check_file(path: Path, *, create: bool) -> None:
    if not create and not path.exists():
        raise UnavailableError(f"{path}: no database here; is state_dir right?")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"{path.parent}: {error.strerror}") from error


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Run one transaction: committed and durable at the end, or not at all.

    Raises:
        BadContentError: the database will never take these values.
        UnavailableError: it does not answer, is full, or is locked.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except (DataError, IntegrityError, UnicodeEncodeError, OverflowError) as error:
        raise BadContentError(f"database refuses the values: {describe(error)}") from error
    except SQLAlchemyError as error:
        raise UnavailableError(f"database: {describe(error)}") from error


def reading(engine: Engine) -> Engine:
    """Return the engine for transactions that only read: on SQLite they lock nobody out."""
    return engine.execution_options(**{READ_ONLY: True})


def describe(error: Exception) -> str:
    """Say a database error in one line, without statement and parameters."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(cause).split("\n[SQL", maxsplit=1)[0].split())[:300]


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # Python's sqlite3 would start transactions by itself, and late.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: a receipt goes out after COMMIT, and it must not lie after a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads and then writes can fail at once as "locked".
    only_reads = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")


def _migrate(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    attributes: dict[str, Any] = config.attributes
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # Two workers that start together must not migrate together.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7301946)")
        attributes["connection"] = connection
        command.upgrade(config, "head")
