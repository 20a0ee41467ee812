"""Rows of the register of units that must go."""

from datetime import date, datetime

from sqlalchemy import CheckConstraint, Date, SmallInteger
from sqlmodel import Field

from energy_trade.schema import Table
from energy_trade.units.rules import Unit
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
