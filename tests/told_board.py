"""Facts as the gateway hears them, straight into its projections."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta

from builders import NOON
from databases import rows
from gateway.board.reactions import REACTIONS
from marketkit.db import Database, Session
from marketkit.facts import Fact
from marketkit.inbox import rebuild
from marketkit.outbox import PARTITIONS, Placed
from marketkit.signing import ZERO, partition_of

ENERGY = "/370500/energy-trade"


class Teller:
    """A service that tells one fact a minute, each in the next place of its partition."""

    def __init__(self, house: Database, market: str = "energy", source: str = ENERGY) -> None:
        self.house = house
        self.market = market
        self.source = source
        self._at: datetime = NOON
        self._heads = dict.fromkeys(range(PARTITIONS), 0)

    async def tell(self, facts: Iterable[tuple[str, Fact]]) -> None:
        """React to each fact; key and fact, in order."""
        await react(self.house, self.place(facts))

    def place(self, facts: Iterable[tuple[str, Fact]]) -> list[Placed]:
        """Each fact as an event in its place, nobody having reacted to it."""
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


async def react(house: Database, events: Iterable[Placed]) -> None:
    """React to events in the order given, in one transaction."""

    async def work(session: Session) -> None:
        for event in events:
            await REACTIONS.apply(session, event)

    await house.run(work, "worker")


async def dump(house: Database) -> dict[str, list[str]]:
    """Every row of every projection, as text: what two rebuilds must agree on to the byte."""
    found = await rows(
        house, "SELECT tablename FROM pg_tables WHERE schemaname = 'projection' ORDER BY 1"
    )
    tables = [row.tablename for row in found]
    assert len(tables) > 5
    return {
        table: [
            row.text
            for row in await rows(
                house, f"SELECT CAST(t AS text) AS text FROM projection.{table} t ORDER BY 1"
            )
        ]
        for table in tables
    }


async def empty(house: Database) -> None:
    """Begin anew, as a reader does whose source was restored."""
    await house.run(lambda session: rebuild(session, REACTIONS, ENERGY, 1), "worker")
