"""The board's projections, and who may read or rebuild them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from marketkit.migrations import grant, row_security

revision = "gateway_0001"
down_revision = None
branch_labels = ("gateway",)
depends_on = "marketkit_0001"

# What anyone may read, and what a region's officers or an enterprise may of their own.
PUBLIC = (
    "announcement",
    "board_award",
    "board_bid",
    "board_lot",
    "board_rejection",
    "board_sale",
    "board_settlement",
    "board_step",
    "change",
)
OWN = ("board_account", "holding")


def upgrade() -> None:
    op.execute("CREATE SCHEMA projection")
    op.execute("GRANT USAGE ON SCHEMA projection TO yaosu_scoped, yaosu_market, yaosu_worker")
    create_tables()
    set_rights()


def set_rights() -> None:
    everything = "SELECT, INSERT, UPDATE, DELETE, TRUNCATE"
    for table in (*PUBLIC, *OWN):
        # Totals by region span the rows of all: they are read as `market`.
        grant(f"projection.{table}", scoped="SELECT", market="SELECT", worker=everything)
    row_security("projection.board_account", region="region_code", uscc="uscc")
    own = (
        "(SELECT a.{0} FROM projection.board_account a "
        "WHERE a.market = holding.market AND a.id = holding.account)"
    )
    row_security("projection.holding", region=own.format("region_code"), uscc=own.format("uscc"))


def downgrade() -> None:
    op.execute("DROP SCHEMA projection CASCADE")


def create_tables() -> None:
    op.create_table(
        "announcement",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("market", sa.String(), nullable=False),
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("sale_title", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_announcement")),
        schema="projection",
    )
    op.create_index(
        op.f("ix_announcement_published_at_id"),
        "announcement",
        ["published_at", "id"],
        unique=False,
        schema="projection",
    )
    op.create_index(
        op.f("ix_announcement_sale_id"),
        "announcement",
        ["sale_id"],
        unique=False,
        schema="projection",
    )
    op.create_table(
        "board_account",
        sa.Column("market", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("owner_kind", sa.String(), nullable=False),
        sa.Column("region_code", sa.String(), nullable=False),
        sa.Column("uscc", sa.String(), nullable=True),
        sa.Column("project_code", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("market", "id", name=op.f("pk_board_account")),
        schema="projection",
    )
    op.create_table(
        "board_award",
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("bid_id", sa.String(), nullable=False),
        sa.Column("registration_id", sa.String(), nullable=False),
        sa.Column("bidder", sa.String(), nullable=False),
        sa.Column("bidder_name", sa.String(), nullable=False),
        sa.Column("project_code", sa.String(), nullable=False),
        sa.Column("quantity_minor", sa.BigInteger(), nullable=False),
        sa.Column("price_fen", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sale_id", "bid_id", name=op.f("pk_board_award")),
        schema="projection",
    )
    op.create_table(
        "board_bid",
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("receipt_id", sa.String(), nullable=False),
        sa.Column("registration_id", sa.String(), nullable=False),
        sa.Column("bidder", sa.String(), nullable=False),
        sa.Column("bidder_name", sa.String(), nullable=False),
        sa.Column("project_code", sa.String(), nullable=False),
        sa.Column("quantity_max_minor", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("commitment", sa.String(), nullable=False),
        sa.Column("plaintext", sa.Text(), nullable=True),
        sa.Column("void_code", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("sale_id", "receipt_id", name=op.f("pk_board_bid")),
        schema="projection",
    )
    op.create_table(
        "board_lot",
        sa.Column("market", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("article", sa.String(), nullable=False),
        sa.Column("document_no", sa.String(), nullable=False),
        sa.Column("origin_kind", sa.String(), nullable=False),
        sa.Column("origin_id", sa.String(), nullable=False),
        sa.Column("origin_region_code", sa.String(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("is_dual_high_barred", sa.Boolean(), nullable=False),
        sa.Column("is_locally_usable", sa.Boolean(), nullable=False),
        sa.Column("needs_city_consent", sa.Boolean(), nullable=False),
        sa.Column("valid_until_on", sa.Date(), nullable=True),
        sa.Column("parent_lot", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("market", "id", name=op.f("pk_board_lot")),
        schema="projection",
    )
    op.create_table(
        "board_rejection",
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("bid_id", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("sale_id", "bid_id", name=op.f("pk_board_rejection")),
        schema="projection",
    )
    op.create_table(
        "board_sale",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("market", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("seller", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("state_before", sa.String(), nullable=True),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("terms", postgresql.JSONB(), nullable=False),
        sa.Column("timetable", postgresql.JSONB(), nullable=False),
        sa.Column("key", postgresql.JSONB(), nullable=False),
        sa.Column("policy_version", sa.String(), nullable=False),
        sa.Column("announced_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("draw_secret", sa.String(), nullable=True),
        sa.Column("seed", sa.String(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("clearing_price_fen", sa.BigInteger(), nullable=True),
        sa.Column("sold_minor", sa.BigInteger(), nullable=True),
        sa.Column("unsold_minor", sa.BigInteger(), nullable=True),
        sa.Column("proceeds_fen", sa.BigInteger(), nullable=True),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_board_sale")),
        schema="projection",
    )
    op.create_index(
        op.f("ix_board_sale_announced_at"),
        "board_sale",
        ["announced_at"],
        unique=False,
        schema="projection",
    )
    op.create_index(
        op.f("ix_board_sale_state"), "board_sale", ["state"], unique=False, schema="projection"
    )
    op.create_table(
        "board_settlement",
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("registration_id", sa.String(), nullable=False),
        sa.Column("bidder", sa.String(), nullable=False),
        sa.Column("bidder_name", sa.String(), nullable=False),
        sa.Column("project_code", sa.String(), nullable=False),
        sa.Column("quantity_minor", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("pay_by", sa.DateTime(timezone=True), nullable=True),
        sa.Column("forfeited_fen", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("sale_id", "registration_id", name=op.f("pk_board_settlement")),
        schema="projection",
    )
    op.create_table(
        "board_step",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("registration_id", sa.String(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "partition", "sequence", name=op.f("pk_board_step")),
        schema="projection",
    )
    op.create_index(
        op.f("ix_board_step_sale_id"), "board_step", ["sale_id"], unique=False, schema="projection"
    )
    op.create_table(
        "change",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("market", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "partition", "sequence", name=op.f("pk_change")),
        schema="projection",
    )
    op.create_table(
        "holding",
        sa.Column("market", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("lot", sa.String(), nullable=False),
        sa.Column("posted_minor", sa.BigInteger(), nullable=False),
        sa.Column("held_minor", sa.BigInteger(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("market", "account", "asset", "lot", name=op.f("pk_holding")),
        schema="projection",
    )
