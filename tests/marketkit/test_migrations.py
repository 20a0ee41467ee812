from collections.abc import Callable

import pytest

from databases import ENERGY, LAND, Migrated, Package
from marketkit import migrations


@pytest.mark.parametrize("package", [ENERGY, LAND], ids=["with a library", "alone"])
def test_a_migrated_database_has_every_head(
    migrated: Callable[[Package], Migrated], package: Package
) -> None:
    with migrated(package).superuser() as connection:
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    heads = migrations.heads(package.name, package.libraries)
    assert heads
    assert heads <= {name for (name,) in rows}
