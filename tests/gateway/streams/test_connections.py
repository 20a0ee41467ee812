"""The stream as its readers have it: over a real connection, from a real server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from contracts import sale as told
from databases import GATEWAY, Migrated, Package, rows
from gateway.board.reactions import REACTIONS
from gateway.streams.actions import BACKLOG_MAX, LOOK_EVERY_S
from gateway_site import site
from marketkit.db import Database
from marketkit.facts import Fact
from marketkit.inbox import rebuild
from marketkit.outbox import Placed
from sale_story import SALE, Story
from told_board import ENERGY, Teller, hear

ADDRESS = "/v1/board/stream"
PATIENCE_S = 10.0
KEEP_ALIVE_S = 0.2
SEALED: list[tuple[str, Fact]] = [
    (SALE, told.SaleRegistered(registration_id="canary")),
    (SALE, told.SealedBidPlaced(receipt_id="canary", commitment="canary")),
    (SALE, told.DepositConfirmed(registration_id="canary")),
]


@dataclass(frozen=True)
class Heard:
    """One event of the stream; a comment has none of the three."""

    kind: str = ""
    id: str = ""
    data: str = ""


class Listener:
    """Reads a stream, event by event."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> Heard:
        """The next event or comment; StopAsyncIteration at the end."""
        found = {"event": "", "id": "", "data": ""}
        async with asyncio.timeout(PATIENCE_S):
            while line := await anext(self._lines):
                name, _, value = line.partition(": ")
                found[name] = value
        return Heard(found["event"], found["id"], found["data"])

    async def changes(self, count: int) -> list[Heard]:
        """The next events that say something changed; comments are passed over."""
        found: list[Heard] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(found) < count:
                heard = await self.next()
                if heard.kind:
                    found.append(heard)
        return found


@asynccontextmanager
async def listening(address: str, since: str = "", **query: str) -> AsyncIterator[Listener]:
    headers = {"Last-Event-ID": since} if since else {}
    async with (
        httpx.AsyncClient(base_url=address, timeout=PATIENCE_S, trust_env=False) as client,
        client.stream("GET", ADDRESS, headers=headers, params=query) as answer,
    ):
        yield Listener(answer)


@pytest.fixture
async def address(gateway_house: Database) -> AsyncIterator[str]:
    async with site(gateway_house, keep_alive_s=KEEP_ALIVE_S) as found:
        yield found


@pytest.fixture
def teller(gateway_house: Database) -> Teller:
    return Teller(gateway_house)


def kinds(heard: list[Heard]) -> list[str]:
    return [json.loads(one.data)["kind"] for one in heard]


def announced() -> list[tuple[str, Fact]]:
    return [one for one in Story().facts() if isinstance(one[1], told.SaleAnnounced)]


async def taken_in(house: Database, events: list[Placed]) -> None:
    """React and move the positions, as the reader does."""
    await hear(house, events)
    for one in events:
        await rows(
            house,
            "INSERT INTO position (source, partition, epoch, sequence, chain, is_forked) "
            "VALUES (:source, :partition, 1, :sequence, '', false) "
            "ON CONFLICT (source, partition) DO UPDATE SET sequence = :sequence",
            source=one.source,
            partition=one.partition,
            sequence=one.sequence,
        )


async def test_a_change_is_told_when_it_happens(address: str, teller: Teller) -> None:
    async with listening(address) as listener:
        assert listener.answer.status_code == 200
        assert listener.answer.headers["content-type"].startswith("text/event-stream")
        assert listener.answer.headers["cache-control"] == "no-cache"
        assert listener.answer.headers["x-accel-buffering"] == "no"
        began = await listener.next()
        assert began.id
        assert not began.data
        await taken_in(teller.house, teller.events(announced()))
        (heard,) = await listener.changes(1)
    assert heard.kind == "change"
    assert json.loads(heard.data) == {
        "market": "energy",
        "kind": "sale.announced",
        "sale_id": SALE,
        "changed_at": "2022-06-01T12:01:00+08:00",
    }


async def test_who_comes_back_hears_what_it_missed_once_and_in_order(
    address: str, teller: Teller
) -> None:
    async with listening(address) as listener:
        await listener.next()
        await taken_in(teller.house, teller.events(announced()))
        (first,) = await listener.changes(1)
    missed: list[tuple[str, Fact]] = [
        (SALE, told.SaleOpenedForBids()),
        *SEALED,
        (SALE, told.SaleSuspended(reason="系统检修")),
    ]
    await taken_in(teller.house, teller.events(missed))
    async with listening(address, since=first.id) as listener:
        heard = await listener.changes(2)
        cancelled = told.SaleCancelled(reason="终止", movements=[])
        await taken_in(teller.house, teller.events([(SALE, cancelled)]))
        heard += await listener.changes(1)
    assert kinds(heard) == ["sale.opened_for_bids", "sale.suspended", "sale.cancelled"]
    async with listening(address, last_event_id=heard[1].id) as listener:
        assert kinds(await listener.changes(1)) == ["sale.cancelled"]
    async with listening(address, since=heard[2].id) as listener:
        assert [(await listener.next()).kind for _ in range(3)] == ["", "", ""]


async def test_every_id_is_a_place_to_go_on_from(address: str, teller: Teller) -> None:
    async with listening(address) as listener:
        ids = [(await listener.next()).id]
        events = teller.events([*Story().facts(), (SALE, told.SaleConfirmed(movements=[]))])
        await taken_in(teller.house, events)
        heard = await listener.changes(7)
    ids += [one.id for one in heard]
    told_kinds = kinds(heard)
    for number, since in enumerate(ids[:-1]):
        async with listening(address, since=since) as listener:
            again = kinds(await listener.changes(len(told_kinds) - number))
        # Those of different keys may come in another order; none is lost or doubled.
        assert sorted(again) == sorted(told_kinds[number:])
        assert [k for k in again if k != "quota.issued"] == [
            k for k in told_kinds[number:] if k != "quota.issued"
        ]


@pytest.mark.parametrize("given", ["1", "AAAA", "x" * 300, "你好", "A" * 224])
async def test_an_id_of_nobodys_is_refused(address: str, given: str) -> None:
    async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
        answer = await client.get(ADDRESS, params={"last_event_id": given})
    assert (answer.status_code, answer.json()["code"]) == (400, "STREAM_POSITION_FORGED")


async def test_a_changed_id_is_refused(address: str) -> None:
    async with listening(address) as listener:
        given = (await listener.next()).id
    swapped = ("B" if given[40] == "A" else "A").join([given[:40], given[41:]])
    async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
        answer = await client.get(ADDRESS, headers={"Last-Event-ID": swapped})
    assert (answer.status_code, answer.json()["code"]) == (400, "STREAM_POSITION_FORGED")


async def test_before_the_opening_the_stream_stays_silent(address: str, teller: Teller) -> None:
    await taken_in(teller.house, teller.events(announced()))
    async with listening(address) as listener:
        before = await listener.next()
        assert not before.data
        for _ in range(5):
            await taken_in(teller.house, teller.events(SEALED))
        heard = [await listener.next() for _ in range(4)]
        assert heard == [Heard()] * 4
    async with listening(address) as listener:
        after = await listener.next()
    # An id is of one length and never twice the same: it counts nothing.
    assert len(after.id) == len(before.id)
    assert after.id != before.id


async def test_a_silent_stream_is_kept_alive(address: str) -> None:
    async with listening(address) as listener:
        await listener.next()
        began = asyncio.get_running_loop().time()
        assert [await listener.next() for _ in range(5)] == [Heard()] * 5
        assert asyncio.get_running_loop().time() - began < PATIENCE_S / 2


async def test_many_listeners_ask_the_database_no_more_than_one(
    address: str, teller: Teller
) -> None:
    asked: list[str] = []
    engine = teller.house.engine.sync_engine

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    async def statements_of(count: int, fact: Fact) -> int:
        async with AsyncExitStack() as stack:
            listeners = [await stack.enter_async_context(listening(address)) for _ in range(count)]
            for listener in listeners:
                await listener.next()
            await asyncio.sleep(1.2)
            asked.clear()
            await hear(teller.house, teller.events([(SALE, fact)]))
            for listener in listeners:
                await listener.changes(1)
            return len(asked)

    await taken_in(teller.house, teller.events(announced()))
    event.listen(engine, "before_cursor_execute", note)
    try:
        alone = await statements_of(1, told.SaleOpenedForBids())
        together = await statements_of(40, told.SaleSuspended(reason="系统检修"))
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert 0 < together <= alone + 10


async def test_a_stopping_server_ends_its_streams_at_once(gateway_house: Database) -> None:
    async with AsyncExitStack() as stack:
        async with site(gateway_house) as address:
            listeners = [await stack.enter_async_context(listening(address)) for _ in range(10)]
            for listener in listeners:
                await listener.next()
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 3
        for listener in listeners:
            with pytest.raises(StopAsyncIteration):
                await listener.next()


async def test_who_leaves_is_forgotten(address: str, teller: Teller) -> None:
    for _ in range(30):
        async with listening(address) as listener:
            await listener.next()
    await taken_in(teller.house, teller.events(announced()))
    async with listening(address) as listener:
        await listener.next()
        await taken_in(teller.house, teller.events([(SALE, told.SaleOpenedForBids())]))
        assert kinds(await listener.changes(1)) == ["sale.opened_for_bids"]


async def test_an_event_applied_late_is_told_once_it_is(address: str, teller: Teller) -> None:
    """One that was parked stands before where the stream is; it is told all the same."""
    bidding: list[tuple[str, Fact]] = [(SALE, told.SaleOpenedForBids()), (SALE, told.SaleSettled())]
    events = teller.events(announced() + bidding)
    await taken_in(teller.house, events[:1])
    async with listening(address) as listener:
        await listener.next()
        await taken_in(teller.house, events[2:])
        assert kinds(await listener.changes(1)) == ["sale.settled"]
        await hear(teller.house, events[1:2])
        assert kinds(await listener.changes(1)) == ["sale.opened_for_bids"]
        await asyncio.sleep(2 * LOOK_EVERY_S)
        await taken_in(teller.house, teller.events([(SALE, told.SaleArchived())]))
        assert kinds(await listener.changes(1)) == ["sale.archived"]


async def test_who_missed_too_much_is_told_to_look_anew(
    gateway_house: Database, address: str
) -> None:
    async with listening(address) as listener:
        began = await listener.next()
    await rows(
        gateway_house,
        "WITH told AS (INSERT INTO projection.change SELECT :source, 0, n, 'energy', "
        "'quota.issued', '', now() FROM generate_series(1, :count) n) INSERT INTO position "
        "SELECT :source, n, 1, :count, '', false FROM generate_series(0, 5) n",
        source=ENERGY,
        count=BACKLOG_MAX + 1,
    )
    async with listening(address, since=began.id) as listener:
        await listener.next()
        assert [heard.kind for heard in await listener.changes(1)] == ["reset"]


async def begin_another_life(house: Database) -> None:
    """A source was restored: what was read of it is emptied, and its epoch is higher."""
    await house.run(lambda session: rebuild(session, REACTIONS, ENERGY, 2), "worker")


async def test_who_listens_when_a_source_begins_another_life_looks_anew(
    address: str, teller: Teller
) -> None:
    events = teller.events(announced())
    await taken_in(teller.house, events)
    async with listening(address) as listener:
        await listener.next()
        await begin_another_life(teller.house)
        (reset,) = await listener.changes(1)
        assert reset.kind == "reset"
        await hear(teller.house, events)
        assert kinds(await listener.changes(1)) == ["sale.announced"]
    async with listening(address, since=reset.id) as listener:
        assert kinds(await listener.changes(1)) == ["sale.announced"]


@pytest.mark.parametrize("pause_s", [0.0, 4 * LOOK_EVERY_S])
async def test_who_comes_back_into_another_life_of_a_source_looks_anew(
    address: str, teller: Teller, pause_s: float
) -> None:
    """Whether or not somebody looks at the board meanwhile."""
    await taken_in(teller.house, teller.events(announced()))
    async with listening(address) as listener:
        began = await listener.next()
    await begin_another_life(teller.house)
    await asyncio.sleep(pause_s)
    async with listening(address, since=began.id) as listener:
        await listener.next()
        assert [heard.kind for heard in await listener.changes(1)] == ["reset"]


def looking(database: Migrated) -> int:
    """How many connections look at the board for those who listen."""
    with database.superuser() as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = '/370500/gateway board'"
        ).fetchone()
    assert found is not None
    return int(found[0])


async def until_nobody_looks(database: Migrated) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while looking(database):
            await asyncio.sleep(0.1)


async def test_one_connection_looks_for_all_and_ends_with_the_last(
    migrated: Callable[[Package], Migrated], address: str
) -> None:
    database = migrated(GATEWAY)
    await until_nobody_looks(database)
    async with AsyncExitStack() as streams:
        for _ in range(5):
            await (await streams.enter_async_context(listening(address))).next()
        assert looking(database) == 1
    await until_nobody_looks(database)
