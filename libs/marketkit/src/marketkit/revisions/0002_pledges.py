"""What of a lot is pledged is found without reading every hold there ever was."""

import sqlalchemy as sa
from alembic import op

revision = "marketkit_0002"
down_revision = "marketkit_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        op.f("ix_hold_pledged"),
        "hold",
        ["account", "lot"],
        unique=False,
        postgresql_where=sa.text("creditor IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_hold_pledged"), table_name="hold")
