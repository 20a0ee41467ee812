"""Revisions and tables say the same, both ways, for every service's database."""

import importlib
import pkgutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import MetaData, create_engine
from sqlalchemy.engine import URL

from databases import (
    ENERGY,
    LAND,
    OWNER,
    PACKAGES,
    Migrated,
    Package,
    address,
    create_database,
    own_name,
    superuser,
)
from marketkit import migrations
from marketkit.db import Table
from yaosu.postgres import find_binaries

Databases = Callable[[Package], Migrated]
every = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)


def test_a_migrated_database_has_every_head(migrated: Databases) -> None:
    for package in (ENERGY, LAND):
        with migrated(package).superuser() as connection:
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        heads = migrations.heads(package.name, package.libraries)
        assert heads
        assert heads <= {name for (name,) in rows}


def tables_of(package: Package) -> list[MetaData]:
    """The tables that the package and its libraries declare, whichever modules they stand in."""
    names = (*package.libraries, package.name)
    for name in names:
        found = importlib.import_module(name)
        for module in pkgutil.walk_packages(found.__path__, f"{name}."):
            if not {"revisions", "alembic", "__main__"} & set(module.name.split(".")):
                importlib.import_module(module.name)
    declared = {table.metadata for table in subclasses(Table) if module_of(table) in names}
    return list(declared)


def subclasses(kind: type[Table]) -> Iterator[type[Table]]:
    for found in kind.__subclasses__():
        yield found
        yield from subclasses(found)


def module_of(table: type[Table]) -> str:
    return table.__module__.partition(".")[0]


@every
def test_no_table_differs_from_its_revisions(migrated: Databases, package: Package) -> None:
    database = migrated(package)
    engine = create_engine(address(database.server, database.name))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_schemas": True, "compare_type": True}
        )
        drift = compare_metadata(context, tables_of(package))  # type: ignore[arg-type]  # a list is taken
    engine.dispose()
    assert [change for change in drift if "alembic_version" not in str(change)] == []


SHAPE = """
SELECT format('%s.%s', table_schema, table_name), grantee || ' ' || privilege_type
FROM information_schema.role_table_grants WHERE grantee LIKE 'yaosu%'
UNION ALL
SELECT format('%s.%s.%s', table_schema, table_name, column_name), data_type || is_nullable
FROM information_schema.columns WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
UNION ALL
SELECT tgrelid::regclass || '.' || tgname, '' FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT format('%s.%s.%s', schemaname, tablename, policyname), qual FROM pg_policies
UNION ALL
SELECT indexname, indexdef FROM pg_indexes WHERE schemaname !~ '^pg_'
ORDER BY 1, 2
"""


@every
def test_what_was_taken_down_can_be_put_up_again(pg_server: URL, package: Package) -> None:
    name = own_name(f"yaosu_twice_{package.market}")
    create_database(pg_server, name)
    url = address(pg_server, name, OWNER)

    def shape() -> list[tuple[object, ...]]:
        with superuser(pg_server, name) as connection:
            return connection.execute(SHAPE.encode()).fetchall()

    migrations.upgrade(package.name, url, package.libraries)
    first = shape()
    migrations.upgrade(package.name, url, package.libraries)
    assert shape() == first
    command.downgrade(migrations.config(package.name, url, package.libraries), "base")
    left = {str(place).split(".")[1] for place, _ in shape() if str(place).count(".") == 2}
    assert left <= {"alembic_version"}
    migrations.upgrade(package.name, url, package.libraries)
    assert shape() == first


@every
def test_every_table_of_a_county_or_an_enterprise_has_row_security(
    migrated: Databases, package: Package
) -> None:
    """What `scoped` may read of a table with such a column is what row security leaves of it."""
    query = (
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|information_schema)' "
        "AND has_table_privilege('yaosu_scoped', c.oid, 'SELECT') "
        "AND NOT c.relrowsecurity "
        "AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid "
        "            AND a.attname IN ('uscc', 'region_code'))"
    )
    with migrated(package).superuser() as connection:
        open_tables = {name for (name,) in connection.execute(query.encode()).fetchall()}
    assert open_tables == set()


def served(server: URL, name: str) -> set[str]:
    with superuser(server, name) as connection:
        return {row[0] for row in connection.execute("SELECT revision FROM served_revision")}


def test_a_database_serves_all_it_came_through_until_a_revision_says_otherwise(
    pg_server: URL,
) -> None:
    name = own_name("yaosu_served")
    create_database(pg_server, name)
    url = address(pg_server, name, OWNER)
    before = migrations.config(LAND.name, url, LAND.libraries)
    command.upgrade(before, "marketkit_0001")
    migrations.upgrade(LAND.name, url, LAND.libraries)
    heads = migrations.heads(LAND.name, LAND.libraries)
    assert served(pg_server, name) >= heads | {"marketkit_0001"}
    engine = create_engine(url)
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        migrations.no_longer_serves("marketkit_0001")
    engine.dispose()
    # Migrated again, what was ended stays ended.
    migrations.upgrade(LAND.name, url, LAND.libraries)
    assert served(pg_server, name) & (heads | {"marketkit_0001"}) == heads


@every
def test_the_owner_s_dump_restored_has_every_row(
    pg_server: URL, migrated: Databases, package: Package, tmp_path: Path
) -> None:
    """`pg_dump` refuses where row security would hide rows from it."""
    database = migrated(package)
    with database.superuser() as connection:
        for query in ROWS:
            connection.execute(query.encode())
    tools, dump = find_binaries(), tmp_path / "dump"
    plain = database.owner_url.replace("+psycopg", "")
    ran(tools / "pg_dump", "--format=custom", f"--file={dump}", plain)
    restored = own_name(f"yaosu_restored_{package.market}")
    create_database(pg_server, restored)
    target = address(pg_server, restored, OWNER).replace("+psycopg", "")
    ran(tools / "pg_restore", "--exit-on-error", "--no-comments", f"--dbname={target}", str(dump))
    assert contents(pg_server, restored) == contents(pg_server, database.name)
    assert dict(contents(pg_server, restored))["public.balance"] != "[]"
    database.reset()


ROWS = (
    "INSERT INTO account VALUES ('a', 'CITY', '370500', NULL, NULL, true)",
    "INSERT INTO account VALUES ('b', 'ENTERPRISE', '370502', '91370500000000001H', NULL, false)",
    "INSERT INTO lot VALUES ('l', 'ENERGY', 'art. 4', 'x', 'y', 'z', '370502', '2022-01-01', "
    "false, true, false)",
    "INSERT INTO balance VALUES ('b', 'l', 5, 2, false)",
    "INSERT INTO hold VALUES ('h', 'SALE', 'k', 'b', 'ENERGY', 'l', 2, 2)",
)


def ran(*command_line: object) -> None:
    done = subprocess.run([str(part) for part in command_line], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def contents(server: URL, name: str) -> list[tuple[str, str]]:
    """Every table of a database, with all its rows."""
    query = (
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
        "WHERE schemaname !~ '^(pg_|information_schema)' ORDER BY 1"
    )
    found = []
    with superuser(server, name) as connection:
        for (table,) in connection.execute(query.encode()).fetchall():
            rows = f"SELECT coalesce(json_agg(t ORDER BY t::text)::text, '[]') FROM {table} t"
            found.append((table, str(connection.execute(rows.encode()).fetchall()[0][0])))
    return found
