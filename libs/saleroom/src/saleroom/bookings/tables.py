"""Rows of the escrow account's bookings, and of what is to be returned out of it."""

from datetime import datetime

from sqlalchemy import CheckConstraint
from sqlmodel import Field

from marketkit.db import Minor, UtcInstant
from saleroom.schema import Table


class BankBooking(Table, table=True):
    """One booking of the bank on the escrow account; its serial is unique for ever.

    `use` is what the money is now: DEPOSIT, PAYMENT, UNALLOCATED, RETURN (stray, to go back) of
    money in; REFUND or UNALLOCATED of money out. `verdict` is what was answered when it came, for
    ever. `other_name` and `other_account` are who paid, or who was paid; unknown if typed by hand.
    """

    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="positive"),
        CheckConstraint("direction IN ('IN', 'OUT')", name="direction"),
    )
    id: str = Field(primary_key=True)
    bank_serial: str = Field(unique=True)
    direction: str
    amount_fen: int = Field(sa_type=Minor)
    booked_at: datetime = Field(sa_type=UtcInstant)
    other_name: str | None = None
    other_account: str | None = None
    sub_account: str = ""
    memo: str = ""
    use: str = Field(index=True)
    verdict: str
    sale_id: str | None = Field(default=None, foreign_key="sale.id", index=True)
    registration_id: str | None = Field(default=None, index=True)
    used_at: datetime | None = Field(default=None, sa_type=UtcInstant)
    file_sm3: str | None = None
    recorded_by: str
    recorded_at: datetime = Field(sa_type=UtcInstant)


class Refund(Table, table=True):
    """Money to go back to where it came from; `returned_at` tells that the bank has paid it.

    Its id is the number the bank's transfer carries. `cause` is DEPOSIT, EXCESS (of a deposit over
    the price) or STRAY (money that belongs nowhere).
    """

    __table_args__ = (
        CheckConstraint("amount_fen > 0 AND interest_fen >= 0", name="positive"),
        CheckConstraint("(returned_at IS NULL) = (bank_serial_out IS NULL)", name="returned"),
    )
    id: str = Field(primary_key=True)
    cause: str
    booking_id: str = Field(foreign_key="bank_booking.id", unique=True)
    sale_id: str | None = Field(default=None, foreign_key="sale.id", index=True)
    registration_id: str | None = Field(default=None, index=True)
    amount_fen: int = Field(sa_type=Minor)
    interest_fen: int = Field(default=0, sa_type=Minor)
    ordered_at: datetime = Field(sa_type=UtcInstant)
    due_at: datetime = Field(sa_type=UtcInstant)
    returned_at: datetime | None = Field(default=None, sa_type=UtcInstant)
    bank_serial_out: str | None = Field(default=None, unique=True)


class TreasuryReceipt(Table, table=True):
    """The treasury's receipt of money from escrow: of a PRICE or a FORFEIT; unique for ever."""

    receipt_no: str = Field(primary_key=True)
    registration_id: str = Field(foreign_key="registration.id", index=True)
    sale_id: str = Field(foreign_key="sale.id", index=True)
    cause: str
    amount_fen: int = Field(sa_type=Minor)
    received_at: datetime = Field(sa_type=UtcInstant)
