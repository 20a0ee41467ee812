"""Rows of the bank's files as they came, and of what was answered to each line."""

from datetime import datetime

from sqlalchemy import LargeBinary
from sqlmodel import Field

from marketkit.db import UtcInstant
from saleroom.schema import Table


class BankFile(Table, table=True):
    """A file as it came, by the SM3 of its bytes; insert-only by trigger."""

    sm3: str = Field(primary_key=True)
    body: bytes = Field(sa_type=LargeBinary)
    line_count: int
    kept_by: str
    kept_at: datetime = Field(sa_type=UtcInstant)


class BankFileLine(Table, table=True):
    """The verdict on one row of a file; insert-only by trigger."""

    sm3: str = Field(primary_key=True, foreign_key="bank_file.sm3")
    row: int = Field(primary_key=True)
    bank_serial: str = ""
    code: str
    field: str = ""
    cell: str = ""
    reason: str = ""
    booking_id: str | None = None
