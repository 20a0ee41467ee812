"""The house: log, positions, ledger, commands, and who may touch them."""

import sqlalchemy as sa
from alembic import op

from marketkit.migrations import append_only, grant, row_security

revision = "marketkit_0001"
down_revision = None
branch_labels = ("marketkit",)
depends_on = None


def upgrade() -> None:
    create_tables()
    set_rights()


def create_tables() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("owner_kind", sa.String(), nullable=False),
        sa.Column("region_code", sa.String(), nullable=False),
        sa.Column("uscc", sa.String(), nullable=True),
        sa.Column("project_code", sa.String(), nullable=True),
        sa.Column("is_issuance", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
    )
    op.create_table(
        "checkpoint",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("kid", sa.String(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkpoint")),
    )
    op.create_table(
        "hold",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("lot", sa.String(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.Column("creditor", sa.String(), nullable=True),
        sa.CheckConstraint(
            "remaining >= 0 AND remaining <= quantity", name=op.f("ck_hold_remaining")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hold")),
    )
    op.create_index(op.f("ix_hold_key"), "hold", ["key"], unique=False)
    op.create_table(
        "house",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("clock_offset", sa.Interval(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_house_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_house")),
    )
    op.create_table(
        "log",
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("event", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("octet_length(event) <= 524288", name=op.f("ck_log_event_size")),
        sa.PrimaryKeyConstraint("partition", "sequence", name=op.f("pk_log")),
    )
    op.create_table(
        "lot",
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
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lot")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("is_step", sa.Boolean(), nullable=False),
        sa.Column("event", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("octet_length(event) <= 524288", name=op.f("ck_outbox_event_size")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_table(
        "parked",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("event", sa.LargeBinary(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("waits_for", sa.String(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_parked")),
        sa.UniqueConstraint(
            "source", "partition", "sequence", name=op.f("uq_parked_source_partition_sequence")
        ),
    )
    op.create_index(op.f("ix_parked_key"), "parked", ["key"], unique=False)
    op.create_table(
        "partition_head",
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("partition", name=op.f("pk_partition_head")),
    )
    op.create_table(
        "position",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("is_forked", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("source", "partition", name=op.f("pk_position")),
    )
    op.create_table(
        "relay_position",
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partition", name=op.f("pk_relay_position")),
    )
    op.create_table(
        "request",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_by", sa.String(), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request")),
    )
    op.create_index(op.f("ix_request_subject"), "request", ["subject"], unique=False)
    op.create_table(
        "source_checkpoint",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("kid", sa.String(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("source", "id", name=op.f("pk_source_checkpoint")),
    )
    op.create_table(
        "stored_answer",
        sa.Column("principal", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("principal", "key", name=op.f("pk_stored_answer")),
    )
    op.create_table(
        "transfer",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("document_no", sa.String(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("booked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("policy_version", sa.String(), nullable=False),
        sa.Column("reverses", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfer")),
    )
    op.create_index(op.f("ix_transfer_key"), "transfer", ["key"], unique=False)
    op.create_table(
        "balance",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("lot", sa.String(), nullable=False),
        sa.Column("posted", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("is_issuance", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "is_issuance OR (posted >= 0 AND held >= 0 AND posted - held >= 0)",
            name=op.f("ck_balance_available"),
        ),
        sa.ForeignKeyConstraint(["account"], ["account.id"], name=op.f("fk_balance_account")),
        sa.ForeignKeyConstraint(["lot"], ["lot.id"], name=op.f("fk_balance_lot")),
        sa.PrimaryKeyConstraint("account", "lot", name=op.f("pk_balance")),
    )
    op.create_table(
        "movement",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("transfer_id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("lot", sa.String(), nullable=False),
        sa.Column("posted", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["transfer_id"], ["transfer.id"], name=op.f("fk_movement_transfer_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_movement")),
    )
    op.create_index(op.f("ix_movement_account"), "movement", ["account"], unique=False)
    op.create_index(op.f("ix_movement_transfer_id"), "movement", ["transfer_id"], unique=False)


def set_rights() -> None:
    op.execute("GRANT USAGE ON SCHEMA public TO yaosu_scoped, yaosu_market, yaosu_worker")
    op.execute(
        "CREATE FUNCTION yaosu_refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    # No setting, no row: both settings default to the empty text, which is nobody's.
    op.execute(
        "CREATE FUNCTION yaosu_sees(region text, enterprise text) RETURNS boolean LANGUAGE sql "
        "STABLE AS $$ SELECT CASE WHEN coalesce(current_setting('app.uscc', true), '') <> '' "
        "THEN enterprise = current_setting('app.uscc', true) "
        "ELSE coalesce(current_setting('app.region', true), '') <> '' AND "
        "(region = current_setting('app.region', true) "
        "OR current_setting('app.region', true) = '*') END $$"
    )
    op.execute("INSERT INTO house VALUES (1, 1, interval '0')")
    op.execute(
        "INSERT INTO partition_head SELECT n, 0, decode(repeat('00', 32), 'hex') "
        "FROM generate_series(0, 5) n"
    )
    op.execute("INSERT INTO relay_position SELECT n, 0 FROM generate_series(0, 5) n")
    for table in ("log", "checkpoint", "lot", "transfer", "movement", "stored_answer"):
        append_only(table)
    _grant_mechanism()
    _grant_ledger()


def _grant_mechanism() -> None:
    everyone = dict.fromkeys(("scoped", "market", "worker"), "SELECT")
    grant("house", **(everyone | {"worker": "SELECT, UPDATE"}))
    grant("alembic_version", worker="SELECT")
    writers = dict.fromkeys(("scoped", "market"), "SELECT, INSERT")
    grant("stored_answer", **writers, worker="SELECT, INSERT")
    grant("outbox", scoped="INSERT", market="INSERT", worker="SELECT, INSERT, UPDATE, DELETE")
    for role in ("market", "worker"):
        grant("request", **{role: "SELECT, INSERT, UPDATE"})
    grant("log", worker="SELECT, INSERT")
    grant("checkpoint", worker="SELECT, INSERT")
    for table in ("partition_head", "relay_position", "position", "parked", "source_checkpoint"):
        grant(table, worker="SELECT, INSERT, UPDATE, DELETE")


def _grant_ledger() -> None:
    grant("account", scoped="SELECT", market="SELECT, INSERT", worker="SELECT")
    grant("lot", scoped="SELECT", market="SELECT, INSERT", worker="SELECT")
    for table in ("transfer", "movement"):
        grant(table, market="SELECT, INSERT", worker="SELECT, INSERT")
    # The clock gives back what a failed sale held: a booking makes its balances first.
    everything = "SELECT, INSERT, UPDATE"
    grant("balance", scoped="SELECT", market=everything, worker=everything)
    grant("hold", scoped="SELECT", market=everything, worker="SELECT, UPDATE")
    row_security("account", region="region_code", uscc="uscc")
    own = "(SELECT a.{0} FROM account a WHERE a.id = account)"
    for table in ("balance", "hold"):
        row_security(table, region=own.format("region_code"), uscc=own.format("uscc"))


def downgrade() -> None:
    op.drop_index(op.f("ix_movement_transfer_id"), table_name="movement")
    op.drop_index(op.f("ix_movement_account"), table_name="movement")
    op.drop_table("movement")
    op.drop_table("balance")
    op.drop_index(op.f("ix_transfer_key"), table_name="transfer")
    op.drop_table("transfer")
    op.drop_table("stored_answer")
    op.drop_table("source_checkpoint")
    op.drop_index(op.f("ix_request_subject"), table_name="request")
    op.drop_table("request")
    op.drop_table("relay_position")
    op.drop_table("position")
    op.drop_table("partition_head")
    op.drop_index(op.f("ix_parked_key"), table_name="parked")
    op.drop_table("parked")
    op.drop_table("outbox")
    op.drop_table("lot")
    op.drop_table("log")
    op.drop_table("house")
    op.drop_index(op.f("ix_hold_key"), table_name="hold")
    op.drop_table("hold")
    op.drop_table("checkpoint")
    op.drop_table("account")
    op.execute("DROP FUNCTION yaosu_sees")
    op.execute("DROP FUNCTION yaosu_refuse_change")
