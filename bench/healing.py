"""Records lost on the wire: how long until a reader has their events all the same, by the feed.

The owner tells in bursts. One record in a hundred is lost, and all of each burst's last commit, so
that nothing that comes after them shows the hole: only the comparison of heads does.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from functools import partial
from itertools import islice

from bench import expected, town
from bench.figures import Figure
from bench.latency import at_quantile
from bench.projection import LISTENS_AFTER_S, TOPIC, Reading
from bench.site import Site, done, site
from marketkit.kafka import Wire, producing
from marketkit.outbox import PARTITIONS, Placed, tell_all
from marketkit.worker import relay_once, sequence_once
from yaosu.broker import MockCluster, read_topics

BURSTS = 8
COMMITS = 60
AT_ONCE = 10
EVERY_S = 0.05
REST_S = 4.0
LOST_SHARE = 0.01
SEED = 7
PATIENCE_S = 30

Place = tuple[int, int]


class Leaky(Wire):
    """A wire that loses records and says that they were taken."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._chance = random.Random(SEED)
        self.loses_all = False
        self.sent_s: dict[Place, float] = {}
        self.lost: set[Place] = set()

    async def send(self, events: Sequence[Placed]) -> list[Placed]:
        """Send most of them; note when, and what was lost."""
        kept = []
        for event in events:
            place = event.partition, event.sequence
            self.sent_s[place] = time.monotonic()
            if self.loses_all or self._chance.random() < LOST_SHARE:
                self.lost.add(place)
            else:
                kept.append(event)
        return await self._wire.send(kept)


async def watch(url: str, applied_s: dict[Place, float]) -> None:
    """Note when the reader's positions pass each place."""
    reached = dict.fromkeys(range(PARTITIONS), 0)
    with town.superuser(url) as connection:
        while True:
            found = connection.execute(b"SELECT partition, sequence FROM position").fetchall()
            for partition, sequence in found:
                places = range(reached[partition] + 1, sequence + 1)
                applied_s |= dict.fromkeys(((partition, n) for n in places), time.monotonic())
                reached[partition] = sequence
            await asyncio.sleep(0.01)


async def told(reading: Reading, wire: Leaky) -> None:
    """All bursts, each commit with its turns of sequencer and relay."""
    house = reading.owner
    tellings = town.tellings(BURSTS * COMMITS * AT_ONCE)
    for _ in range(BURSTS):
        for number in range(COMMITS):
            facts = list(islice(tellings, AT_ONCE))
            await house.run(partial(tell_all, tellings=facts))
            await sequence_once(house)
            wire.loses_all = number == COMMITS - 1
            await relay_once(house, wire)
            await asyncio.sleep(EVERY_S)
        await asyncio.sleep(REST_S)


async def run(reading: Reading, servers: str, mac_key: bytes) -> tuple[Leaky, dict[Place, float]]:
    applied_s: dict[Place, float] = {}
    async with producing(servers, TOPIC, mac_key) as wire:
        leaky = Leaky(wire)
        watching = asyncio.create_task(watch(reading.url, applied_s))
        await told(reading, leaky)
        patient_until_s = time.monotonic() + PATIENCE_S
        while leaky.sent_s.keys() - applied_s.keys():
            assert time.monotonic() < patient_until_s, leaky.sent_s.keys() - applied_s.keys()
            await asyncio.sleep(0.1)
        watching.cancel()
    await reading.owner.close()
    return leaky, applied_s


def same_as_folded(here: Site, reading: Reading) -> bool:
    """Whether the projections are what the owner's log comes to."""
    with town.superuser(reading.owner.url) as connection:
        query = b"SELECT partition, sequence, chain, event FROM log ORDER BY partition, sequence"
        log = connection.execute(query).fetchall()
    wanted = here.database("gateway")
    source = reading.owner.source
    fold = expected.folded(Placed(source, part, 1, *rest) for part, *rest in log)
    expected.copied(wanted, fold)
    return town.digests(reading.url) == town.digests(wanted)


def measure() -> list[Figure]:
    with site() as here:
        cluster = MockCluster(read_topics())
        servers = f"127.0.0.1:{cluster.port}"
        mac_key = here.mac_key()
        reading = Reading(here, servers, here.database("energy_trade"))
        reading.until(0)
        time.sleep(LISTENS_AFTER_S)
        wire, applied_s = done(run(reading, servers, mac_key))
        is_same = same_as_folded(here, reading)
        assert is_same
    waits_s = {place: max(0.0, at_s - wire.sent_s[place]) for place, at_s in applied_s.items()}
    lost = [waits_s[place] for place in wire.lost]
    others = [wait_s for place, wait_s in waits_s.items() if place not in wire.lost]
    p99_s = at_quantile(lost, 99)
    return [
        Figure(
            f"{len(lost)} of {len(waits_s):,} records lost on the wire, until a reader had them",
            f"p50 {at_quantile(lost, 50):.2f} s, p99 {p99_s:.2f} s, most {max(lost):.2f} s",
            f"the others p50 {at_quantile(others, 50):.2f} s, most {max(others):.2f} s",
            "",
            "p99 ≤ 5 s, all ≤ 30 s, none missing",
            is_same and p99_s <= 5 and max(lost) <= 30,
        )
    ]
