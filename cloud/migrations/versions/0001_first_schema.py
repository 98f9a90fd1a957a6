"""First schema. Adapter."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _devices() -> None:
    op.create_table(
        "devices",
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("first_seen", sa.Float(), nullable=False),
        sa.Column("last_seen", sa.Float(), nullable=False),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reported", sa.Text(), nullable=False),
        sa.Column("telemetry", sa.Text(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("verdict_last", sa.BigInteger(), nullable=False),
        sa.Column("verdict_applied", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("device", name=op.f("pk_devices")),
    )


def _orders() -> None:
    op.create_table(
        "orders",
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("issued", sa.Float(), nullable=False),
        sa.Column("expires", sa.Float(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("device", "channel", name=op.f("pk_orders")),
    )


def _quarantine() -> None:
    op.create_table(
        "quarantine",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("topic", sa.String(length=300), nullable=False),
        sa.Column("look_id", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("shard", sa.String(length=300), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
    )
    op.create_index(
        op.f("ix_quarantine_device_received_at"),
        "quarantine",
        ["device", "received_at"],
        unique=False,
    )


def _spend_days() -> None:
    op.create_table(
        "spend_days",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_spend_days")),
    )


def _looks() -> None:
    op.create_table(
        "looks",
        sa.Column("look_id", sa.String(length=32), nullable=False),
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("camera", sa.String(length=63), nullable=False),
        sa.Column("sighting_id", sa.String(length=32), nullable=False),
        sa.Column("captured_at", sa.Float(), nullable=False),
        sa.Column("clock_synced", sa.Boolean(), nullable=False),
        sa.Column("frame", sa.BigInteger(), nullable=False),
        sa.Column("box", sa.Text(), nullable=False),
        sa.Column("profile", sa.String(length=200), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("top", sa.Text(), nullable=False),
        sa.Column("device_label", sa.String(length=120), nullable=True),
        sa.Column("margin", sa.Float(), nullable=False),
        sa.Column("energy", sa.Float(), nullable=False),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.Column("shard", sa.String(length=300), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("context_offset", sa.BigInteger(), nullable=False),
        sa.Column("context_length", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("not_before", sa.Float(), nullable=False),
        sa.Column("batch", sa.String(length=64), nullable=False),
        sa.Column("asked_at", sa.Float(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("invalid", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=12), nullable=True),
        sa.Column("label", sa.String(length=120), nullable=True),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("labeller", sa.String(length=200), nullable=False),
        sa.Column("done_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["device"], ["devices.device"], name=op.f("fk_looks_device")),
        sa.PrimaryKeyConstraint("look_id", name=op.f("pk_looks")),
    )
    op.create_index(op.f("ix_looks_shard"), "looks", ["shard"], unique=False)
    op.create_index(op.f("ix_looks_batch"), "looks", ["batch"], unique=False)
    op.create_index(
        op.f("ix_looks_device_received_at"), "looks", ["device", "received_at"], unique=False
    )
    op.create_index(op.f("ix_looks_done_at"), "looks", ["done_at"], unique=False)
    op.create_index(
        op.f("ix_looks_state_not_before"), "looks", ["state", "not_before"], unique=False
    )


def _spend() -> None:
    op.create_table(
        "spend",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("look_id", sa.String(length=32), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=True),
        sa.Column("tokens_in", sa.BigInteger(), nullable=False),
        sa.Column("tokens_out", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["day"], ["spend_days.day"], name=op.f("fk_spend_day")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spend")),
    )
    op.create_index(op.f("ix_spend_day"), "spend", ["day"], unique=False)


def _verdicts() -> None:
    op.create_table(
        "verdicts",
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("look_id", sa.String(length=32), nullable=False),
        sa.Column("issued_at", sa.Float(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.device"], name=op.f("fk_verdicts_device")),
        sa.ForeignKeyConstraint(["look_id"], ["looks.look_id"], name=op.f("fk_verdicts_look_id")),
        sa.PrimaryKeyConstraint("device", "seq", name=op.f("pk_verdicts")),
    )
    op.create_index(op.f("ix_verdicts_look_id"), "verdicts", ["look_id"], unique=False)


def upgrade() -> None:
    """Apply."""
    _devices()
    _orders()
    _quarantine()
    _spend_days()
    _looks()
    _spend()
    _verdicts()


def downgrade() -> None:
    """Take back."""
    for table in (
        "verdicts",
        "spend",
        "looks",
        "spend_days",
        "quarantine",
        "orders",
        "devices",
    ):
        op.drop_table(table)
