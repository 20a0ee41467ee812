"""Pledges: what of a lot is pledged is found at once, and an account is what takes queue on."""

import sqlalchemy as sa
from alembic import op

from marketkit.migrations import append_only, grant

revision = "marketkit_0004"
down_revision = "marketkit_0003"
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
    # Who may not update a row may not lock it either; that nobody does is the trigger's to say.
    grant("account", market="UPDATE")
    append_only("account")


def downgrade() -> None:
    op.execute("DROP TRIGGER account_append_only ON account")
    op.execute("REVOKE UPDATE ON account FROM yaosu_market")
    op.drop_index(op.f("ix_hold_pledged"), table_name="hold")
