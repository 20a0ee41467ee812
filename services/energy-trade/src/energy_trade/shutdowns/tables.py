"""Rows of shutdowns: the register of units, what was shut, and each tier's share of it."""

from datetime import date, datetime

from sqlalchemy import CheckConstraint, Date, SmallInteger, UniqueConstraint
from sqlmodel import Field

from energy_trade.schema import Table
from energy_trade.shutdowns.rules import Unit
from marketkit.db import Minor, UtcInstant


class UnitRegister(Table, table=True):
    """That the register was entered, once and whole."""

    __table_args__ = (CheckConstraint("id = 1", name="single"),)
    id: int = Field(primary_key=True, sa_type=SmallInteger)
    registered_at: datetime = Field(sa_type=UtcInstant)
    registered_by: str
    policy_version: str


class ExtractionUnit(Table, table=True):
    """A coal unit that must go; locked by the shutdown that retires it."""

    __table_args__ = (CheckConstraint("capacity_kw > 0", name="capacity"),)
    id: str = Field(primary_key=True)
    name: str
    region_code: str
    capacity_kw: int = Field(sa_type=Minor)
    retire_by: date = Field(sa_type=Date)
    replacement_measure: str
    retired_on: date | None = Field(default=None, sa_type=Date)
    shutdown_id: str | None = None

    @property
    def plain(self) -> Unit:
        return Unit(self.capacity_kw, self.retire_by, self.retired_on)


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
