"""Every row of a projection names the source that told it, so that each is rebuilt by itself."""

import sqlalchemy as sa
from alembic import op

revision = "gateway_0003"
down_revision = "gateway_0002"
branch_labels = None
depends_on = None

TABLES = (
    "announcement",
    "board_account",
    "board_award",
    "board_bid",
    "board_lot",
    "board_rejection",
    "board_sale",
    "board_settlement",
    "holding",
)


def upgrade() -> None:
    # What stands there names nobody: all is read once more from the owners' feeds.
    names = ", ".join(f"projection.{table}" for table in (*TABLES, "board_step", "change"))
    op.execute(f"TRUNCATE {names}")
    op.execute("DELETE FROM parked")
    op.execute("UPDATE position SET sequence = 0, chain = decode(repeat('00', 32), 'hex')")
    for table in TABLES:
        op.add_column(table, sa.Column("source", sa.String(), nullable=False), schema="projection")


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "source", schema="projection")
