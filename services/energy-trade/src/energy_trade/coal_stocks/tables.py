"""Rows of coal stocks, each revision for ever."""

from datetime import date, datetime

from sqlalchemy import CheckConstraint, Date
from sqlmodel import Field

from energy_trade.coal_stocks.rules import Stock
from energy_trade.schema import Table
from marketkit.db import Minor, UtcInstant


class CoalStock(Table, table=True):
    """What a county said of one of its plants for one day; insert-only by trigger."""

    __table_args__ = (
        CheckConstraint("stock_kg >= 0 AND daily_burn_kg > 0", name="stock"),
        CheckConstraint("revision > 0", name="revision"),
    )
    region_code: str = Field(primary_key=True)
    plant_id: str = Field(primary_key=True)
    effective_on: date = Field(primary_key=True, sa_type=Date)
    revision: int = Field(primary_key=True)
    name: str
    stock_kg: int = Field(sa_type=Minor)
    daily_burn_kg: int = Field(sa_type=Minor)
    level: str
    reported_at: datetime = Field(sa_type=UtcInstant)
    reported_by: str
    policy_version: str

    @property
    def plain(self) -> Stock:
        return Stock(self.name, self.stock_kg, self.daily_burn_kg)
