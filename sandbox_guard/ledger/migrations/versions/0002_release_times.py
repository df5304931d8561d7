"""Reserved time: lanes, reservations, and what overruns told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "lanes",
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("ahead", sa.BigInteger(), nullable=False),
        sa.Column("free_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "reservations",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("charge_id", sa.String(length=64), nullable=False),
        sa.Column("member", sa.String(length=300), nullable=False),
        sa.Column("lane", sa.String(length=300), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("milliseconds", sa.BigInteger(), nullable=False),
        sa.Column("shape", sa.String(length=64), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["charge_id"], ["charges.charge_id"]),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_index("reservations_by_charge", "reservations", ["charge_id", "member"], unique=False)
    op.create_table(
        "leaks",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("member", sa.String(length=300), nullable=False),
        sa.Column("project", sa.String(length=300), nullable=False),
        sa.Column("shape", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("bits", sa.BigInteger(), nullable=False),
        sa.Column("strike", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_index("leaks_of_project", "leaks", ["project", "at"], unique=False)
    op.create_index("leaks_of_shape", "leaks", ["shape", "at"], unique=False)
