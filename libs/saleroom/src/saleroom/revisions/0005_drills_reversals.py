"""Drills before announcements, sales that follow another, publicity and steps; deliveries reversed."""

import sqlalchemy as sa
from alembic import op

revision = "saleroom_0005"
down_revision = "saleroom_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_drills()
    add_following()
    add_terms()


def add_drills() -> None:
    for name in ("drill_key", "drill_challenge", "drill_answer_sha256"):
        op.add_column("sale_officer", sa.Column(name, sa.LargeBinary(), nullable=True))
    op.add_column("sale_officer", sa.Column("drill_id", sa.String(), nullable=True))
    op.add_column(
        "sale_officer", sa.Column("drilled_at", sa.DateTime(timezone=True), nullable=True)
    )


def add_following() -> None:
    zero = sa.text("0")
    op.add_column("sale", sa.Column("follows_sale_id", sa.String(), nullable=True))
    op.create_foreign_key(
        op.f("fk_sale_follows_sale_id"), "sale", "sale", ["follows_sale_id"], ["id"]
    )
    op.create_index(op.f("ix_sale_follows_sale_id"), "sale", ["follows_sale_id"])
    op.add_column(
        "sale", sa.Column("returned_minor", sa.BigInteger(), nullable=False, server_default=zero)
    )
    op.create_check_constraint(
        op.f("ck_sale_returned"), "sale", "returned_minor >= 0 AND returned_minor <= supply_minor"
    )


def add_terms() -> None:
    # Notices before this revision said neither: the usual days and the most a bid can say.
    for name, usual in (("publicity_days", "7"), ("steps_max", "20")):
        op.add_column(
            "sale",
            sa.Column(name, sa.Integer(), nullable=False, server_default=sa.text(usual)),
        )
        op.alter_column("sale", name, server_default=None)


def downgrade() -> None:
    op.drop_column("sale", "steps_max")
    op.drop_column("sale", "publicity_days")
    op.drop_constraint(op.f("ck_sale_returned"), "sale", type_="check")
    op.drop_column("sale", "returned_minor")
    op.drop_index(op.f("ix_sale_follows_sale_id"), table_name="sale")
    op.drop_constraint(op.f("fk_sale_follows_sale_id"), "sale", type_="foreignkey")
    op.drop_column("sale", "follows_sale_id")
    for name in ("drilled_at", "drill_id", "drill_answer_sha256", "drill_challenge", "drill_key"):
        op.drop_column("sale_officer", name)
