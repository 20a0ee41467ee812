"""Rows of what each winner owes and what became of it: one participant's awards together."""

from datetime import datetime

from sqlalchemy import CheckConstraint, UniqueConstraint
from sqlmodel import Field

from marketkit.db import Minor, UtcInstant
from saleroom.schema import Table


class Settlement(Table, table=True):
    """One winner's contract: CONFIRMED, SIGNED, PAID, DELIVERED, or DEFAULTED."""

    __table_args__ = (
        UniqueConstraint("sale_id", "registration_id"),
        CheckConstraint("amount_fen > 0 AND quantity_minor > 0", name="positive"),
    )
    registration_id: str = Field(primary_key=True, foreign_key="registration.id")
    sale_id: str = Field(foreign_key="sale.id", index=True)
    uscc: str
    state: str
    quantity_minor: int = Field(sa_type=Minor)
    amount_fen: int = Field(sa_type=Minor)
    pay_by: datetime = Field(sa_type=UtcInstant)
    signed_at: datetime | None = Field(default=None, sa_type=UtcInstant)
    paid_at: datetime | None = Field(default=None, sa_type=UtcInstant)
    ended_at: datetime | None = Field(default=None, sa_type=UtcInstant)
    treasury_receipt_no: str | None = Field(default=None, unique=True)
