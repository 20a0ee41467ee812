"""Money as it comes: sub-accounts, one table of bank bookings, bank files, refunds, receipts."""

import sqlalchemy as sa
from alembic import op

from marketkit.migrations import append_only, grant, row_security

revision = "saleroom_0004"
down_revision = "saleroom_0003"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
RIGHTS = "SELECT, INSERT, UPDATE"


def upgrade() -> None:
    add_columns()
    create_bookings()
    create_refunds()
    create_receipts()
    create_files()
    move_money()
    set_rights()


def add_columns() -> None:
    zero = sa.text("0")
    op.add_column(
        "sale",
        sa.Column("deposit_interest_bp", sa.Integer(), nullable=False, server_default=zero),
    )
    op.add_column("registration", sa.Column("sub_account", sa.String(), nullable=True))
    op.execute(
        "UPDATE registration SET sub_account = digits || lpad((98 - digits * 100 % 97)::text, 2, '0') "
        "FROM (SELECT id AS of, 100000000000 + (('x' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 15))"
        "::bit(60)::bigint % 900000000000) AS digits FROM registration) drawn WHERE drawn.of = id"
    )
    op.alter_column("registration", "sub_account", nullable=False)
    op.create_unique_constraint(
        op.f("uq_registration_sub_account"), "registration", ["sub_account"]
    )
    op.add_column("deposit", sa.Column("returned_at", INSTANT, nullable=True))


def create_bookings() -> None:
    op.create_table(
        "bank_booking",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("bank_serial", sa.String(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("booked_at", INSTANT, nullable=False),
        sa.Column("other_name", sa.String(), nullable=True),
        sa.Column("other_account", sa.String(), nullable=True),
        sa.Column("sub_account", sa.String(), nullable=False),
        sa.Column("memo", sa.String(), nullable=False),
        sa.Column("use", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("sale_id", sa.String(), nullable=True),
        sa.Column("registration_id", sa.String(), nullable=True),
        sa.Column("used_at", INSTANT, nullable=True),
        sa.Column("file_sm3", sa.String(), nullable=True),
        sa.Column("recorded_by", sa.String(), nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_bank_booking_positive")),
        sa.CheckConstraint("direction IN ('IN', 'OUT')", name=op.f("ck_bank_booking_direction")),
        sa.ForeignKeyConstraint(["sale_id"], ["sale.id"], name=op.f("fk_bank_booking_sale_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_booking")),
        sa.UniqueConstraint("bank_serial", name=op.f("uq_bank_booking_bank_serial")),
    )
    for column in ("use", "sale_id", "registration_id"):
        op.create_index(op.f(f"ix_bank_booking_{column}"), "bank_booking", [column])


def create_refunds() -> None:
    op.create_table(
        "refund",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("booking_id", sa.String(), nullable=False),
        sa.Column("sale_id", sa.String(), nullable=True),
        sa.Column("registration_id", sa.String(), nullable=True),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("interest_fen", sa.BigInteger(), nullable=False),
        sa.Column("ordered_at", INSTANT, nullable=False),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("returned_at", INSTANT, nullable=True),
        sa.Column("bank_serial_out", sa.String(), nullable=True),
        sa.CheckConstraint("amount_fen > 0 AND interest_fen >= 0", name=op.f("ck_refund_positive")),
        sa.CheckConstraint(
            "(returned_at IS NULL) = (bank_serial_out IS NULL)", name=op.f("ck_refund_returned")
        ),
        sa.ForeignKeyConstraint(
            ["booking_id"], ["bank_booking.id"], name=op.f("fk_refund_booking_id")
        ),
        sa.ForeignKeyConstraint(["sale_id"], ["sale.id"], name=op.f("fk_refund_sale_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund")),
        sa.UniqueConstraint("booking_id", name=op.f("uq_refund_booking_id")),
        sa.UniqueConstraint("bank_serial_out", name=op.f("uq_refund_bank_serial_out")),
    )
    for column in ("sale_id", "registration_id"):
        op.create_index(op.f(f"ix_refund_{column}"), "refund", [column])


def create_receipts() -> None:
    op.create_table(
        "treasury_receipt",
        sa.Column("receipt_no", sa.String(), nullable=False),
        sa.Column("registration_id", sa.String(), nullable=False),
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["registration.id"],
            name=op.f("fk_treasury_receipt_registration_id"),
        ),
        sa.ForeignKeyConstraint(["sale_id"], ["sale.id"], name=op.f("fk_treasury_receipt_sale_id")),
        sa.PrimaryKeyConstraint("receipt_no", name=op.f("pk_treasury_receipt")),
    )
    for column in ("registration_id", "sale_id"):
        op.create_index(op.f(f"ix_treasury_receipt_{column}"), "treasury_receipt", [column])


def create_files() -> None:
    op.create_table(
        "bank_file",
        sa.Column("sm3", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("line_count", sa.Integer(), nullable=False),
        sa.Column("kept_by", sa.String(), nullable=False),
        sa.Column("kept_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("sm3", name=op.f("pk_bank_file")),
    )
    op.create_table(
        "bank_file_line",
        sa.Column("sm3", sa.String(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("bank_serial", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("field", sa.String(), nullable=False),
        sa.Column("cell", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("booking_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["sm3"], ["bank_file.sm3"], name=op.f("fk_bank_file_line_sm3")),
        sa.PrimaryKeyConstraint("sm3", "row", name=op.f("pk_bank_file_line")),
    )


def move_money() -> None:
    """What was recorded by hand becomes bookings; a serial recorded twice stops the migration."""
    for table, use in (("deposit", "DEPOSIT"), ("payment", "PAYMENT")):
        op.execute(
            "INSERT INTO bank_booking (id, bank_serial, direction, amount_fen, booked_at, sub_account, memo, "
            "use, verdict, sale_id, registration_id, used_at, recorded_by, recorded_at) "
            f"SELECT '{use}-' || r.id, m.bank_serial, 'IN', m.amount_fen, m.booked_at, '', '', '{use}', "
            f"'{use}_BOOKED', r.sale_id, r.id, m.booked_at, '', m.booked_at FROM {table} m "
            "JOIN registration r ON r.id = m.registration_id WHERE m.bank_serial IS NOT NULL"
        )
    op.execute(
        "INSERT INTO refund (id, cause, booking_id, sale_id, registration_id, amount_fen, interest_fen, "
        "ordered_at, due_at) SELECT 'REFUND-' || b.registration_id, CASE d.state WHEN 'REFUNDED' THEN 'DEPOSIT' "
        "ELSE 'EXCESS' END, b.id, b.sale_id, b.registration_id, CASE d.state WHEN 'REFUNDED' THEN d.amount_fen "
        "ELSE d.amount_fen - s.amount_fen END, 0, d.refund_due_at, d.refund_due_at FROM deposit d "
        "JOIN bank_booking b ON b.bank_serial = d.bank_serial "
        "LEFT JOIN settlement s ON s.registration_id = d.registration_id WHERE d.refund_due_at IS NOT NULL"
    )
    op.execute(
        "INSERT INTO treasury_receipt SELECT treasury_receipt_no, registration_id, sale_id, 'PRICE', amount_fen, "
        "ended_at FROM settlement WHERE treasury_receipt_no IS NOT NULL"
    )
    op.create_foreign_key(
        op.f("fk_deposit_bank_serial"),
        "deposit",
        "bank_booking",
        ["bank_serial"],
        ["bank_serial"],
        deferrable=True,
        initially="DEFERRED",
    )
    op.drop_index(op.f("ix_payment_registration_id"), table_name="payment")
    op.drop_table("payment")


def set_rights() -> None:
    for table in ("bank_booking", "refund"):
        grant(table, scoped="SELECT", market=RIGHTS, worker=RIGHTS)
    for table in ("treasury_receipt", "bank_file", "bank_file_line"):
        grant(table, scoped="SELECT", market="SELECT, INSERT", worker="SELECT, INSERT")
        append_only(table)
    # Citywide officers only: a row without region or enterprise is seen under `*` alone.
    for table in ("bank_booking", "refund", "treasury_receipt", "bank_file", "bank_file_line"):
        row_security(table)


def downgrade() -> None:
    op.create_table(
        "payment",
        sa.Column("bank_serial", sa.String(), nullable=False),
        sa.Column("registration_id", sa.String(), nullable=False),
        sa.Column("uscc", sa.String(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("booked_at", INSTANT, nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["registration_id"], ["registration.id"], name=op.f("fk_payment_registration_id")
        ),
        sa.PrimaryKeyConstraint("bank_serial", name=op.f("pk_payment")),
    )
    op.create_index(op.f("ix_payment_registration_id"), "payment", ["registration_id"])
    op.drop_constraint(op.f("fk_deposit_bank_serial"), "deposit", type_="foreignkey")
    for table in ("bank_file_line", "bank_file", "treasury_receipt", "refund", "bank_booking"):
        op.drop_table(table)
    op.drop_column("deposit", "returned_at")
    op.drop_constraint(op.f("uq_registration_sub_account"), "registration", type_="unique")
    op.drop_column("registration", "sub_account")
    op.drop_column("sale", "deposit_interest_bp")
