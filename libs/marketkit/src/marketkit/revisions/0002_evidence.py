"""Evidence: a fact is found in the log by its aggregate."""

from alembic import op

revision = "marketkit_0002"
down_revision = "marketkit_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_log_key"), "log", ["key"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_log_key"), table_name="log")
