"""Looks tell their worth and whether they were drawn for the audit. Adapter."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; looks from before were not drawn with a known chance."""
    new: tuple[sa.Column[Any], ...] = (
        sa.Column("worth", sa.Float(), nullable=False, server_default="0.5"),
        sa.Column("sighting_label", sa.String(length=120), nullable=True),
        sa.Column("audit_share", sa.Float(), nullable=False, server_default="0"),
        sa.Column("audited", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    for column in new:
        op.add_column("looks", column)
    drawn = sa.text("audited")
    op.create_index(
        "ix_looks_audited", "looks", ["received_at"], sqlite_where=drawn, postgresql_where=drawn
    )
