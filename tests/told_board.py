"""Facts as the gateway hears them, straight into its projections."""

import hashlib
import json
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from random import Random

from builders import NOON
from databases import rows
from gateway.board.reactions import REACTIONS
from marketkit.db import Database, Session
from marketkit.facts import Fact
from marketkit.inbox import rebuild
from marketkit.outbox import PARTITIONS, Placed
from marketkit.signing import ZERO, partition_of

ENERGY = "/370500/energy-trade"
EMISSION = "/370500/emission-trade"


async def hear(house: Database, events: Sequence[Placed]) -> None:
    """React to events in the order given, as the reader does: in one transaction."""

    async def react(session: Session) -> None:
        await REACTIONS.apply(session, events)

    await house.run(react, "worker")


class Teller:
    """A service that tells one fact a minute, each in the next place of its partition."""

    def __init__(self, house: Database, market: str = "energy", source: str = ENERGY) -> None:
        self.house = house
        self.market = market
        self.source = source
        self._at: datetime = NOON
        self._heads = dict.fromkeys(range(PARTITIONS), 0)

    async def tell(self, facts: Iterable[tuple[str, Fact]]) -> None:
        """Key and fact, in order; heard at once."""
        await hear(self.house, self.events(facts))

    def events(self, facts: Iterable[tuple[str, Fact]]) -> list[Placed]:
        return [self._placed(key, fact) for key, fact in facts]

    def _placed(self, key: str, fact: Fact) -> Placed:
        partition = partition_of(key, PARTITIONS)
        self._heads[partition] += 1
        self._at += timedelta(minutes=1)
        event = {
            "id": f"{self.market}-{partition}-{self._heads[partition]}",
            "type": fact.type_in(self.market),
            "subject": key,
            "partitionkey": key,
            "time": self._at.isoformat(),
            "actor": "officer",
            "policyversion": "2022-01-01+3f9a1c2e",
            "data": fact.model_dump(mode="json"),
        }
        body = json.dumps(event, ensure_ascii=False).encode()
        return Placed(self.source, partition, 1, self._heads[partition], ZERO, body)


async def dump(house: Database) -> str:
    """Every row of the projections, as text that says all."""
    names = await rows(
        house, "SELECT tablename FROM pg_tables WHERE schemaname = 'projection' ORDER BY 1"
    )
    assert len(names) >= 10
    found = {}
    for (name,) in names:
        told_rows = await rows(
            house, f"SELECT to_jsonb(t)::text FROM projection.{name} t ORDER BY 1"
        )
        found[name] = [row[0] for row in told_rows]
    return json.dumps(found, ensure_ascii=False, indent=0)


async def forget(house: Database) -> None:
    async def work(session: Session) -> None:
        for source in (ENERGY, EMISSION):
            await rebuild(session, REACTIONS, source, 1)

    await house.run(work, "worker")


def interleaved(events: list[Placed], random: Random) -> list[Placed]:
    """The same events, each key's in their order, the keys mixed anyhow."""
    by_key: dict[str, deque[Placed]] = defaultdict(deque)
    for event in events:
        by_key[event.source + json.loads(event.event)["partitionkey"]].append(event)
    waiting = [queue for queue in by_key.values() for _ in queue]
    random.shuffle(waiting)
    return [queue.popleft() for queue in waiting]


async def digest_after(house: Database, events: Sequence[Placed]) -> str:
    """What a rebuild from these events, in this order, leaves in the projections."""
    await forget(house)
    await hear(house, events)
    return hashlib.sha256((await dump(house)).encode()).hexdigest()
