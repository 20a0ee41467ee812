"""The database all seeds share, and a connection for each part."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg
from psycopg.rows import namedtuple_row

from databases import Migrated, address
from seeded.desk import set_up
from seeded.play import PARTS, Stage
from seeded.turns import watch


@asynccontextmanager
async def staged(database: Migrated, parts: Sequence[str] = PARTS) -> AsyncIterator[Stage]:
    """A stage on a migrated database of marketkit's tables."""
    await set_up(database)
    houses = {name: watch(database.database(pool_size=1)) for name in ("main", *parts)}
    for house in houses.values():
        house.signer = houses["main"].signer
    url = address(database.server, database.name).replace("+psycopg", "")
    monitor = await psycopg.AsyncConnection.connect(url, autocommit=True)
    with database.superuser() as superuser:
        superuser.row_factory = namedtuple_row
        async with monitor:
            yield Stage(houses, monitor, superuser)
    for house in houses.values():
        await house.close()
