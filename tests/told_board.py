"""Facts as the gateway hears them, straight into its projections."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from builders import NOON
from gateway.board.reactions import REACTIONS
from marketkit.db import Database, Session
from marketkit.facts import Fact
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
