"""Stored answers: what each principal's key was answered, found and claimed by the list."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import LargeBinary
from sqlmodel import Field

from marketkit.db import KitTable, Session, UtcInstant, house, sql
from marketkit.rows import as_json

# Who asks, and under which key.
Place = tuple[str, str]

_COLUMNS = ("principal", "key", "fingerprint", "status", "location", "body", "answered_at")
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


async def stored_or_claimed(
    session: Session, places: Collection[Place]
) -> tuple[dict[Place, StoredAnswer], set[Place]]:
    """What was answered at these places; and those of the rest that are in flight nowhere else.

    The latter are ours until the commit. A twin may have committed between look and claim: look
    again.
    """
    found = await sql(
        session,
        "SELECT principal, key, fingerprint, status, location, body, answered_at, "
        "CASE WHEN answered_at IS NULL THEN pg_try_advisory_xact_lock("
        "hashtextextended(principal || chr(31) || key, 7370500)) END AS is_ours "
        f"FROM {_PLACES} LEFT JOIN stored_answer USING (principal, key)",
        principals=[principal for principal, _ in places],
        keys=[key for _, key in places],
    )
    rows = found.all()
    stored = {
        (row.principal, row.key): StoredAnswer(**{name: getattr(row, name) for name in _COLUMNS})
        for row in rows
        if row.answered_at is not None
    }
    return stored, {(row.principal, row.key) for row in rows if row.is_ours}


async def keep(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store answers, each a row without its instant: they are given now."""
    await sql(
        session,
        f"INSERT INTO stored_answer ({', '.join(_COLUMNS)}) SELECT principal, key, fingerprint, "
        "status, location, body, coalesce(:at, clock_timestamp() + clock_offset) "
        "FROM json_populate_recordset(NULL::stored_answer, CAST(:rows AS json)), house",
        rows=as_json(rows),
        at=house(session).fixed_instant,
    )
