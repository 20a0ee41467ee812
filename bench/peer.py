"""What people usually write to read Kafka: FastStream, a group, an acknowledgement by message.

`python -m bench.peer SERVERS COUNT` folds so many events and prints in how many seconds. One
message, one transaction, acknowledged after its commit. It is the peer of our reader, not a model
for it: it believes whatever the topic brings, and by a lost record it is wrong for ever.
"""

import asyncio
import json
import os
import sys
import time
from datetime import datetime
from typing import Any

from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.annotations import KafkaMessage
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from contracts import energy, holdings
from marketkit.facts import Fact
from marketkit.movements import Movement

SERVERS, COUNT = sys.argv[1], int(sys.argv[2])
TOPIC, SOURCE, MARKET = "peer.energy.v1", "/370500/energy-trade", "energy"
ENGINE = create_async_engine(os.environ["BENCH_DATABASE_URL"], pool_size=2)
FACTS: dict[str, type[Fact]] = {
    fact.type_in(MARKET): fact
    for fact in (
        holdings.AccountOpened,
        holdings.LotCreated,
        holdings.QuotaIssued,
        energy.QuotaAssigned,
        energy.PledgeRegistered,
        energy.PledgeReleased,
    )
}
SHOWN = (holdings.QuotaIssued, energy.QuotaAssigned)
ROW = {holdings.AccountOpened: "board_account", holdings.LotCreated: "board_lot"}
FOLD = """
INSERT INTO projection.holding AS h
    (source, market, account, asset, lot, posted_minor, held_minor, as_of)
VALUES (:source, :market, :account, :asset, :lot, :posted, :held, :at)
ON CONFLICT (market, account, asset, lot) DO UPDATE SET
    posted_minor = h.posted_minor + excluded.posted_minor,
    held_minor = h.held_minor + excluded.held_minor,
    as_of = greatest(h.as_of, excluded.as_of)
"""
CHANGE = (
    "INSERT INTO projection.change VALUES (:source, :partition, :sequence, :market, :kind, '', :at)"
)

broker = KafkaBroker(SERVERS, logger=None)
ended = asyncio.Event()
seen: list[float] = []


@broker.subscriber(
    TOPIC, group_id="peer", auto_offset_reset="earliest", ack_policy=AckPolicy.NACK_ON_ERROR
)
async def fold(message: KafkaMessage) -> None:
    seen.append(time.perf_counter())
    envelope = json.loads(message.body)
    fact = FACTS[envelope["type"]].model_validate(envelope["data"])
    at = datetime.fromisoformat(envelope["time"])
    async with ENGINE.begin() as connection:
        if type(fact) in ROW:
            await _row(connection, ROW[type(fact)], fact)
        if isinstance(fact, SHOWN):
            record: Any = message.raw_message
            place = {"partition": record.partition, "sequence": int(message.headers["sequence"])}
            said = place | {"source": SOURCE, "market": MARKET, "kind": fact.kind, "at": at}
            await connection.execute(text(CHANGE), said)
        for movement in getattr(fact, "movements", ()):
            await connection.execute(text(FOLD), _values(movement, at))
    if len(seen) == COUNT:
        ended.set()


async def _row(connection: AsyncConnection, table: str, fact: Fact) -> None:
    said = fact.model_dump()
    said |= {"source": SOURCE, "market": MARKET, "id": said.pop(table.removeprefix("board_"))}
    names, places = ", ".join(said), ", ".join(f":{name}" for name in said)
    await connection.execute(
        text(f"INSERT INTO projection.{table} ({names}) VALUES ({places})"), said
    )


def _values(movement: Movement, at: datetime) -> dict[str, object]:
    leg = movement.leg()
    return {"source": SOURCE, "market": MARKET, "at": at, **leg._asdict()}


async def main() -> None:
    await broker.start()
    await ended.wait()
    print(time.perf_counter() - seen[0], flush=True)
    await broker.stop()


if __name__ == "__main__":
    asyncio.run(main())
