"""Rows of the board: folds of events. `as_of` is the time of the last event that shows."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, SmallInteger, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from gateway.schema import Table
from marketkit.db import Minor, UtcInstant


class BoardSale(Table, table=True):
    """A sale from its announcement on. Terms, timetable and key stand as the event has them."""

    id: str = Field(primary_key=True)
    source: str
    market: str
    title: str
    body: str = Field(sa_type=Text)
    seller: str
    state: str = Field(index=True)
    state_before: str | None = None
    asset: str
    terms: dict[str, Any] = Field(sa_type=JSONB)
    timetable: dict[str, Any] = Field(sa_type=JSONB)
    key: dict[str, Any] = Field(sa_type=JSONB)
    policy_version: str
    announced_at: datetime = Field(sa_type=UtcInstant, index=True)
    # When the last of the key officers answered the drill before the announcement.
    drilled_at: datetime | None = Field(default=None, sa_type=UtcInstant)
    follows_sale_id: str | None = Field(default=None, index=True)
    reason: str = Field(default="", sa_type=Text)
    draw_secret: str | None = None
    seed: str | None = None
    outcome: str | None = None
    clearing_price_fen: int | None = Field(default=None, sa_type=Minor)
    sold_minor: int | None = Field(default=None, sa_type=Minor)
    unsold_minor: int | None = Field(default=None, sa_type=Minor)
    proceeds_fen: int | None = Field(default=None, sa_type=Minor)
    as_of: datetime = Field(sa_type=UtcInstant)


class BoardStep(Table, table=True):
    """A step a sale took; `registration_id` where it is one participant's."""

    source: str = Field(primary_key=True)
    partition: int = Field(primary_key=True, sa_type=SmallInteger)
    sequence: int = Field(primary_key=True, sa_type=Minor)
    sale_id: str = Field(index=True)
    kind: str
    registration_id: str = ""
    note: str = Field(default="", sa_type=Text)
    taken_at: datetime = Field(sa_type=UtcInstant)


class BoardBid(Table, table=True):
    """A bid that stood at closing, told at the opening."""

    sale_id: str = Field(primary_key=True)
    receipt_id: str = Field(primary_key=True)
    source: str
    registration_id: str
    bidder: str
    bidder_name: str
    project_code: str
    quantity_max_minor: int = Field(sa_type=Minor)
    version: int
    submitted_at: datetime = Field(sa_type=UtcInstant)
    commitment: str
    plaintext: str | None = Field(default=None, sa_type=Text)
    void_code: str | None = None


class BoardAward(Table, table=True):
    """One step of one bid that gets something."""

    sale_id: str = Field(primary_key=True)
    bid_id: str = Field(primary_key=True)
    source: str
    registration_id: str
    bidder: str
    bidder_name: str
    project_code: str
    quantity_minor: int = Field(sa_type=Minor)
    price_fen: int = Field(sa_type=Minor)
    amount_fen: int = Field(sa_type=Minor)


class BoardRejection(Table, table=True):
    """A step that gets nothing, and why."""

    sale_id: str = Field(primary_key=True)
    bid_id: str = Field(primary_key=True)
    source: str
    code: str


class BoardSettlement(Table, table=True):
    """How one winner's awards are settled."""

    sale_id: str = Field(primary_key=True)
    registration_id: str = Field(primary_key=True)
    source: str
    bidder: str
    bidder_name: str
    project_code: str
    quantity_minor: int = Field(sa_type=Minor)
    amount_fen: int = Field(sa_type=Minor)
    state: str
    pay_by: datetime | None = Field(default=None, sa_type=UtcInstant)
    forfeited_fen: int | None = Field(default=None, sa_type=Minor)


class Announcement(Table, table=True):
    """What the trading centre makes public; `id` is the event's."""

    __table_args__ = (Index(None, "published_at", "id"),)
    id: str = Field(primary_key=True)
    source: str
    market: str
    sale_id: str = Field(index=True)
    kind: str
    sale_title: str
    body: str = Field(sa_type=Text)
    published_at: datetime = Field(sa_type=UtcInstant)
