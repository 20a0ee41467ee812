"""Sequencer, relay and reader under a seeded scheduler, with a bad wire, crashes and zombies."""

from collections.abc import AsyncIterator, Callable

import pytest

from databases import LAND, Migrated, Package
from seeded.checks import check
from seeded.play import Stage, play
from seeded.stage import staged

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SEED_COUNT = 300


@pytest.fixture(scope="module")
async def stage(migrated: Callable[[Package], Migrated]) -> AsyncIterator[Stage]:
    async with staged(migrated(LAND)) as found:
        yield found


async def test_seeds(stage: Stage) -> None:
    import time
    for seed in range(5):
        began = time.time()
        found = await play(stage, seed)
        print(seed, len(found.turns.trace), found.wire.done, time.time() - began)
        await check(stage, found)
