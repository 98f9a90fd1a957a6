import sqlite3
import time
from contextlib import closing

from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Engine

from cloud.label.workflow import _teach, teach_sqlite


def test_an_old_sqlite_learns_subseconds() -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        _teach(db, None)
        (told,) = db.execute("SELECT unixepoch('subsec')").fetchone()
    assert abs(told - time.time()) < 60


def test_each_new_connection_is_taught_where_it_is_needed() -> None:
    teach_sqlite()
    teach_sqlite()
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT unixepoch('subsec')")).scalar() is not None
    engine.dispose()
    assert event.contains(Engine, "connect", _teach) == (sqlite3.sqlite_version_info < (3, 42))
