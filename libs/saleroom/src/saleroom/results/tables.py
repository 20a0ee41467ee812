"""Rows of what the clearing of a sale answered: its sums, awards and rejected steps."""

from datetime import datetime

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from marketkit.db import Minor, UtcInstant
from saleroom.schema import Table


class Result(Table, table=True):
    """What the clearing of a sale answered."""

    sale_id: str = Field(primary_key=True, foreign_key="sale.id")
    outcome: str
    clearing_price_fen: int | None = Field(default=None, sa_type=Minor)
    sold_minor: int = Field(sa_type=Minor)
    unsold_minor: int = Field(sa_type=Minor)
    proceeds_fen: int = Field(sa_type=Minor)
    cleared_at: datetime = Field(sa_type=UtcInstant)


class Award(Table, table=True):
    """One step of one bid that gets something."""

    __table_args__ = (UniqueConstraint("sale_id", "rank"),)
    bid_id: str = Field(primary_key=True)
    sale_id: str = Field(foreign_key="sale.id")
    registration_id: str = Field(foreign_key="registration.id", index=True)
    uscc: str
    rank: int
    quantity_minor: int = Field(sa_type=Minor)
    price_fen: int = Field(sa_type=Minor)
    amount_fen: int = Field(sa_type=Minor)


class RejectedStep(Table, table=True):
    """One step of one bid that took no part in the clearing, and why."""

    bid_id: str = Field(primary_key=True)
    sale_id: str = Field(foreign_key="sale.id", index=True)
    registration_id: str = Field(foreign_key="registration.id")
    uscc: str
    code: str
