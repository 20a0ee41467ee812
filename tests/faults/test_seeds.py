"""Sequencers, relays and readers under a seeded scheduler, with a bad wire, crashes and zombies.

10,000 by hand: `make seeds`.
"""

from collections import Counter

import pytest

from seeded.__main__ import REPLAY
from seeded.checks import check
from seeded.play import Stage, play

pytestmark = pytest.mark.timeout(900)
SEEDS_A_TEST = 50


@pytest.mark.parametrize("first", range(0, 300, SEEDS_A_TEST))
async def test_every_promise_holds_in_whatever_order(stage: Stage, first: int) -> None:
    befell: Counter[str] = Counter()
    for seed in range(first, first + SEEDS_A_TEST):
        try:
            found = await play(stage, seed)
            await check(stage, found)
        except AssertionError as error:
            raise AssertionError(REPLAY.format(seed=seed)) from error
        befell.update(line.split(": ", 2)[1] for line in found.turns.trace)
        befell.update(found.wire.done)
    # That nothing befell would be as bad as a failure.
    for what in ("crash", "cut", "freeze", "cancel", "waits"):
        assert befell[what], befell
    for what in ("drop", "double", "shuffle", "forge", "fail", "feed_down"):
        assert befell[what], befell


async def test_a_seed_gives_one_order_of_statements(stage: Stage) -> None:
    digests = set()
    for seed in range(1000, 1010):
        first = await play(stage, seed)
        again = await play(stage, seed)
        assert first.turns.trace == again.turns.trace
        digests.add(first.turns.digest)
    assert len(digests) == 10
