"""The database all seeds share, and a connection for each part."""

import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.resources import files
from pathlib import Path

import psycopg
from psycopg.rows import namedtuple_row
from sqlalchemy.engine import make_url

from databases import LAND, Migrated, address, superuser
from seeded.desk import clear_away, set_up
from seeded.play import PARTS, Stage
from seeded.turns import watch
from yaosu.postgres import Postgres


@asynccontextmanager
async def staged(database: Migrated, parts: Sequence[str] = PARTS) -> AsyncIterator[Stage]:
    """A stage on a migrated database of marketkit's tables."""
    await set_up(database)
    houses = {name: watch(database.database(pool_size=1)) for name in ("main", *parts)}
    for house in houses.values():
        house.signer = houses["main"].signer
    url = address(database.server, database.name).replace("+psycopg", "")
    monitor = await psycopg.AsyncConnection.connect(url, autocommit=True)
    with database.superuser() as seeing:
        seeing.row_factory = namedtuple_row
        async with monitor:
            yield Stage(houses, monitor, seeing)
    for house in houses.values():
        await house.close()
    clear_away(database)


@contextmanager
def own_database() -> Iterator[Migrated]:
    """A server for one command, gone with it."""
    with tempfile.TemporaryDirectory() as directory, Postgres(Path(directory) / "pg") as server:
        url = make_url(server.url("postgres"))
        with superuser(url, "postgres") as connection:
            connection.execute(files("marketkit").joinpath("roles.sql").read_bytes())
        database = Migrated(LAND, url, "yaosu_land")
        database.make()
        yield database
