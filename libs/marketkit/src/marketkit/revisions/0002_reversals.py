"""A transfer is reversed once."""

from alembic import op

revision = "marketkit_0002"
down_revision = "marketkit_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_unique_constraint(op.f("uq_transfer_reverses"), "transfer", ["reverses"])


def downgrade() -> None:
    op.drop_constraint(op.f("uq_transfer_reverses"), "transfer", type_="unique")
