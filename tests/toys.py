"""An owner that tells of things and a reader that counts them: what feed, inbox and reader do."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import httpx
import pytest

from builders import MAC_KEY, Trust
from databases import rows
from marketkit.db import Database, Session, sql
from marketkit.errors import Conflict
from marketkit.facts import Fact
from marketkit.feed import Feed
from marketkit.inner import feed_routes
from marketkit.outbox import PARTITIONS, Placed, placed, tell
from marketkit.reactions import Reactions, Told, Waiting
from marketkit.reader import Reader
from marketkit.web import create_app
from marketkit.worker import sequence_once

TOPIC = "yaosu.land.v1"


class Noted(Fact):
    """Something of a thing; `fault` is what its reaction does besides counting it."""

    kind: ClassVar[str] = "thing.noted"
    number: int
    fault: str = ""


class Stepped(Noted):
    kind: ClassVar[str] = "thing.stepped"
    version: ClassVar[int] = 2
    is_step: ClassVar[bool] = True


class Misshapen(Fact):
    """The same kind as `Noted`, not as the reader knows it."""

    kind: ClassVar[str] = "thing.noted"
    numbers: list[int]


class Ignored(Fact):
    kind: ClassVar[str] = "thing.ignored"


async def tell_facts(house: Database, *facts: tuple[str, Fact]) -> None:
    """Tell facts by key, in one transaction, and give them their places."""

    async def work(session: Session) -> None:
        for key, fact in facts:
            await tell(session, fact, key=key)

    await house.run(work)
    await sequence_all(house)


async def sequence_all(house: Database) -> int:
    total = 0
    while moved := await sequence_once(house):
        total += moved
    return total


async def tell_many(house: Database, first: int = 0, count: int = 60, keys: int = 12) -> None:
    facts = [(f"key-{n % keys}", Noted(number=n)) for n in range(first, first + count)]
    await tell_facts(house, *facts)


async def log_of(house: Database) -> dict[int, list[Placed]]:
    """The whole log, by partition."""

    async def look(session: Session) -> dict[int, list[Placed]]:
        return {n: await placed(session, n, 1, 10_000) for n in range(PARTITIONS)}

    return await house.run(look, "worker")


class Full(Conflict):
    title = "已满"


RAISED: dict[str, Exception] = {"lookup": LookupError("a key"), "refused": Full()}
STATEMENTS = {
    "constraint": "INSERT INTO toy.thing (key) VALUES (NULL)",
    "division": "SELECT 1 / 0",
    "range": "UPDATE toy.thing SET fact_count = 2 ^ 70",
    "nul": "SELECT CAST('\x00' AS text)",
    "no table": "SELECT * FROM toy.nowhere",
    "no right": "DELETE FROM log",
    "raised": "DO $$ BEGIN RAISE 'append-only'; END $$",
}
DEFECTS = (*RAISED, *STATEMENTS, "no row")


async def break_down(session: Session, told: Told[Noted]) -> None:
    """Fail as the fact says."""
    fault, _, awaited = told.fact.fault.partition(":")
    if fault in RAISED:
        raise RAISED[fault]
    if fault in STATEMENTS:
        await sql(session, STATEMENTS[fault])
    found = (await sql(session, "SELECT key FROM toy.thing WHERE key = :key", key=awaited)).all()
    if fault == "wait" and not found:
        raise Waiting(awaited)
    if fault == "no row":
        (await sql(session, "SELECT 1 WHERE false")).one()


def counting() -> Reactions:
    """Reactions that keep, by key, how many facts came and a digest of their order."""
    reactions = Reactions("toy")

    @reactions.to(Noted, "land", "energy")
    async def count(session: Session, told: Told[Noted]) -> None:
        repaired = (await sql(session, "SELECT FROM toy.repaired")).all()
        if told.fact.fault and not repaired:
            await break_down(session, told)
        await sql(
            session,
            "INSERT INTO toy.thing VALUES (:key, 1, md5(:said), :source) "
            "ON CONFLICT (key) DO UPDATE "
            "SET fact_count = thing.fact_count + 1, last = md5(thing.last || :said)",
            key=told.key,
            source=told.source,
            said=f"{told.id} {told.fact.number} {told.time.isoformat()}",
        )

    return reactions


async def projection(house: Database) -> list[Any]:
    """Every row of the projection: what two rebuilds must agree on to the byte."""
    return await rows(house, "SELECT key, fact_count, last FROM toy.thing ORDER BY key")


async def counts(house: Database) -> dict[str, int]:
    return {row.key: row.fact_count for row in await projection(house)}


@dataclass
class Record:
    """A record as it comes from a wire."""

    partition: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    topic: str = TOPIC


def record_of(event: Placed, mac_key: bytes = MAC_KEY, **headers: Any) -> Record:
    """The record a relay makes of an event, some of its headers changed."""
    said: dict[str, Any] = {
        "epoch": str(event.epoch).encode(),
        "sequence": str(event.sequence).encode(),
        "chain": event.chain,
        "mac": event.mac(mac_key),
    }
    return Record(event.partition, event.event, list((said | headers).items()))


@dataclass
class OwnerFeed(httpx.AsyncBaseTransport):
    """The owner's inner port in this process; it can be out of reach, and is watched."""

    owner: Database
    reader_source: str
    reader: Trust
    is_down: bool = False
    asked: list[str] = field(default_factory=list)
    after_heads: Any = None

    def __post_init__(self) -> None:
        app = create_app(self.owner, self.reader.verifier, "owner", [feed_routes(MAC_KEY)])
        self._inner = httpx.ASGITransport(app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.is_down:
            raise httpx.ConnectError("out of reach")
        self.asked.append(request.url.path)
        answer = await self._inner.handle_async_request(request)
        if request.url.path.endswith("/heads") and self.after_heads is not None:
            await self.after_heads()
        return answer


@dataclass
class Readers:
    """A reader of `owner` in the database `house`, which may have others beside it."""

    owner: Database
    house: Database
    transport: OwnerFeed = field(init=False)
    reader: Reader = field(init=False)

    def __post_init__(self) -> None:
        trust = Trust.in_services(self.house)
        self.transport = OwnerFeed(self.owner, self.house.source, trust)
        self.reader = self.another()

    def another(self, reactions: Reactions | None = None) -> Reader:
        trust = self.transport.reader
        feed = Feed(
            self.owner.source,
            TOPIC,
            "http://owner",
            lambda: trust.token_of(self.house.source),
            self.transport,
        )
        signer = self.owner.signer
        trusted = {signer.kid: signer.public}
        return Reader(self.house, feed, reactions or counting(), MAC_KEY, trusted)

    async def positions(self) -> dict[int, int]:
        found = await rows(self.house, "SELECT * FROM position")
        return {row.partition: row.sequence for row in found if row.sequence}

    async def is_level(self) -> bool:
        """Whether all that was told is applied or parked."""
        heads = {n: len(events) for n, events in (await log_of(self.owner)).items() if events}
        return await self.positions() == heads


@pytest.fixture
def readers(kit_house: Database, gateway_house: Database) -> Readers:
    return Readers(kit_house, gateway_house)
