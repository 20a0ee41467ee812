"""Many rows by one statement of one parameter, however many there are."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import inspect

from marketkit.db import Session, Table, sql


async def insert_all(
    session: Session, table: type[Table], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Insert rows of the same columns, in their order.

    A driver's executemany sends and answers each apart, and of an array it looks at each element.
    """
    if rows:
        await sql(session, insertion(table, list(rows[0])), rows=as_json(rows))


def insertion(table: type[Table], columns: Sequence[str]) -> str:
    """The statement that inserts what its parameter `rows` says, by `as_json`."""
    name, said = inspect(table).local_table, ", ".join(columns)
    return (
        f"INSERT INTO {name} ({said}) SELECT {said} "
        f"FROM json_populate_recordset(NULL::{name}, CAST(:rows AS json))"
    )


def as_json(values: Sequence[Any]) -> str:
    """Many values as one parameter, in the forms that PostgreSQL reads back."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"), default=_in_json)


def _in_json(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    raise TypeError(type(value).__name__)
