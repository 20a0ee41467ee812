from collections.abc import AsyncIterator, Callable

import pytest

from databases import LAND, Migrated, Package
from seeded.play import Stage
from seeded.stage import staged


@pytest.fixture(scope="module")
async def stage(migrated: Callable[[Package], Migrated]) -> AsyncIterator[Stage]:
    """The database and the connections that all seeds of a module share."""
    async with staged(migrated(LAND)) as found:
        yield found
