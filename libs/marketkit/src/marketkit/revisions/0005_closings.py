"""Closings: what was summed once is not summed again; what is held now is found without what was."""

import sqlalchemy as sa
from alembic import op

from marketkit.migrations import append_only, grant

revision = "marketkit_0005"
down_revision = "marketkit_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "closed_total",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("lot", sa.String(), nullable=False),
        sa.Column("upto", sa.BigInteger(), nullable=False),
        sa.Column("posted", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "lot", "upto", name=op.f("pk_closed_total")),
    )
    op.create_index(op.f("ix_closed_total_upto"), "closed_total", ["upto"], unique=False)
    append_only("closed_total")
    grant("closed_total", worker="SELECT, INSERT")
    op.drop_index(op.f("ix_hold_pledged"), table_name="hold")
    op.create_index(
        op.f("ix_hold_open"),
        "hold",
        ["account", "lot"],
        unique=False,
        postgresql_where=sa.text("remaining > 0"),
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_hold_open"), table_name="hold")
    op.create_index(
        op.f("ix_hold_pledged"),
        "hold",
        ["account", "lot"],
        unique=False,
        postgresql_where=sa.text("creditor IS NOT NULL"),
    )
    op.drop_table("closed_total")
