"""Revisions and tables say the same, both ways, for every service's database."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
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
        "AND NOT (c.relrowsecurity AND c.relforcerowsecurity) "
        "AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid "
        "            AND a.attname IN ('uscc', 'region_code'))"
    )
    with migrated(package).superuser() as connection:
        open_tables = {name for (name,) in connection.execute(query.encode()).fetchall()}
    assert open_tables == set()
