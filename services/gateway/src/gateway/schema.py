"""The base of the gateway's tables: projections of what events say, and how rows enter them."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json
from sqlalchemy import MetaData, inspect

from marketkit import db
from marketkit.db import Session, sql


class Table(db.Table):
    """A table in schema `projection`, which a rebuild empties as a whole."""

    metadata = MetaData(schema="projection", naming_convention=db.NAMING)


async def insert_all(
    session: Session, table: type[Table], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Insert rows of the same columns by one statement of one parameter, however many there are.

    A driver's executemany sends and answers each apart. A column has a form in JSON: no bytes.
    """
    if rows:
        name = str(inspect(table).local_table)
        columns = ", ".join(rows[0])
        statement = f"INSERT INTO {name} ({columns}) SELECT {columns} FROM json_populate_recordset"
        await sql(session, f"{statement}(NULL::{name}, CAST(:rows AS json))", rows=as_json(rows))


def as_json(values: Sequence[Any]) -> str:
    """Many values as one parameter: of an array a driver looks at each element by itself."""
    return to_json(values).decode()
