import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import Engine

from agent.contract.errors import BadContentError, UnavailableError
from cloud.database import open_database, reading, transaction
from cloud.schema import devices, metadata, spend_days


def test_migrations_lead_to_the_schema(any_engine: Engine) -> None:
    with any_engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        mine = {f"{t.name}" for t in metadata.tables.values()}
        differences = [d for d in compare_metadata(context, metadata) if "dbos" not in str(d)]
    assert differences == []
    assert mine <= set(sa.inspect(any_engine).get_table_names())


def test_sqlite_syncs_every_commit(engine: Engine) -> None:
    with engine.connect() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("synchronous", "journal_mode", "foreign_keys", "busy_timeout")
        }
    assert pragma == {
        "synchronous": 2, "journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 30_000,
    }  # fmt: skip


def test_reading_does_not_wait_for_a_writer(engine: Engine) -> None:
    with engine.begin(), transaction(reading(engine)) as connection:
        assert connection.execute(sa.select(devices)).all() == []


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.sqlite"
    with open_database(url).begin() as connection:
        connection.execute(spend_days.insert().values(day="2026-01-01", held=1, spent=2))
    again = open_database(url)
    with again.begin() as connection:
        assert len(connection.execute(sa.select(spend_days)).all()) == 1


def test_newer_schema_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite"
    open_database(f"sqlite:///{file}").dispose()
    with sqlite3.connect(file) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    db.close()
    with pytest.raises(BadContentError, match="newer than this program"):
        open_database(f"sqlite:///{file}")


def test_missing_and_unusable_databases_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no database here"):
        open_database(f"sqlite:///{tmp_path}/none.sqlite", create=False)
    with pytest.raises(BadContentError, match="database_url"):
        open_database("what is this")
    (tmp_path / "text.sqlite").write_text("not a database, " * 100)
    with pytest.raises(UnavailableError, match="not a database"):
        open_database(f"sqlite:///{tmp_path}/text.sqlite")


def test_password_is_not_in_the_message() -> None:
    with pytest.raises(UnavailableError) as caught:
        open_database("postgresql://me:hunter2@127.0.0.1:1/none")
    assert "hunter2" not in str(caught.value)


def test_values_no_database_takes_are_bad_content(any_engine: Engine) -> None:
    row = {"day": "2026-01-01", "held": 2**70, "spent": 0}
    with pytest.raises(BadContentError), transaction(any_engine) as connection:
        connection.execute(spend_days.insert(), [row])
