"""A wire that drops, doubles, reorders and forges, and an owner that is now and then out of reach.

Both stand where the real ones do: behind the producer the product's `Wire` is given, and behind
the transport its `Feed` is given.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
from aiokafka.errors import RequestTimedOutError

from builders import MAC_KEY
from marketkit.db import Database, Session
from marketkit.feed import checkpoint_lines, heads_document, range_lines
from marketkit.outbox import Placed
from marketkit.signing import chain_after
from seeded.turns import pause
from toys import TOPIC, Record, record_of

BATCH_MAX = 5
LIE = (
    b'{"specversion":"1.0","id":"forged","source":"x","type":"yaosu.land.thing.moved.v1",'
    b'"subject":"k","time":"2022-06-01T04:00:00+00:00","partitionkey":"key-1","actor":"nobody",'
    b'"data":{"number":1,"order":"forged"}}'
)


@dataclass(frozen=True)
class Weather:
    """How often, of 1,000 records or questions, the wire or the owner does what it should not."""

    drop: int = 0
    double: int = 0
    shuffle: int = 0
    forge: int = 0
    fail: int = 0
    feed_down: int = 0


@dataclass
class BadWire:
    """A broker without a memory: each listener has what was delivered to it and not yet read."""

    draw: Random
    weather: Weather
    source: str
    epoch: int
    queues: dict[str, list[Record]] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    _sent: int = 0

    def falls(self, what: str) -> bool:
        odds: int = getattr(self.weather, what)
        fell = self.draw.randrange(1000) < odds
        self.done[what] = self.done.get(what, 0) + fell
        return fell

    async def send(
        self, topic: str, *, value: bytes, partition: int, headers: Sequence[tuple[str, bytes]]
    ) -> asyncio.Future[None]:
        """As a producer's: what it answers is the broker's word, which may come without effect."""
        await pause("wire send")
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        record = Record(partition, value, list(headers), topic)
        for queue in self.queues.values():
            if not self.falls("drop"):
                self._deliver(queue, record)
            if self.falls("double"):
                self._deliver(queue, record)
            if self.falls("forge"):
                self._deliver(queue, self.forged(record))
        if self.falls("fail"):
            answer.set_exception(RequestTimedOutError())
        else:
            answer.set_result(None)
        return answer

    def _deliver(self, queue: list[Record], record: Record) -> None:
        place = self.draw.randrange(len(queue) + 1) if self.falls("shuffle") else len(queue)
        queue.insert(place, record)

    def take(self, listener: str) -> list[Record]:
        """The next few records, as a poll brings them."""
        queue = self.queues[listener]
        count = self.draw.randrange(1, BATCH_MAX + 1)
        batch, queue[:] = queue[:count], queue[count:]
        return batch

    def forged(self, record: Record) -> Record:
        """A record that is not what the owner has in its place."""
        said = dict(record.headers)
        partition = record.partition
        sequence = int(said["sequence"])
        event = record.value or b""
        true = Placed(self.source, partition, self.epoch, sequence, said["chain"], event)
        after = chain_after(true.chain, LIE)
        next_one = true._replace(sequence=sequence + 1, event=LIE, chain=after)
        old_life = next_one._replace(epoch=self.epoch - 1)
        kinds = (
            # The very next place, continuing the chain, by somebody without the key.
            record_of(next_one, mac_key=bytes(32)),
            # By the key, in the very next place, but not continuing the chain: twice as often, for
            # it must come before the owner's own.
            *(record_of(next_one._replace(chain=chain)) for chain in (said["chain"], bytes(32))),
            # The true bytes and MAC, said to stand one place further.
            record_of(true, sequence=str(sequence + 1).encode()),
            # By the key, continuing the chain: what an earlier life of the owner's told.
            record_of(old_life),
            record_of(old_life._replace(sequence=1, chain=chain_after(bytes(32), LIE))),
            Record(partition, None, []),
            Record(partition, b"", [(name, b"?") for name in said]),
            record_of(true, sequence=b"9" * 30),
        )
        return kinds[self.draw.randrange(len(kinds))]


@dataclass
class OwnerInReach(httpx.AsyncBaseTransport):
    """The owner's inner port without a server: the product's documents, asked for by path."""

    house: Database
    wire: BadWire

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path, said = request.url.path, request.url.params
        await pause(f"GET {path}")
        if self.wire.falls("feed_down"):
            raise httpx.ConnectError("out of reach")
        if path == "/v1/events/heads":
            return httpx.Response(200, json=await self.house.run(heads_document, "worker"))
        body = await self.house.run(lambda session: self._lines(session, path, said), "worker")
        return httpx.Response(200, content=body)

    async def _lines(self, session: Session, path: str, said: Any) -> bytes:
        if path == "/v1/checkpoints":
            return await checkpoint_lines(session, int(said["after"]))
        return await range_lines(session, int(said["partition"]), int(said["from"]), MAC_KEY)


__all__ = ["TOPIC", "BadWire", "OwnerInReach", "Weather"]
