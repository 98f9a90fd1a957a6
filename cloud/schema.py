"""Tables of the worker's database. Pure.

Times are unix seconds. Money is whole nano-dollars (1e-9 USD), so that sums are exact.
Changes go through `cloud/migrations`; a test compares the two.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_AUDITED: Final = text("audited")
_Seq = BigInteger().with_variant(Integer, "sqlite")

devices: Final = Table(
    "devices",
    metadata,
    Column("device", String(63), primary_key=True),
    Column("first_seen", Float, nullable=False),
    Column("last_seen", Float, nullable=False),
    Column("online", Boolean, nullable=False, default=False),
    Column("status", Text, nullable=False, default=""),
    Column("reported", Text, nullable=False, default=""),
    Column("telemetry", Text, nullable=False, default=""),
    Column("events", BigInteger, nullable=False, default=0),
    Column("verdict_last", BigInteger, nullable=False, default=0),
    Column("verdict_applied", BigInteger, nullable=False, default=0),
)

looks: Final = Table(
    "looks",
    metadata,
    Column("look_id", String(32), primary_key=True),
    Column("device", String(63), ForeignKey("devices.device"), nullable=False),
    Column("camera", String(63), nullable=False),
    Column("sighting_id", String(32), nullable=False),
    Column("captured_at", Float, nullable=False),
    Column("clock_synced", Boolean, nullable=False),
    Column("frame", BigInteger, nullable=False),
    Column("box", Text, nullable=False),
    Column("profile", String(200), nullable=False),
    Column("model", String(200), nullable=False),
    Column("reason", String(16), nullable=False),
    Column("top", Text, nullable=False),
    Column("device_label", String(120)),
    Column("margin", Float, nullable=False),
    Column("energy", Float, nullable=False),
    Column("worth", Float, nullable=False),
    Column("sighting_label", String(120)),
    # The chance of being drawn for the audit, and whether this look is the one that counts.
    Column("audit_share", Float, nullable=False),
    Column("audited", Boolean, nullable=False),
    Column("received_at", Float, nullable=False),
    # Where the picture lies: object name, offset and length inside it.
    Column("shard", String(300), nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("length", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("context_offset", BigInteger, nullable=False, default=0),
    Column("context_length", Integer, nullable=False, default=0),
    # The row is its own queue entry: stored -> asked -> done, and back while it must wait.
    Column("state", String(8), nullable=False, default="stored"),
    Column("not_before", Float, nullable=False, default=0.0),
    Column("batch", String(64), nullable=False, default=""),
    Column("asked_at", Float, nullable=False, default=0.0),
    Column("attempts", Integer, nullable=False, default=0),
    Column("invalid", Integer, nullable=False, default=0),
    Column("outcome", String(12)),
    Column("label", String(120)),
    Column("confidence", Float, nullable=False, default=0.0),
    Column("why", Text, nullable=False, default=""),
    Column("labeller", String(200), nullable=False, default=""),
    Column("done_at", Float),
    Index(None, "state", "not_before"),
    Index(None, "batch"),
    Index(None, "device", "received_at"),
    Index(None, "done_at"),
    Index(None, "shard"),
    Index("ix_looks_audited", "received_at", sqlite_where=_AUDITED, postgresql_where=_AUDITED),
)

verdicts: Final = Table(
    "verdicts",
    metadata,
    Column("device", String(63), ForeignKey("devices.device"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("look_id", String(32), ForeignKey("looks.look_id"), nullable=False),
    Column("issued_at", Float, nullable=False),
    Column("body", Text, nullable=False),
    Index(None, "look_id"),
)

quarantine: Final = Table(
    "quarantine",
    metadata,
    Column("id", _Seq, primary_key=True),
    Column("device", String(63), nullable=False),
    Column("topic", String(300), nullable=False),
    Column("look_id", String(32), nullable=False, default=""),
    Column("reason", Text, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("shard", String(300), nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("length", Integer, nullable=False),
    Index(None, "device", "received_at"),
)

spend_days: Final = Table(
    "spend_days",
    metadata,
    Column("day", String(10), primary_key=True),
    Column("held", BigInteger, nullable=False, default=0),
    Column("spent", BigInteger, nullable=False, default=0),
)

spend: Final = Table(
    "spend",
    metadata,
    Column("id", _Seq, primary_key=True),
    Column("day", String(10), ForeignKey("spend_days.day"), nullable=False),
    Column("look_id", String(32), nullable=False),
    Column("at", Float, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    # None while the call runs, and for ever if the worker died in it: it counts in full.
    Column("cost", BigInteger),
    Column("tokens_in", BigInteger, nullable=False, default=0),
    Column("tokens_out", BigInteger, nullable=False, default=0),
    Index(None, "day"),
)

orders: Final = Table(
    "orders",
    metadata,
    Column("device", String(63), primary_key=True),
    Column("channel", String(16), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("issued", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("body", Text, nullable=False),
    # The signed envelope, sent again on every connect: a broker may forget what it retained.
    Column("envelope", Text, nullable=False),
)
