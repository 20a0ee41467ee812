"""Stored answers: what each principal's key was answered, found and claimed by the list."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import LargeBinary
from sqlmodel import Field

from marketkit.db import KitTable, Session, UtcInstant, sql

# Who asks, and under which key.
Place = tuple[str, str]

_PLACES = "unnest(CAST(:principals AS text[]), CAST(:keys AS text[])) AS place(principal, key)"


class StoredAnswer(KitTable, table=True):
    """What a principal's key was answered; never expires, so a retry never acts twice."""

    principal: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: bytes = Field(sa_type=LargeBinary)
    status: int
    location: str = ""
    body: bytes = Field(sa_type=LargeBinary)
    answered_at: datetime = Field(sa_type=UtcInstant)


async def stored_answers(session: Session, places: Collection[Place]) -> dict[Place, StoredAnswer]:
    """What was answered at these places, where anything was."""
    found = await sql(
        session,
        f"SELECT stored_answer.* FROM stored_answer JOIN {_PLACES} USING (principal, key)",
        **_columns(places),
    )
    return {(row.principal, row.key): StoredAnswer(**row._mapping) for row in found.all()}


async def claimed(session: Session, places: Collection[Place]) -> set[Place]:
    """Those of the places that are in flight nowhere else; they are ours until the commit."""
    found = await sql(
        session,
        "SELECT principal, key, pg_try_advisory_xact_lock("
        f"hashtextextended(principal || chr(31) || key, 7370500)) AS is_ours FROM {_PLACES}",
        **_columns(places),
    )
    return {(row.principal, row.key) for row in found.all() if row.is_ours}


def _columns(places: Collection[Place]) -> dict[str, list[str]]:
    return {"principals": [one for one, _ in places], "keys": [key for _, key in places]}
