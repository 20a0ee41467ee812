"""The pool, its batches, the register of units, shutdowns and their splits."""

import sqlalchemy as sa
from alembic import op

from marketkit.migrations import append_only, grant, row_security

revision = "energy_0002"
down_revision = "energy_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_pool()
    create_shutdowns()
    set_rights()


def create_pool() -> None:
    op.create_table(
        "pool",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("issued_kgce", sa.BigInteger(), nullable=False),
        sa.Column("assigned_kgce", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_pool_single")),
        sa.CheckConstraint(
            "assigned_kgce >= 0 AND assigned_kgce <= issued_kgce", name=op.f("ck_pool_bottom")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pool")),
    )
    op.create_table(
        "increment_batch",
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("batch_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("batch", name=op.f("pk_increment_batch")),
    )
    op.create_table(
        "batch_version",
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("batch_version", sa.Integer(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_by", sa.String(), nullable=False),
        sa.Column("policy_version", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["batch"], ["increment_batch.batch"], name=op.f("fk_batch_version_batch")
        ),
        sa.PrimaryKeyConstraint("batch", "batch_version", name=op.f("pk_batch_version")),
    )
    op.create_table(
        "batch_line",
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("batch_version", sa.Integer(), nullable=False),
        sa.Column("uscc", sa.String(), nullable=False),
        sa.Column("project_code", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("region_code", sa.String(), nullable=False),
        sa.Column("quantity_kgce", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["batch"], ["increment_batch.batch"], name=op.f("fk_batch_line_batch")
        ),
        sa.PrimaryKeyConstraint(
            "batch", "batch_version", "uscc", "project_code", name=op.f("pk_batch_line")
        ),
    )


def create_shutdowns() -> None:
    op.create_table(
        "unit_register",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("registered_by", sa.String(), nullable=False),
        sa.Column("policy_version", sa.String(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_unit_register_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unit_register")),
    )
    op.create_table(
        "extraction_unit",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("region_code", sa.String(), nullable=False),
        sa.Column("capacity_kw", sa.BigInteger(), nullable=False),
        sa.Column("retire_by", sa.Date(), nullable=False),
        sa.Column("replacement_measure", sa.String(), nullable=False),
        sa.Column("retired_on", sa.Date(), nullable=True),
        sa.Column("shutdown_id", sa.String(), nullable=True),
        sa.CheckConstraint("capacity_kw > 0", name=op.f("ck_extraction_unit_capacity")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_extraction_unit")),
    )
    op.create_table(
        "shutdown",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("split_case", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("industry", sa.String(), nullable=False),
        sa.Column("region_code", sa.String(), nullable=False),
        sa.Column("document_no", sa.String(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("energy_kgce", sa.BigInteger(), nullable=False),
        sa.Column("coal_kg", sa.BigInteger(), nullable=False),
        sa.Column("unit_id", sa.String(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_by", sa.String(), nullable=False),
        sa.Column("policy_version", sa.String(), nullable=False),
        sa.CheckConstraint(
            "energy_kgce >= 0 AND coal_kg >= 0 AND (energy_kgce > 0 OR coal_kg > 0)",
            name=op.f("ck_shutdown_freed"),
        ),
        sa.ForeignKeyConstraint(
            ["unit_id"], ["extraction_unit.id"], name=op.f("fk_shutdown_unit_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shutdown")),
        sa.UniqueConstraint(
            "document_no",
            "region_code",
            "name",
            name=op.f("uq_shutdown_document_no_region_code_name"),
        ),
    )
    op.create_index(op.f("ix_shutdown_industry"), "shutdown", ["industry"], unique=False)
    op.create_table(
        "split_share",
        sa.Column("shutdown_id", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("region_code", sa.String(), nullable=False),
        sa.Column("share_bp", sa.Integer(), nullable=False),
        sa.Column("quantity_minor", sa.BigInteger(), nullable=False),
        sa.Column("is_compensated", sa.Boolean(), nullable=False),
        sa.Column("lot", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["shutdown_id"], ["shutdown.id"], name=op.f("fk_split_share_shutdown_id")
        ),
        sa.PrimaryKeyConstraint("shutdown_id", "asset", "tier", name=op.f("pk_split_share")),
    )


def set_rights() -> None:
    # The row is there from the first day, so that it can be locked.
    op.execute("INSERT INTO pool VALUES (1, 0, 0)")
    for table in ("pool", "increment_batch"):
        grant(table, scoped="SELECT", market="SELECT, INSERT, UPDATE", worker="SELECT")
    for table in ("batch_version", "unit_register"):
        grant(table, scoped="SELECT", market="SELECT, INSERT", worker="SELECT")
    grant("extraction_unit", scoped="SELECT", market="SELECT, INSERT, UPDATE", worker="SELECT")
    for table in ("batch_line", "shutdown", "split_share"):
        grant(table, scoped="SELECT", market="SELECT, INSERT", worker="SELECT")
    for table in ("batch_version", "batch_line", "unit_register", "shutdown", "split_share"):
        append_only(table)
    row_security("batch_line", region="region_code", uscc="uscc")
    for table in ("extraction_unit", "shutdown", "split_share"):
        row_security(table, region="region_code")


def downgrade() -> None:
    for table in (
        "split_share",
        "shutdown",
        "extraction_unit",
        "unit_register",
        "batch_line",
        "batch_version",
        "increment_batch",
        "pool",
    ):
        op.drop_table(table)
