"""What ingest writes: looks exactly once, bad messages aside, what devices say. Adapter."""

import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from pydantic_core import to_json as to_json_bytes
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine

from agent.contract.errors import UnavailableError
from agent.contract.messages import LookMeta, Reported, Status, Telemetry, to_json
from cloud.blobs import Place
from cloud.database import reading, transaction
from cloud.schema import devices, looks, quarantine
from cloud.sieve import Heard

log = logging.getLogger(__name__)

NOWHERE: Final = Place("", 0, 0)
IN_LIST: Final = 500
"""Values in one IN (...): databases bound their number."""


class TakenError(UnavailableError):
    """Looks that were new a moment ago are stored by now: look again what is known."""


class StoredLook(NamedTuple):
    """A look whose pictures are durable and whose row is to be written."""

    meta: LookMeta
    sha256: str
    """Of the region's JPEG, hexadecimal."""
    picture: Place
    context: Place
    received_at: float


@dataclass(frozen=True, slots=True)
class BadMessage:
    """A message set aside."""

    device: str
    """Empty when the topic names none."""
    topic: str
    look_id: str
    """Empty when unknown."""
    reason: str
    received_at: float
    size: int
    payload: Place = NOWHERE
    """Its first bytes; nowhere when too many are kept already."""


@dataclass(frozen=True, slots=True)
class Totals:
    """The worker's figures, counted in the database."""

    devices: int
    devices_online: int
    looks: int
    waiting: int
    outcomes: dict[str, int]
    verdicts: int
    verdicts_applied: int
    quarantined: int


class Store:
    """The ingest side of the database. Safe for any number of threads."""

    def __init__(self, engine: Engine) -> None:
        """Use a migrated database."""
        self.engine = engine
        self._reader = reading(engine)

    def known(self, look_ids: Collection[str]) -> dict[str, str]:
        """Return sha256 by look id of those that are stored.

        Raises:
            UnavailableError: the database does not answer.
        """
        ids = list(look_ids)
        with transaction(self._reader) as connection:
            if connection.dialect.name == "postgresql":
                found = connection.exec_driver_sql(_KNOWN_IN_POSTGRES, (ids,))
            else:
                found = connection.exec_driver_sql(_KNOWN_IN_SQLITE, (compact(ids),))
            return {row.look_id: row.sha256 for row in found}

    def shards(self, names: Collection[str]) -> set[str]:
        """Return those of the shards that rows point into.

        Raises:
            UnavailableError: the database does not answer.
        """
        found: set[str] = set()
        with transaction(self._reader) as connection:
            for table in (looks, quarantine):
                query = sa.select(table.c.shard).distinct()
                for part in _parts(sorted(names)):
                    found.update(connection.execute(query.where(table.c.shard.in_(part))).scalars())
        return found

    def add(
        self,
        new: Sequence[StoredLook],
        bad: Sequence[BadMessage],
        heard: Sequence[Heard],
        now: float,
    ) -> None:
        """Write a batch in one durable transaction.

        Raises:
            BadContentError: one of the rows is impossible; nothing was written.
            TakenError: some look id is stored already; nothing was written.
            UnavailableError: nothing was written.
        """
        names = {item.meta.device for item in new} | {item.device for item in heard}
        with transaction(self.engine) as connection:
            if names:
                greet(connection, names, now)
            if new and _add_looks(connection, new) < len(new):
                # Another worker was faster: what it stored must be compared, not passed over.
                raise TakenError("database: some of these looks were stored meanwhile")
            if bad:
                connection.execute(sa.insert(quarantine), [_bad_row(b) for b in bad])
            for device, values in _news(heard, _issued(connection, heard)).items():
                statement = sa.update(devices).where(devices.c.device == device)
                connection.execute(statement.values(values))

    def quarantined_since(self, device: str, since: float) -> int:
        """Return how many messages of a device were set aside since a time."""
        query = (
            sa.select(sa.func.count())
            .select_from(quarantine)
            .where(quarantine.c.device == device, quarantine.c.received_at >= since)
        )
        with transaction(self._reader) as connection:
            return int(connection.execute(query).scalar_one())

    def totals(self) -> Totals:
        """Count everything.

        Raises:
            UnavailableError: the database does not answer.
        """
        by_outcome = sa.select(looks.c.outcome, sa.func.count()).group_by(looks.c.outcome)
        with transaction(self._reader) as connection:
            outcomes = {o: int(n) for o, n in connection.execute(by_outcome)}
            waiting = outcomes.pop(None, 0)
            applied = connection.execute(_APPLIED).scalar_one()
            return Totals(
                devices=_count(connection, devices),
                devices_online=_count(connection, devices, devices.c.online),
                looks=waiting + sum(outcomes.values()),
                waiting=waiting,
                outcomes=outcomes,
                verdicts=_count(connection, _VERDICTS),
                verdicts_applied=int(applied),
                quarantined=_count(connection, quarantine),
            )


def ahead(engine: Engine) -> tuple[str, ...]:
    """Say which devices report verdicts as applied that were never issued.

    Raises:
        UnavailableError: the database does not answer.
    """
    query = sa.select(devices.c.device, devices.c.reported, devices.c.verdict_last)
    with transaction(reading(engine)) as connection:
        rows = connection.execute(query.where(devices.c.reported != "")).all()
    claims = [(r.device, json.loads(r.reported)["verdict_seq"], r.verdict_last) for r in rows]
    return tuple(
        f"{device} reports verdicts up to {claimed}, issued are {issued}: forged, or the database"
        " was restored; not believed"
        for device, claimed, issued in claims
        if claimed > issued
    )


def greet(connection: Connection, names: Collection[str], now: float) -> None:
    """Make sure that devices have a row, inside a transaction, and note that they were heard."""
    seen = sa.update(devices).where(devices.c.device.in_(sorted(names))).values(last_seen=now)
    if connection.execute(seen).rowcount == len(names):
        return
    rows = [
        {
            "device": name, "first_seen": now, "last_seen": now, "online": False, "status": "",
            "reported": "", "telemetry": "", "events": 0, "verdict_last": 0, "verdict_applied": 0,
        }
        # One order for all workers, so that two batches cannot lock each other out.
        for name in sorted(names)
    ]  # fmt: skip
    connection.execute(insert_new(connection, devices), rows)


def _parts(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[at : at + IN_LIST] for at in range(0, len(names), IN_LIST)]


def _issued(connection: Connection, heard: Sequence[Heard]) -> dict[str, int]:
    """Return the last verdict number of each device that reports one."""
    names = sorted({i.device for i in heard if isinstance(i.message, Reported)})
    found: dict[str, int] = {}
    for part in _parts(names):
        query = sa.select(devices.c.device, devices.c.verdict_last)
        rows = connection.execute(query.where(devices.c.device.in_(part)))
        found.update({row.device: int(row.verdict_last) for row in rows})
    return found


def _news(heard: Sequence[Heard], issued: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Return what to write per device: the last word of each kind counts.

    Reports carry no signature: a number that was never issued proves nothing, and believed it
    would mute the device for good.
    """
    news: dict[str, dict[str, Any]] = {}
    events: dict[str, int] = {}
    for item in heard:
        values = news.setdefault(item.device, {})
        message = item.message
        if isinstance(message, Status):
            values |= {"status": to_json(message).decode(), "online": message.online}
        elif isinstance(message, Reported):
            values["reported"] = to_json(message).decode()
            if message.verdict_seq <= issued[item.device]:
                values["verdict_applied"] = message.verdict_seq
            else:
                log.warning(
                    "verdict_seq_never_issued device=%s reported=%d issued=%d",
                    item.device, message.verdict_seq, issued[item.device],
                )  # fmt: skip
        elif isinstance(message, Telemetry):
            values["telemetry"] = to_json(message).decode()
        else:
            events[item.device] = events.get(item.device, 0) + 1
            values["events"] = devices.c.events + events[item.device]
    return {device: news[device] for device in sorted(news)}


def insert_new(connection: Connection, table: sa.Table) -> sa.Insert:
    """Return an INSERT that leaves rows alone whose primary key is taken."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


_VERDICTS: Final = sa.table("verdicts", sa.column("device"), sa.column("seq"))
_APPLIED: Final = (
    sa.select(sa.func.count())
    .select_from(_VERDICTS.join(devices, devices.c.device == _VERDICTS.c.device))
    .where(_VERDICTS.c.seq <= devices.c.verdict_applied)
)


# One value for all ids: the statement stays the same, however many they are.
_KNOWN_IN_POSTGRES: Final = "SELECT look_id, sha256 FROM looks WHERE look_id = ANY(%s)"
_KNOWN_IN_SQLITE: Final = """
    SELECT look_id, sha256 FROM looks WHERE look_id IN (SELECT value FROM json_each(?))
"""


def _count(connection: Connection, table: sa.FromClause, *where: Any) -> int:  # noqa: ANN401
    query = sa.select(sa.func.count()).select_from(table).where(*where)
    return int(connection.execute(query).scalar_one())


def _add_looks(connection: Connection, new: Sequence[StoredLook]) -> int:
    """Insert looks whose ids are not taken; return how many.

    By the driver itself: SQLAlchemy would spend more on a row than SQLite does.
    """
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    columns = ", ".join(f'"{name}"' for name in LOOK_COLUMNS)
    marks = ", ".join([mark] * len(LOOK_COLUMNS))
    statement = f"INSERT INTO looks ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608 - names of columns
    return connection.exec_driver_sql(statement, [_look_row(item) for item in new]).rowcount


LOOK_COLUMNS: Final = (
    "look_id", "device", "camera", "sighting_id", "captured_at", "clock_synced", "frame", "box",
    "profile", "model", "reason", "top", "device_label", "margin", "energy", "worth",
    "sighting_label", "audit_share", "audited", "received_at",
    "shard", "offset", "length", "sha256", "context_offset", "context_length",
    "state", "not_before", "batch", "asked_at", "attempts", "invalid", "confidence", "why",
    "labeller",
)  # fmt: skip


def _look_row(item: StoredLook) -> tuple[Any, ...]:
    meta, picture, context = item.meta, item.picture, item.context
    top = [[s.label, s.score] for s in meta.top]
    return (
        meta.look_id, meta.device, meta.camera, meta.sighting_id, meta.captured_at,
        meta.clock_synced, meta.frame, compact(meta.box), meta.profile, meta.model, meta.reason,
        compact(top), top[0][0] if top else None, meta.margin, meta.energy, meta.worth,
        meta.sighting_label, meta.audit_share, meta.audited, item.received_at,
        picture.shard, picture.offset, picture.length, item.sha256, context.offset, context.length,
        "stored", 0.0, "", 0.0, 0, 0, 0.0, "", "",
    )  # fmt: skip


def compact(value: object) -> str:
    """Return a value as JSON, quickly."""
    return to_json_bytes(value).decode()


def _bad_row(item: BadMessage) -> dict[str, Any]:
    return {
        "device": item.device,
        "topic": item.topic,
        "look_id": item.look_id,
        "reason": item.reason,
        "received_at": item.received_at,
        "size": item.size,
        "shard": item.payload.shard,
        "offset": item.payload.offset,
        "length": item.payload.length,
    }
