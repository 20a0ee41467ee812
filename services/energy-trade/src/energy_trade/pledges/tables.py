"""Rows of pledges and of what was let go of them; the quantity itself is held in the ledger."""

from datetime import date, datetime

from sqlalchemy import CheckConstraint, Date, UniqueConstraint
from sqlmodel import Field

from energy_trade.schema import Table
from marketkit.db import Minor, UtcInstant


class Pledge(Table, table=True):
    """One contract's pledge on one account; locked by its release, which lowers what remains."""

    __table_args__ = (
        UniqueConstraint("account", "asset", "creditor_uscc", "document_no"),
        CheckConstraint("quantity_minor > 0", name="quantity"),
        CheckConstraint(
            "remaining_minor >= 0 AND remaining_minor <= quantity_minor", name="remaining"
        ),
    )
    id: str = Field(primary_key=True)
    account: str
    region_code: str
    uscc: str = Field(index=True)
    creditor_uscc: str = Field(index=True)
    asset: str
    quantity_minor: int = Field(sa_type=Minor)
    remaining_minor: int = Field(sa_type=Minor)
    document_no: str
    effective_on: date = Field(sa_type=Date)
    registered_at: datetime = Field(sa_type=UtcInstant)
    registered_by: str
    policy_version: str


class PledgeRelease(Table, table=True):
    """That the creditor let go of part of a pledge, or of all; insert-only by trigger."""

    __table_args__ = (CheckConstraint("quantity_minor > 0", name="quantity"),)
    id: str = Field(primary_key=True)
    pledge_id: str = Field(foreign_key="pledge.id", index=True)
    quantity_minor: int = Field(sa_type=Minor)
    document_no: str
    effective_on: date = Field(sa_type=Date)
    released_at: datetime = Field(sa_type=UtcInstant)
    released_by: str
