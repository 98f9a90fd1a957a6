"""Row 61: a migration that is killed at each of its statements, and a worker that is too old."""

import os
import shutil
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from agent.contract.errors import BadContentError
from cloud import database
from cloud.blobs import Place
from cloud.database import MIGRATIONS, open_database
from cloud.schema import metadata
from cloud.store import NOWHERE, Store, StoredLook
from tests.faults.case import Case
from tests.makers import NOW, meta
from tests.postgres import postgres_server, programs

NEXT = '''
"""A migration as they come: a new table, a column that moves, an index. Adapter."""

import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{last}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("sites", sa.Column("site", sa.String(63), primary_key=True))
    op.execute("INSERT INTO sites VALUES ('everywhere')")
    new_table = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    with op.batch_alter_table("looks", recreate=new_table) as looks:
        looks.add_column(sa.Column("site", sa.String(63), server_default="everywhere"))
        looks.create_index("ix_looks_site", ["site"])
    op.execute("UPDATE looks SET why = 'moved'")
'''
LOOKS = 20


def fill(url: str) -> None:
    engine = open_database(url)
    place = Place("s.tar", 512, 100)
    Store(engine).add(
        [StoredLook(meta(n), "aa", place, NOWHERE, NOW) for n in range(LOOKS)], [], [], NOW
    )
    engine.dispose()


def killed_at(statement: int, url: str) -> bool:
    """Open, and so migrate, a database in a child that dies before a statement; True if it did."""
    child = os.fork()
    if child == 0:
        seen = 0

        def count(*_: object) -> None:
            nonlocal seen
            seen += 1
            if seen == statement:
                os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            sa.event.listen(sa.Engine, "before_cursor_execute", count)
            sa.event.listen(sa.Engine, "commit", count)
            open_database(url)
            code = 0
        finally:  # whatever happens, pytest goes on in the parent alone
            os._exit(code)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended in (0, -signal.SIGKILL)
    return ended != 0


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Be the version after this one: call it once the database of this one is filled."""
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    last = max(p.name for p in (folder / "versions").glob("0*.py"))[:4]
    (folder / "versions" / "9999_next.py").write_text(NEXT.format(last=last).lstrip())
    return lambda: monkeypatch.setattr(database, "MIGRATIONS", folder)


def whys(url: str) -> list[str]:
    """What a look's row says, whatever the schema; opening migrates."""
    engine = open_database(url)
    with engine.connect() as connection:
        found = list(connection.exec_driver_sql("SELECT why FROM looks").scalars())
    engine.dispose()
    return found


@pytest.mark.fault(61, cheap=True)
def test_first_migration_killed(case: Case, tmp_path: Path) -> None:
    """Each kill meets an empty database, and the next start what it left."""
    step = 3 if case.form == "cheap" else 1
    statement, incomplete = 1 - step, 0
    while True:
        statement += step
        url = f"sqlite:///{tmp_path}/{statement}.sqlite"
        if not killed_at(statement, url):
            break
        engine = open_database(url)
        with engine.connect() as connection:
            differences = compare_metadata(MigrationContext.configure(connection), metadata)
        engine.dispose()
        incomplete += differences != []
    case.record(statement // step, incomplete=incomplete)
    assert incomplete == 0
    assert statement > len(metadata.tables)


@pytest.mark.fault(61, cheap=True)
def test_next_migration_killed(case: Case, tmp_path: Path, newer: Any) -> None:
    """One database is killed at each statement in turn: nothing of it is lost on the way."""
    file = tmp_path / "cloud.sqlite"
    url = f"sqlite:///{file}"
    fill(url)
    newer()
    statement, lost, kills = 1, 0, 0
    while killed_at(statement, url):
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as db:
            (rows,) = db.execute("SELECT COUNT(*) FROM looks").fetchone()
            (moved,) = db.execute("SELECT COUNT(*) FROM looks WHERE why = 'moved'").fetchone()
        db.close()
        lost += LOOKS - rows
        assert moved in (0, LOOKS), f"half migrated at {statement}"
        statement += 3 if case.form == "cheap" else 1
        kills += 1
    case.record(kills, lost=lost)
    assert lost == 0
    assert whys(url) == ["moved"] * LOOKS
    assert statement > 5


@pytest.mark.fault(61, cheap=True)
def test_old_worker_new_schema(
    case: Case, tmp_path: Path, newer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/cloud.sqlite"
    fill(url)
    with monkeypatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", tmp_path / "migrations")
        assert whys(url) == ["moved"] * LOOKS
    before = (tmp_path / "cloud.sqlite").read_bytes()
    with pytest.raises(BadContentError, match="newer than this program"):
        open_database(url)
    case.record(1, started=0)
    assert (tmp_path / "cloud.sqlite").read_bytes() == before


@pytest.mark.fault(61)
def test_postgres_migration_killed(case: Case, tmp_path: Path, newer: Any) -> None:
    if programs() is None:
        pytest.skip("postgresql is not installed")
    with postgres_server() as server:
        url = server.new_database()
        fill(url)
        newer()
        statement = 1
        while killed_at(statement, url):
            statement += 1
        case.record(statement - 1, lost=LOOKS - len(whys(url)))
        assert whys(url) == ["moved"] * LOOKS
        assert statement > 5
