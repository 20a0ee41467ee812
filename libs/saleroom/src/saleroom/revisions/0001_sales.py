"""Sales: notices, entries, bids, openings, settlements, and who may touch them."""

import sqlalchemy as sa
from alembic import op

from marketkit.migrations import append_only, grant, row_security

revision = "saleroom_0001"
down_revision = None
branch_labels = ("saleroom",)
depends_on = "marketkit_0001"


def upgrade() -> None:
    create_tables()
    set_rights()


def create_tables() -> None:
    op.create_table(
        "key_officer",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("sub", sa.String(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_officer")),
        sa.UniqueConstraint("sub", name=op.f("uq_key_officer_sub")),
    )
    op.create_table(
        "sale",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("market", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("source_account", sa.String(), nullable=False),
        sa.Column("supply_minor", sa.BigInteger(), nullable=False),
        sa.Column("lot_minor", sa.BigInteger(), nullable=False),
        sa.Column("floor_fen", sa.BigInteger(), nullable=False),
        sa.Column("price_rule", sa.String(), nullable=False),
        sa.Column("tie_rule", sa.String(), nullable=False),
        sa.Column("undersubscribed", sa.String(), nullable=False),
        sa.Column("purchase_limit_minor", sa.BigInteger(), nullable=True),
        sa.Column("bidders_min", sa.Integer(), nullable=False),
        sa.Column("deposit_ratio_bp", sa.Integer(), nullable=False),
        sa.Column("is_dual_high_barred", sa.Boolean(), nullable=False),
        sa.Column("pay_days", sa.Integer(), nullable=False),
        sa.Column("registration_closes_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opens_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closes_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deposit_due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opens_by", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fair_review", sa.Text(), nullable=False),
        sa.Column("policy_version", sa.String(), nullable=False),
        sa.Column("drafted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("announced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("suspended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state_before", sa.String(), nullable=True),
        sa.Column("reconciled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("public_key", sa.LargeBinary(), nullable=True),
        sa.Column("key_sm3", sa.LargeBinary(), nullable=True),
        sa.Column("draw_secret_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("draw_secret_ciphertext", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "opens_at < closes_at AND closes_at < opens_by", name=op.f("ck_sale_timetable")
        ),
        sa.CheckConstraint(
            "supply_minor > 0 AND lot_minor > 0 AND floor_fen > 0", name=op.f("ck_sale_positive")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sale")),
    )
    op.create_index(op.f("ix_sale_state"), "sale", ["state"], unique=False)
    op.create_table(
        "bid_clock",
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["sale_id"], ["sale.id"], name=op.f("fk_bid_clock_sale_id")),
        sa.PrimaryKeyConstraint("sale_id", name=op.f("pk_bid_clock")),
    )
    op.create_table(
        "opening",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("draw_secret", sa.LargeBinary(), nullable=True),
        sa.Column("seed", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["sale_id"], ["sale.id"], name=op.f("fk_opening_sale_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_opening")),
        sa.UniqueConstraint("sale_id", name=op.f("uq_opening_sale_id")),
    )
    op.create_table(
        "registration",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("uscc", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("project_code", sa.String(), nullable=False),
        sa.Column("quantity_max_minor", sa.BigInteger(), nullable=False),
        sa.Column("deposit_due_fen", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("refusal_reason", sa.String(), nullable=True),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("quantity_max_minor > 0", name=op.f("ck_registration_quantity")),
        sa.ForeignKeyConstraint(["sale_id"], ["sale.id"], name=op.f("fk_registration_sale_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registration")),
        sa.UniqueConstraint("sale_id", "uscc", name=op.f("uq_registration_sale_id_uscc")),
    )
    op.create_index(op.f("ix_registration_uscc"), "registration", ["uscc"], unique=False)
    op.create_table(
        "result",
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("clearing_price_fen", sa.BigInteger(), nullable=True),
        sa.Column("sold_minor", sa.BigInteger(), nullable=False),
        sa.Column("unsold_minor", sa.BigInteger(), nullable=False),
        sa.Column("proceeds_fen", sa.BigInteger(), nullable=False),
        sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["sale_id"], ["sale.id"], name=op.f("fk_result_sale_id")),
        sa.PrimaryKeyConstraint("sale_id", name=op.f("pk_result")),
    )
    op.create_table(
        "sale_officer",
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("officer_id", sa.String(), nullable=False),
        sa.Column("wrapped_share", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["officer_id"], ["key_officer.id"], name=op.f("fk_sale_officer_officer_id")
        ),
        sa.ForeignKeyConstraint(["sale_id"], ["sale.id"], name=op.f("fk_sale_officer_sale_id")),
        sa.PrimaryKeyConstraint("sale_id", "officer_id", name=op.f("pk_sale_officer")),
    )
    op.create_table(
        "award",
        sa.Column("bid_id", sa.String(), nullable=False),
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("registration_id", sa.String(), nullable=False),
        sa.Column("uscc", sa.String(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("quantity_minor", sa.BigInteger(), nullable=False),
        sa.Column("price_fen", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["registration_id"], ["registration.id"], name=op.f("fk_award_registration_id")
        ),
        sa.ForeignKeyConstraint(["sale_id"], ["sale.id"], name=op.f("fk_award_sale_id")),
        sa.PrimaryKeyConstraint("bid_id", name=op.f("pk_award")),
        sa.UniqueConstraint("sale_id", "rank", name=op.f("uq_award_sale_id_rank")),
    )
    op.create_index(op.f("ix_award_registration_id"), "award", ["registration_id"], unique=False)
    op.create_table(
        "deposit",
        sa.Column("registration_id", sa.String(), nullable=False),
        sa.Column("uscc", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("booked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("bank_serial", sa.String(), nullable=True),
        sa.Column("refund_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["registration_id"], ["registration.id"], name=op.f("fk_deposit_registration_id")
        ),
        sa.PrimaryKeyConstraint("registration_id", name=op.f("pk_deposit")),
        sa.UniqueConstraint("bank_serial", name=op.f("uq_deposit_bank_serial")),
    )
    op.create_table(
        "opening_session",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("opening_id", sa.String(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["opening_id"], ["opening.id"], name=op.f("fk_opening_session_opening_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_opening_session")),
    )
    op.create_index(
        op.f("ix_opening_session_opening_id"), "opening_session", ["opening_id"], unique=False
    )
    op.create_index(
        "uq_opening_session_live",
        "opening_session",
        ["opening_id"],
        unique=True,
        postgresql_where=sa.text("state = 'LIVE'"),
    )
    op.create_table(
        "payment",
        sa.Column("bank_serial", sa.String(), nullable=False),
        sa.Column("registration_id", sa.String(), nullable=False),
        sa.Column("uscc", sa.String(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("booked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["registration_id"], ["registration.id"], name=op.f("fk_payment_registration_id")
        ),
        sa.PrimaryKeyConstraint("bank_serial", name=op.f("pk_payment")),
    )
    op.create_index(
        op.f("ix_payment_registration_id"), "payment", ["registration_id"], unique=False
    )
    op.create_table(
        "sealed_bid",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("registration_id", sa.String(), nullable=False),
        sa.Column("uscc", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.Column("key_sm3", sa.LargeBinary(), nullable=False),
        sa.Column("kid", sa.String(), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["registration_id"], ["registration.id"], name=op.f("fk_sealed_bid_registration_id")
        ),
        sa.ForeignKeyConstraint(["sale_id"], ["sale.id"], name=op.f("fk_sealed_bid_sale_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sealed_bid")),
        sa.UniqueConstraint(
            "registration_id", "version", name=op.f("uq_sealed_bid_registration_id_version")
        ),
    )
    op.create_index(op.f("ix_sealed_bid_sale_id"), "sealed_bid", ["sale_id"], unique=False)
    op.create_table(
        "settlement",
        sa.Column("registration_id", sa.String(), nullable=False),
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("uscc", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("quantity_minor", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("pay_by", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("treasury_receipt_no", sa.String(), nullable=True),
        sa.CheckConstraint(
            "amount_fen > 0 AND quantity_minor > 0", name=op.f("ck_settlement_positive")
        ),
        sa.ForeignKeyConstraint(
            ["registration_id"], ["registration.id"], name=op.f("fk_settlement_registration_id")
        ),
        sa.ForeignKeyConstraint(["sale_id"], ["sale.id"], name=op.f("fk_settlement_sale_id")),
        sa.PrimaryKeyConstraint("registration_id", name=op.f("pk_settlement")),
        sa.UniqueConstraint(
            "sale_id", "registration_id", name=op.f("uq_settlement_sale_id_registration_id")
        ),
        sa.UniqueConstraint("treasury_receipt_no", name=op.f("uq_settlement_treasury_receipt_no")),
    )
    op.create_index(op.f("ix_settlement_sale_id"), "settlement", ["sale_id"], unique=False)
    op.create_table(
        "revealed_bid",
        sa.Column("receipt_id", sa.String(), nullable=False),
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("registration_id", sa.String(), nullable=False),
        sa.Column("uscc", sa.String(), nullable=False),
        sa.Column("plaintext", sa.Text(), nullable=True),
        sa.Column("void_code", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["receipt_id"], ["sealed_bid.id"], name=op.f("fk_revealed_bid_receipt_id")
        ),
        sa.ForeignKeyConstraint(
            ["registration_id"], ["registration.id"], name=op.f("fk_revealed_bid_registration_id")
        ),
        sa.ForeignKeyConstraint(["sale_id"], ["sale.id"], name=op.f("fk_revealed_bid_sale_id")),
        sa.PrimaryKeyConstraint("receipt_id", name=op.f("pk_revealed_bid")),
    )
    op.create_index(op.f("ix_revealed_bid_sale_id"), "revealed_bid", ["sale_id"], unique=False)
    op.create_table(
        "rejected_step",
        sa.Column("bid_id", sa.String(), nullable=False),
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("registration_id", sa.String(), nullable=False),
        sa.Column("uscc", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["registration_id"], ["registration.id"], name=op.f("fk_rejected_step_registration_id")
        ),
        sa.ForeignKeyConstraint(["sale_id"], ["sale.id"], name=op.f("fk_rejected_step_sale_id")),
        sa.PrimaryKeyConstraint("bid_id", name=op.f("pk_rejected_step")),
    )
    op.create_index(op.f("ix_rejected_step_sale_id"), "rejected_step", ["sale_id"], unique=False)
    op.create_table(
        "session_share",
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("officer_id", sa.String(), nullable=False),
        sa.Column("wrapped_share", sa.LargeBinary(), nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["officer_id"], ["key_officer.id"], name=op.f("fk_session_share_officer_id")
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["opening_session.id"], name=op.f("fk_session_share_session_id")
        ),
        sa.PrimaryKeyConstraint("session_id", "officer_id", name=op.f("pk_session_share")),
    )


def set_rights() -> None:
    for table in ("sale", "key_officer"):
        grant(table, scoped="SELECT", market="SELECT, INSERT, UPDATE", worker="SELECT, UPDATE")
    for table in ("sale_officer", "bid_clock", "opening"):
        grant(table, scoped="SELECT", market="SELECT, INSERT, UPDATE", worker="SELECT, UPDATE")
    for table in ("opening_session", "session_share", "result"):
        rights = "SELECT, INSERT, UPDATE"
        grant(table, scoped="SELECT", market=rights, worker=rights)
    for table in ("revealed_bid", "award", "rejected_step"):
        append_only(table)
    for table in (
        "registration",
        "deposit",
        "sealed_bid",
        "revealed_bid",
        "award",
        "rejected_step",
        "settlement",
        "payment",
    ):
        rights = "SELECT, INSERT, UPDATE"
        grant(table, scoped="SELECT", market=rights, worker=rights)
        row_security(table, uscc="uscc")


def downgrade() -> None:
    op.drop_table("session_share")
    op.drop_index(op.f("ix_rejected_step_sale_id"), table_name="rejected_step")
    op.drop_table("rejected_step")
    op.drop_index(op.f("ix_revealed_bid_sale_id"), table_name="revealed_bid")
    op.drop_table("revealed_bid")
    op.drop_index(op.f("ix_settlement_sale_id"), table_name="settlement")
    op.drop_table("settlement")
    op.drop_index(op.f("ix_sealed_bid_sale_id"), table_name="sealed_bid")
    op.drop_table("sealed_bid")
    op.drop_index(op.f("ix_payment_registration_id"), table_name="payment")
    op.drop_table("payment")
    op.drop_index("uq_opening_session_live", table_name="opening_session")
    op.drop_index(op.f("ix_opening_session_opening_id"), table_name="opening_session")
    op.drop_table("opening_session")
    op.drop_table("deposit")
    op.drop_index(op.f("ix_award_registration_id"), table_name="award")
    op.drop_table("award")
    op.drop_table("sale_officer")
    op.drop_table("result")
    op.drop_index(op.f("ix_registration_uscc"), table_name="registration")
    op.drop_table("registration")
    op.drop_table("opening")
    op.drop_table("bid_clock")
    op.drop_index(op.f("ix_sale_state"), table_name="sale")
    op.drop_table("sale")
    op.drop_table("key_officer")
