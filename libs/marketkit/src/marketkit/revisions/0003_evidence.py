"""Evidence: a fact is found in the log by its aggregate; keys that signed are kept, and who is served."""

import sqlalchemy as sa
from alembic import op

from marketkit.migrations import grant

revision = "marketkit_0003"
down_revision = "marketkit_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    free_the_owner()
    op.create_index(op.f("ix_log_key"), "log", ["key"], unique=False)
    op.create_table(
        "signing_key",
        sa.Column("kid", sa.String(), nullable=False),
        sa.Column("public", sa.LargeBinary(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_key")),
    )
    op.create_table(
        "served_revision",
        sa.Column("revision", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_served_revision")),
    )
    grant("served_revision", worker="SELECT")
    grant("signing_key", worker="SELECT, INSERT, UPDATE")


def free_the_owner() -> None:
    """The owner backs up and migrates every row; no request ever becomes the owner."""
    op.execute(
        "DO $$ DECLARE found regclass; BEGIN "
        "FOR found IN SELECT oid FROM pg_class WHERE relforcerowsecurity LOOP "
        "EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', found); END LOOP; END $$"
    )


def downgrade() -> None:
    op.drop_table("served_revision")
    op.drop_table("signing_key")
    op.drop_index(op.f("ix_log_key"), table_name="log")
