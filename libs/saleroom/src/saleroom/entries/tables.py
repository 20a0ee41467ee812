"""Rows of those who registered for a sale, and their deposits."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlmodel import Field

from marketkit.db import Minor, UtcInstant
from saleroom.schema import Table


class Registration(Table, table=True):
    """One enterprise with one project in one sale, for a most quantity."""

    __table_args__ = (
        UniqueConstraint("sale_id", "uscc"),
        CheckConstraint("quantity_max_minor > 0", name="quantity"),
    )
    id: str = Field(primary_key=True)
    sale_id: str = Field(foreign_key="sale.id")
    uscc: str = Field(index=True)
    name: str
    project_code: str
    sub_account: str = Field(unique=True)
    quantity_max_minor: int = Field(sa_type=Minor)
    deposit_due_fen: int = Field(sa_type=Minor)
    state: str
    refusal_reason: str | None = None
    registered_at: datetime = Field(sa_type=UtcInstant)
    # The number of the last correction of the notice that this participant has accepted.
    accepted_correction: int = 0


class Deposit(Table, table=True):
    """A participant's deposit in escrow: PENDING until the bank's booking is recorded.

    REFUNDED is to go back by `refund_due_at`; `returned_at` tells that the bank has paid it.
    """

    registration_id: str = Field(primary_key=True, foreign_key="registration.id")
    uscc: str
    state: str
    amount_fen: int = Field(default=0, sa_type=Minor)
    booked_at: datetime | None = Field(default=None, sa_type=UtcInstant)
    # Deferred: a deposit and its booking may be written in either order.
    bank_serial: str | None = Field(
        default=None,
        unique=True,
        sa_column_args=[
            ForeignKey("bank_booking.bank_serial", deferrable=True, initially="DEFERRED")
        ],
    )
    refund_due_at: datetime | None = Field(default=None, sa_type=UtcInstant)
    returned_at: datetime | None = Field(default=None, sa_type=UtcInstant)
