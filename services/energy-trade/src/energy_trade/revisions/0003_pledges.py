"""Pledges (art. 19), and coal at power plants (art. 7)."""

import sqlalchemy as sa
from alembic import op

from marketkit.migrations import append_only, grant, row_security

revision = "energy_0003"
down_revision = "energy_0002"
branch_labels = None
depends_on = ("marketkit_0004",)


def upgrade() -> None:
    create_pledges()
    create_coal_stocks()
    set_rights()


def create_pledges() -> None:
    op.create_table(
        "pledge",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("region_code", sa.String(), nullable=False),
        sa.Column("uscc", sa.String(), nullable=False),
        sa.Column("creditor_uscc", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("quantity_minor", sa.BigInteger(), nullable=False),
        sa.Column("remaining_minor", sa.BigInteger(), nullable=False),
        sa.Column("document_no", sa.String(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("registered_by", sa.String(), nullable=False),
        sa.Column("policy_version", sa.String(), nullable=False),
        sa.CheckConstraint("quantity_minor > 0", name=op.f("ck_pledge_quantity")),
        sa.CheckConstraint(
            "remaining_minor >= 0 AND remaining_minor <= quantity_minor",
            name=op.f("ck_pledge_remaining"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pledge")),
        sa.UniqueConstraint(
            "account",
            "asset",
            "creditor_uscc",
            "document_no",
            name=op.f("uq_pledge_account_asset_creditor_uscc_document_no"),
        ),
    )
    op.create_index(op.f("ix_pledge_uscc"), "pledge", ["uscc"], unique=False)
    op.create_index(op.f("ix_pledge_creditor_uscc"), "pledge", ["creditor_uscc"], unique=False)
    op.create_table(
        "pledge_release",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("pledge_id", sa.String(), nullable=False),
        sa.Column("quantity_minor", sa.BigInteger(), nullable=False),
        sa.Column("document_no", sa.String(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_by", sa.String(), nullable=False),
        sa.CheckConstraint("quantity_minor > 0", name=op.f("ck_pledge_release_quantity")),
        sa.ForeignKeyConstraint(
            ["pledge_id"], ["pledge.id"], name=op.f("fk_pledge_release_pledge_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pledge_release")),
    )
    op.create_index(
        op.f("ix_pledge_release_pledge_id"), "pledge_release", ["pledge_id"], unique=False
    )


def create_coal_stocks() -> None:
    op.create_table(
        "coal_stock",
        sa.Column("region_code", sa.String(), nullable=False),
        sa.Column("plant_id", sa.String(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("stock_kg", sa.BigInteger(), nullable=False),
        sa.Column("daily_burn_kg", sa.BigInteger(), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reported_by", sa.String(), nullable=False),
        sa.Column("policy_version", sa.String(), nullable=False),
        sa.CheckConstraint("stock_kg >= 0 AND daily_burn_kg > 0", name=op.f("ck_coal_stock_stock")),
        sa.CheckConstraint("revision > 0", name=op.f("ck_coal_stock_revision")),
        sa.PrimaryKeyConstraint(
            "region_code", "plant_id", "effective_on", "revision", name=op.f("pk_coal_stock")
        ),
    )


def set_rights() -> None:
    grant("pledge", scoped="SELECT", market="SELECT, INSERT, UPDATE", worker="SELECT")
    for table in ("pledge_release", "coal_stock"):
        grant(table, scoped="SELECT", market="SELECT, INSERT", worker="SELECT")
        append_only(table)
    # Two enterprises see a pledge: whose quota it is, and whom it secures.
    seen_by = (
        "(SELECT CASE WHEN p.creditor_uscc = current_setting('app.uscc', true) "
        "THEN p.creditor_uscc ELSE p.uscc END {})"
    )
    row_security(
        "pledge",
        region="region_code",
        uscc="CASE WHEN creditor_uscc = current_setting('app.uscc', true) "
        "THEN creditor_uscc ELSE uscc END",
    )
    own = "FROM pledge p WHERE p.id = pledge_id"
    row_security("pledge_release", region=f"(SELECT p.region_code {own})", uscc=seen_by.format(own))
    row_security("coal_stock", region="region_code")


def downgrade() -> None:
    op.drop_table("coal_stock")
    op.drop_index(op.f("ix_pledge_release_pledge_id"), table_name="pledge_release")
    op.drop_table("pledge_release")
    op.drop_index(op.f("ix_pledge_creditor_uscc"), table_name="pledge")
    op.drop_index(op.f("ix_pledge_uscc"), table_name="pledge")
    op.drop_table("pledge")
