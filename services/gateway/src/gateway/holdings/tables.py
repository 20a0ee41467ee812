"""Rows of who holds what, folded from movements, and of what changed on the board."""

from datetime import date, datetime

from sqlalchemy import SmallInteger
from sqlmodel import Field

from gateway.schema import Table
from marketkit.db import Minor, UtcInstant


class BoardAccount(Table, table=True):
    market: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    source: str
    owner_kind: str
    region_code: str
    uscc: str | None = None
    project_code: str | None = None


class BoardLot(Table, table=True):
    """Where quota came from and what may be done with it."""

    market: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    source: str
    asset: str
    article: str
    document_no: str
    origin_kind: str
    origin_id: str
    origin_region_code: str
    effective_on: date
    is_dual_high_barred: bool
    is_locally_usable: bool
    needs_city_consent: bool
    valid_until_on: date | None = None
    parent_lot: str | None = None


class Holding(Table, table=True):
    """The fold of `movements` and nothing else; a row that came to nothing stays, with zeros.

    Were it deleted, its `as_of` would depend on the order in which other keys' events came.
    """

    market: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    asset: str = Field(primary_key=True)
    lot: str = Field(primary_key=True)
    source: str
    posted_minor: int = Field(sa_type=Minor)
    held_minor: int = Field(sa_type=Minor)
    as_of: datetime = Field(sa_type=UtcInstant)


class Change(Table, table=True):
    """Which event changed something anyone may see; the stream follows these."""

    source: str = Field(primary_key=True)
    partition: int = Field(primary_key=True, sa_type=SmallInteger)
    sequence: int = Field(primary_key=True, sa_type=Minor)
    market: str
    kind: str
    sale_id: str
    changed_at: datetime = Field(sa_type=UtcInstant)
