"""Rows of openings, the session keys officers wrap to, and revealed bids."""

from datetime import datetime

from sqlalchemy import Index, LargeBinary, Text, text
from sqlmodel import Field

from marketkit.db import UtcInstant
from saleroom.schema import Table


class Opening(Table, table=True):
    """Two people's word that a sale be opened; DONE, with the draw, when its bids are told."""

    id: str = Field(primary_key=True)
    sale_id: str = Field(foreign_key="sale.id", unique=True)
    state: str
    confirmed_at: datetime = Field(sa_type=UtcInstant)
    draw_secret: bytes | None = Field(default=None, sa_type=LargeBinary)
    seed: bytes | None = Field(default=None, sa_type=LargeBinary)


class OpeningSession(Table, table=True):
    """One life of the opener's key, LIVE, DONE or FAILED; the private half is in memory only."""

    __table_args__ = (
        Index(
            "uq_opening_session_live",
            "opening_id",
            unique=True,
            postgresql_where=text("state = 'LIVE'"),
        ),
    )
    id: str = Field(primary_key=True)
    opening_id: str = Field(foreign_key="opening.id", index=True)
    public_key: bytes = Field(sa_type=LargeBinary)
    state: str
    begun_at: datetime = Field(sa_type=UtcInstant)


class SessionShare(Table, table=True):
    """An officer's share, wrapped to a session's key."""

    session_id: str = Field(primary_key=True, foreign_key="opening_session.id")
    officer_id: str = Field(primary_key=True, foreign_key="key_officer.id")
    wrapped_share: bytes = Field(sa_type=LargeBinary)
    given_at: datetime = Field(sa_type=UtcInstant)


class RevealedBid(Table, table=True):
    """A bid that stood at closing, as decrypted (without its padding), or why it is void."""

    receipt_id: str = Field(primary_key=True, foreign_key="sealed_bid.id")
    sale_id: str = Field(foreign_key="sale.id", index=True)
    registration_id: str = Field(foreign_key="registration.id")
    uscc: str
    plaintext: str | None = Field(default=None, sa_type=Text)
    void_code: str | None = None
