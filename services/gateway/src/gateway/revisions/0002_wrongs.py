"""What goes wrong in sales, on the board: notes on steps, drills, what follows on what."""

import sqlalchemy as sa
from alembic import op

revision = "gateway_0002"
down_revision = "gateway_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "board_sale",
        sa.Column("drilled_at", sa.DateTime(timezone=True), nullable=True),
        schema="projection",
    )
    op.add_column(
        "board_sale", sa.Column("follows_sale_id", sa.String(), nullable=True), schema="projection"
    )
    op.create_index(
        op.f("ix_board_sale_follows_sale_id"),
        "board_sale",
        ["follows_sale_id"],
        schema="projection",
    )
    op.add_column(
        "board_step",
        sa.Column("note", sa.Text(), nullable=False, server_default=""),
        schema="projection",
    )
    # Only for the rows that stand: a projection holds nothing but what events say.
    op.alter_column("board_step", "note", server_default=None, schema="projection")


def downgrade() -> None:
    op.drop_column("board_step", "note", schema="projection")
    op.drop_index(op.f("ix_board_sale_follows_sale_id"), "board_sale", schema="projection")
    op.drop_column("board_sale", "follows_sale_id", schema="projection")
    op.drop_column("board_sale", "drilled_at", schema="projection")
