from collections.abc import Callable

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from databases import GATEWAY, Migrated, Package
from gateway.board import tables
from gateway.schema import Table

OPTIONS = {
    "include_schemas": True,
    "compare_type": True,
    "include_name": lambda name, kind, _: kind != "schema" or name == "projection",
}


def test_the_revision_makes_the_tables_as_they_are_declared(
    migrated: Callable[[Package], Migrated],
) -> None:
    assert tables.BoardSale.metadata is Table.metadata
    engine = create_engine(migrated(GATEWAY).owner_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=OPTIONS)
        assert compare_metadata(context, Table.metadata) == []
    engine.dispose()
