"""Many rows by one statement of one parameter, however many there are."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json
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


def as_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as one parameter, in the forms that PostgreSQL reads back."""
    said = [{name: _readable(value) for name, value in row.items()} for row in rows]
    return to_json(said).decode()


def _readable(value: object) -> object:
    return "\\x" + value.hex() if type(value) is bytes else value
