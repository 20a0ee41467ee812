"""Rows of sealed bids: ciphertext and commitment, never a price."""

from datetime import datetime

from sqlalchemy import LargeBinary, UniqueConstraint
from sqlmodel import Field

from marketkit.db import UtcInstant
from saleroom.schema import Table


class SealedBid(Table, table=True):
    """One version of a participant's bid; its id is the receipt's. Only the last may stand.

    `kid` is the key that signed the receipt, whatever key signs later.
    """

    __table_args__ = (UniqueConstraint("registration_id", "version"),)
    id: str = Field(primary_key=True)
    sale_id: str = Field(index=True, foreign_key="sale.id")
    registration_id: str = Field(foreign_key="registration.id")
    uscc: str
    version: int
    ciphertext: bytes = Field(sa_type=LargeBinary)
    commitment: bytes = Field(sa_type=LargeBinary)
    key_sm3: bytes = Field(sa_type=LargeBinary)
    kid: str
    submitted_at: datetime = Field(sa_type=UtcInstant)
    withdrawn_at: datetime | None = Field(default=None, sa_type=UtcInstant)


class BidClock(Table, table=True):
    """The last instant given to a bid of a sale, beside the row everybody queues on."""

    sale_id: str = Field(primary_key=True, foreign_key="sale.id")
    last_at: datetime = Field(sa_type=UtcInstant)
