"""A real PostgreSQL for the tests: one server a process, one migrated database a package.

Each test finds its database as the migrations left it, and speaks to it as the application does.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, TypeVar

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import sql
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from marketkit import migrations
from marketkit.db import Database, Role, Scope, Session
from marketkit.db import sql as sql_of
from marketkit.inbox import is_passing
from marketkit.signing import Signer
from yaosu.postgres import Postgres
from yaosu.processes import CannotStart

T = TypeVar("T")
CITY = "370500"
APP, OWNER = "yaosu_app", "yaosu_owner"


@dataclass(frozen=True)
class Package:
    """A service as far as its database goes."""

    name: str
    market: str
    libraries: tuple[str, ...]

    @property
    def source(self) -> str:
        return f"/{CITY}/{self.name.replace('_', '-')}"


ENERGY = Package("energy_trade", "energy", ("marketkit", "saleroom"))
EMISSION = Package("emission_trade", "emission", ("marketkit", "saleroom"))
LAND = Package("land_index", "land", ("marketkit",))
GATEWAY = Package("gateway", "gateway", ("marketkit",))
PACKAGES = (ENERGY, EMISSION, LAND, GATEWAY)

_TABLES = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
WHERE schemaname !~ '^pg_' AND schemaname <> 'information_schema' AND tablename <> 'alembic_version'
"""


def address(server: URL, database: str, role: str = "") -> str:
    """SQLAlchemy's address of a database; as the superuser unless a role is named."""
    url = server.set(drivername="postgresql+psycopg", database=database)
    return (url.set(username=role) if role else url).render_as_string(hide_password=False)


def superuser(server: URL, database: str) -> psycopg.Connection:
    """A connection that may do anything, for what a test must see or bring about behind the app."""
    url = address(server, database).replace("+psycopg", "")
    return psycopg.connect(url, autocommit=True, options="-c lock_timeout=5s")


def _seeding(connection: psycopg.Connection, table: str) -> str:
    """The statement that puts a table's rows of now into it again; empty if it has none."""
    rows = connection.execute(f"SELECT json_agg(t)::text FROM {table} t".encode()).fetchone()
    if rows is None or rows[0] is None:
        return ""
    said = sql.Literal(rows[0]).as_string(connection)
    return (
        f"INSERT INTO {table} OVERRIDING SYSTEM VALUE "
        f"SELECT * FROM json_populate_recordset(NULL::{table}, {said})"
    )


@dataclass
class Migrated:
    """One package's database, with its rows as the migrations left them."""

    package: Package
    server: URL
    name: str
    # What brings its rows back.
    undoing: list[str] = field(default_factory=list)
    # One for all its tests: what SQLAlchemy compiled in one serves the next.
    engine: AsyncEngine | None = None

    @property
    def owner_url(self) -> str:
        return address(self.server, self.name, OWNER)

    @property
    def app_url(self) -> str:
        return address(self.server, self.name, APP)

    def superuser(self) -> psycopg.Connection:
        return superuser(self.server, self.name)

    def make(self) -> None:
        create_database(self.server, self.name)
        migrations.upgrade(self.package.name, self.owner_url, self.package.libraries)
        with self.superuser() as connection:
            tables = [table for (table,) in connection.execute(_TABLES.encode()).fetchall()]
            steps = [f"DELETE FROM {table}" for table in tables]
            steps += [step for table in tables if (step := _seeding(connection, table))]
        self.undoing = ["SET LOCAL session_replication_role = replica", *steps]

    def reset(self) -> None:
        """Bring every table back to what the migrations left, by one round trip."""
        with self.superuser() as connection, connection.transaction():
            connection.execute(";".join(self.undoing).encode())

    def database(self, pool_size: int = 10) -> Database:
        """The application's own end: its role, a fresh key, and more patience for a lock."""
        signer = Signer(Ed25519PrivateKey.generate())
        package = self.package
        house = Database(self.app_url, package.source, package.market, signer, pool_size)
        event.listen(house.engine.sync_engine, "connect", _patient)
        return house


def _patient(connection: Any, _record: Any) -> None:
    """A test that is not given the processor for half a second holds its locks as long.

    The product tells those who wait for them to come later; of five at once a test would find that
    four were refused by no rule. How long one statement may take in all holds here, too.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = 0")
    connection.commit()


def create_database(server: URL, name: str) -> None:
    """An empty database of the owner's, in place of any of that name."""
    with superuser(server, "postgres") as connection:
        target = sql.Identifier(name)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(target))
        create = sql.SQL("CREATE DATABASE {} OWNER {}")
        connection.execute(create.format(target, sql.Identifier(OWNER)))


@pytest.fixture(scope="session")
def pg_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """The superuser's address of a server with the house's roles; SKIPPED aloud without one."""
    roles = files("marketkit").joinpath("roles.sql").read_bytes()
    given = os.environ.get("YAOSU_TEST_PG_URL")
    server = None
    if given:
        url = make_url(given)
    else:
        try:
            server = Postgres(tmp_path_factory.mktemp("pg") / "postgres")
            server.start()
        except CannotStart as missing:
            pytest.skip(f"SKIPPED: no PostgreSQL: {missing}")
        url = make_url(server.url("postgres"))
    with superuser(url, "postgres") as connection:
        connection.execute("SELECT pg_advisory_lock(7370502)")  # others of this run do the same
        connection.execute(roles)
    yield url
    if server is not None:
        server.stop()


def own_name(name: str) -> str:
    """A database's name that no other process of this run uses on a shared server."""
    shared = os.environ.get("YAOSU_TEST_PG_URL")
    return f"{name}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}" if shared else name


@pytest.fixture(scope="session")
def migrated(pg_server: URL) -> Callable[[Package], Migrated]:
    """The database of a package, made and migrated the first time it is asked for."""
    made: dict[str, Migrated] = {}

    def of(package: Package) -> Migrated:
        if package.name not in made:
            found = Migrated(package, pg_server, own_name(f"yaosu_{package.market}"))
            found.make()
            made[package.name] = found
        return made[package.name]

    return of


async def until_idle(house: Database) -> None:
    """Return once every connection is given back, as those of cancelled callers are in time."""
    pool: Any = house.engine.pool
    deadline = time.monotonic() + 5
    while pool.checkedout():
        assert time.monotonic() < deadline, "a connection was not given back"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def fresh(database: Migrated) -> AsyncIterator[Database]:
    """A house as the migrations left it; no connection of it may be left lent when it closes."""
    database.reset()
    house = database.database()
    database.engine = house.engine = database.engine or house.engine
    try:
        yield house
        await until_idle(house)
    finally:
        await house.close()


@pytest.fixture
async def kit_house(migrated: Callable[[Package], Migrated]) -> AsyncIterator[Database]:
    """marketkit's tables and nothing else."""
    async with fresh(migrated(LAND)) as house:
        yield house


@pytest.fixture
async def energy_house(migrated: Callable[[Package], Migrated]) -> AsyncIterator[Database]:
    async with fresh(migrated(ENERGY)) as house:
        yield house


@pytest.fixture
async def gateway_house(migrated: Callable[[Package], Migrated]) -> AsyncIterator[Database]:
    async with fresh(migrated(GATEWAY)) as house:
        yield house


async def rows(
    house: Database,
    statement: str,
    role: Role = "worker",
    scope: Scope | None = None,
    **values: Any,
) -> list[Any]:
    """What one statement answers in a transaction of its own."""
    found = await house.run(lambda s: sql_of(s, statement, **values), role, scope=scope)
    return list(found.all()) if found.returns_rows else []


async def patiently(house: Database, work: Callable[[Session], Awaitable[T]]) -> T:
    """What the work answers, asked again while the machine is too busy, as a client would."""
    for _ in range(50):
        try:
            return await house.run(work)
        except SQLAlchemyError as error:
            if not is_passing(error):
                raise
    raise AssertionError("it is never its turn")


TOY = """
DROP SCHEMA IF EXISTS toy CASCADE;
CREATE SCHEMA toy;
CREATE TABLE toy.thing (
    key text PRIMARY KEY, fact_count bigint NOT NULL DEFAULT 0, last text NOT NULL DEFAULT '',
    source text NOT NULL DEFAULT ''
);
CREATE TABLE toy.late (
    thing text REFERENCES toy.thing DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE toy.repaired (at timestamptz DEFAULT now());
GRANT USAGE ON SCHEMA toy TO yaosu_scoped, yaosu_market, yaosu_worker;
GRANT ALL ON ALL TABLES IN SCHEMA toy TO yaosu_scoped, yaosu_market, yaosu_worker;
"""


def with_toy(database: Migrated) -> Iterator[None]:
    """Add a schema of small tables: a projection, or what an action changes."""
    with database.superuser() as connection:
        connection.execute(TOY.encode())
    yield
    with database.superuser() as connection:
        connection.execute("DROP SCHEMA toy CASCADE")


@pytest.fixture
def toy(migrated: Callable[[Package], Migrated], kit_house: Database) -> Iterator[None]:
    """The toy schema in the database of `kit_house`."""
    yield from with_toy(migrated(LAND))


@pytest.fixture
def gateway_toy(migrated: Callable[[Package], Migrated], gateway_house: Database) -> Iterator[None]:
    """The toy schema in the database of `gateway_house`."""
    yield from with_toy(migrated(GATEWAY))
