"""Projects that counties screened (art. 5)."""

import sqlalchemy as sa
from alembic import op

from marketkit.migrations import grant, row_security

revision = "energy_0001"
down_revision = None
branch_labels = ("energy_trade",)
depends_on = ("marketkit_0001", "saleroom_0001")


def upgrade() -> None:
    op.create_table(
        "screening",
        sa.Column("project_code", sa.String(), nullable=False),
        sa.Column("uscc", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("region_code", sa.String(), nullable=False),
        sa.Column("is_dual_high", sa.Boolean(), nullable=False),
        sa.Column("screened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("policy_version", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("project_code", name=op.f("pk_screening")),
    )
    op.create_index(op.f("ix_screening_uscc"), "screening", ["uscc"], unique=False)
    grant("screening", scoped="SELECT, INSERT", market="SELECT", worker="SELECT")
    row_security("screening", region="region_code", uscc="uscc")


def downgrade() -> None:
    op.drop_index(op.f("ix_screening_uscc"), table_name="screening")
    op.drop_table("screening")
