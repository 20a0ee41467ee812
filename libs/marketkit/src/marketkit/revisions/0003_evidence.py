"""Evidence: a fact is found in the log by its aggregate; keys that signed are kept."""

import sqlalchemy as sa
from alembic import op

from marketkit.migrations import grant

revision = "marketkit_0002"
down_revision = "marketkit_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_log_key"), "log", ["key"], unique=False)
    op.create_table(
        "signing_key",
        sa.Column("kid", sa.String(), nullable=False),
        sa.Column("public", sa.LargeBinary(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_key")),
    )
    grant("signing_key", worker="SELECT, INSERT, UPDATE")


def downgrade() -> None:
    op.drop_table("signing_key")
    op.drop_index(op.f("ix_log_key"), table_name="log")
