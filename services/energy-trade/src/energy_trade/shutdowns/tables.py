"""Rows of shutdowns: what was shut, and each tier's share of what it freed."""

from datetime import date, datetime

from sqlalchemy import CheckConstraint, Date, UniqueConstraint
from sqlmodel import Field

from energy_trade.schema import Table
from marketkit.db import Minor, UtcInstant


class Shutdown(Table, table=True):
    """Capacity that was shut, and what it freed; never changed."""

    __table_args__ = (
        UniqueConstraint("document_no", "region_code", "name"),
        CheckConstraint(
            "energy_kgce >= 0 AND coal_kg >= 0 AND (energy_kgce > 0 OR coal_kg > 0)", name="freed"
        ),
    )
    id: str = Field(primary_key=True)
    split_case: str
    name: str
    industry: str = Field(index=True)
    region_code: str
    document_no: str
    effective_on: date = Field(sa_type=Date)
    energy_kgce: int = Field(sa_type=Minor)
    coal_kg: int = Field(sa_type=Minor)
    unit_id: str | None = Field(default=None, foreign_key="extraction_unit.id")
    recorded_at: datetime = Field(sa_type=UtcInstant)
    recorded_by: str
    policy_version: str


class SplitShare(Table, table=True):
    """One tier's share of one asset a shutdown freed; no lot where the share is nothing."""

    shutdown_id: str = Field(primary_key=True, foreign_key="shutdown.id")
    asset: str = Field(primary_key=True)
    tier: str = Field(primary_key=True)
    region_code: str
    share_bp: int
    quantity_minor: int = Field(sa_type=Minor)
    is_compensated: bool
    lot: str | None = None
