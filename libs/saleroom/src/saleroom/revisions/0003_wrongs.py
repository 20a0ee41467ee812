"""What goes wrong in sales: corrections of notices."""

import sqlalchemy as sa
from alembic import op

from marketkit.migrations import append_only, grant

revision = "saleroom_0003"
down_revision = "saleroom_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_corrections()


def add_corrections() -> None:
    zero = sa.text("0")
    op.add_column(
        "sale", sa.Column("correction_count", sa.Integer(), nullable=False, server_default=zero)
    )
    op.add_column(
        "registration",
        sa.Column("accepted_correction", sa.Integer(), nullable=False, server_default=zero),
    )
    op.create_table(
        "correction",
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("corrected_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["sale_id"], ["sale.id"], name=op.f("fk_correction_sale_id")),
        sa.PrimaryKeyConstraint("sale_id", "number", name=op.f("pk_correction")),
    )
    append_only("correction")
    grant("correction", scoped="SELECT", market="SELECT, INSERT", worker="SELECT")


def downgrade() -> None:
    op.drop_table("correction")
    op.drop_column("registration", "accepted_correction")
    op.drop_column("sale", "correction_count")
