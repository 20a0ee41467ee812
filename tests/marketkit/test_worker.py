"""The loops beside the requests, by themselves and all together from an owner to its reader."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from brokers import Broker
from builders import MAC_KEY, a_lot, an_issue
from databases import LAND, Migrated, Package, rows
from marketkit import worker
from marketkit.closings import CHECKED, IMBALANCE, Books, check_ledger
from marketkit.db import Database, Session
from marketkit.inbox import rebuild
from marketkit.kafka import WireDown, listening
from marketkit.outbox import tell
from marketkit.reader import reader_loops
from marketkit.worker import (
    CLOCK_OFFSET,
    RESTARTS,
    UNSEQUENCED,
    Bells,
    Loop,
    measure,
    pause_s,
    relay_forever,
    standard_loops,
)
from toys import TOPIC, Noted, Readers, counting, counts, log_of, projection

Databases = Callable[[Package], Migrated]
SOURCE = "/370500/land-index"


@asynccontextmanager
async def running(loops: Sequence[Loop]) -> AsyncIterator[None]:
    stop = asyncio.Event()
    working = asyncio.create_task(worker.run(loops, stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(working, 8)


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not await holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        await asyncio.sleep(0.05)


async def note(house: Database, key: str, number: int) -> None:
    async def work(session: Session) -> None:
        await tell(session, Noted(number=number), key=key)

    await house.run(work)


def test_a_loop_waits_longer_each_time_and_never_too_long() -> None:
    assert [pause_s(n) for n in (0, 1, 2, 3)] == [0.1, 0.2, 0.4, 0.8]
    assert {pause_s(n) for n in (6, 100, 5_000, 10**9)} == {5.0}


async def test_a_loop_outlives_what_befalls_it() -> None:
    begun = []

    async def fall() -> None:
        begun.append(1)
        match len(begun):
            case 1:
                raise WireDown("KafkaConnectionError")
            case 2:
                raise LookupError
            case 3:
                # As a consumer's `stop` lets out its own fetch's, when its broker has gone.
                raise asyncio.CancelledError
            case 4:
                return
        await asyncio.sleep(60)

    async def is_well() -> bool:
        return len(begun) == 5

    with capture_logs() as logs:
        async with running([Loop("toy", fall)]):
            await until(is_well)
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("task_waits", "warning"),
        ("task_failed", "error"),
        ("task_failed", "error"),
    ]
    assert RESTARTS.labels("toy")._value.get() == 4


async def test_a_worker_without_loops_ends_too() -> None:
    async with running([]):
        pass


@pytest.mark.slow
async def test_a_loop_that_clings_does_not_hold_the_worker() -> None:
    let_go = asyncio.Event()

    async def cling() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(6)
            let_go.set()

    async with running([Loop("clings", cling)]):
        await asyncio.sleep(0.01)
        began = time.monotonic()
    assert 4.5 < time.monotonic() - began < 9
    await asyncio.wait_for(let_go.wait(), 5)


async def test_of_two_bells_one_has_the_relays_lease_also_after_it_was_lost(
    kit_house: Database, migrated: Databases
) -> None:
    bells = [Bells(kit_house), Bells(kit_house)]
    held = (
        "FROM pg_locks WHERE locktype = 'advisory' AND objid = 7370501 AND granted "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with migrated(LAND).superuser() as connection:

        def holder() -> int | None:
            found = connection.execute(f"SELECT pid {held}".encode()).fetchone()
            return found[0] if found else None

        async def one_holds_it() -> bool:
            return holder() is not None and sum(bell.is_relay for bell in bells) == 1

        async with running([Loop("bells", bell.listen_safely) for bell in bells]):
            await until(one_holds_it)
            first = holder()
            connection.execute(f"SELECT pg_terminate_backend(pid) {held}".encode())

            async def another_holds_it() -> bool:
                return holder() != first and await one_holds_it()

            await until(another_holds_it)
    assert [bell.is_relay for bell in bells] == [False, False]


async def test_the_clock_runs_its_ticks(kit_house: Database) -> None:
    ticked = []

    async def tick(session: Session) -> None:
        ticked.append(session)

    async def twice() -> bool:
        return len(ticked) >= 2

    async with running([Loop("clock", lambda: worker.clock_forever(kit_house, [tick]))]):
        await until(twice)


async def test_what_cannot_be_told_stops_no_checkpoint_and_no_look_at_the_books(
    kit_house: Database,
) -> None:
    async def tick(session: Session) -> None:
        raise LookupError

    async def is_watched() -> bool:
        return bool(CHECKED._value.get() and await rows(kit_house, "SELECT * FROM checkpoint"))

    await kit_house.run(lambda s: an_issue(s, 500, lot=a_lot("lot-1")))
    CHECKED.set(0)
    async with running(standard_loops(kit_house, "127.0.0.1:1", TOPIC, MAC_KEY, [tick])):
        await until(is_watched)


async def test_an_imbalance_is_shown_and_logged(kit_house: Database, migrated: Databases) -> None:
    await kit_house.run(lambda s: an_issue(s, 500, lot=a_lot("lot-1")))
    books = Books(kit_house)
    await check_ledger(books)
    assert (IMBALANCE.labels("ENERGY")._value.get(), CHECKED._value.get()) == (0, 2)
    with migrated(LAND).superuser() as connection:
        connection.execute("UPDATE balance SET posted = 507 WHERE posted = 500")
    with capture_logs() as logs:
        found = await check_ledger(books)
    assert found.by_asset == {"ENERGY": 7}
    assert IMBALANCE.labels("ENERGY")._value.get() == 7
    assert {"event": "ledger_imbalance", "log_level": "error", "asset": "ENERGY", "amount": 7} in [
        {name: line[name] for name in ("event", "log_level", "asset", "amount")} for line in logs
    ]


async def test_few_events_without_a_place_show_in_no_figure(kit_house: Database) -> None:
    for told, shown in ((99, 0), (1, 100), (100, 200)):
        for number in range(told):
            await note(kit_house, "key", number)
        await kit_house.run(measure, "worker")
        assert UNSEQUENCED._value.get() == shown


async def test_a_clock_that_was_moved_shows(kit_house: Database, migrated: Databases) -> None:
    for moved, shown in (("-90 seconds", -90), ("0", 0)):
        with migrated(LAND).superuser() as connection:
            connection.execute("UPDATE house SET clock_offset = %s::interval", [moved])
        await kit_house.run(measure, "worker")
        assert CLOCK_OFFSET._value.get() == shown


async def test_without_a_broker_the_relay_is_late_whether_or_not_anything_waits(
    kit_house: Database,
) -> None:
    bells = Bells(kit_house)
    assert bells.behind_s() == 0
    dead = "127.0.0.1:1"
    loops = [
        Loop("bells", bells.listen_safely),
        Loop("relay", lambda: relay_forever(kit_house, bells, dead, TOPIC, MAC_KEY)),
    ]
    async with running(loops):
        await until(lambda: _is(bells.is_relay))
        assert bells.behind_s() <= 1
        await until(lambda: _is(bells.behind_s() >= 2))


async def _is(fact: bool) -> bool:
    return fact


@pytest.mark.usefixtures("gateway_toy")
class TestFromOwnerToReader:
    @pytest.fixture
    def readers(self, kit_house: Database, gateway_house: Database) -> Readers:
        return Readers(kit_house, gateway_house)

    def loops(self, broker: Broker, readers: Readers, workers: int = 1) -> list[Loop]:
        """What `workers` workers of the owner and as many of the reader run."""
        made: list[Loop] = []
        for _ in range(workers):
            made += standard_loops(readers.owner, broker.servers, TOPIC, MAC_KEY)
            made += reader_loops(broker.servers, [readers.another()])
        return made

    async def finished(self, readers: Readers, count: int) -> bool:
        told = sum(len(events) for events in (await log_of(readers.owner)).values())
        return told == count and await readers.is_level()

    async def test_what_is_told_is_applied_once(self, broker: Broker, readers: Readers) -> None:
        async with running(self.loops(broker, readers)):
            for number in range(60):
                await note(readers.owner, f"key-{number % 7}", number)
            await until(lambda: self.finished(readers, 60))
        assert sum((await counts(readers.house)).values()) == 60

    async def test_it_comes_by_the_wire_where_there_is_one(
        self, broker: Broker, readers: Readers
    ) -> None:
        readers.transport.is_down = True
        owner = standard_loops(readers.owner, broker.servers, TOPIC, MAC_KEY)
        async with listening(broker.servers, [TOPIC]) as listener, running(owner):
            for number in range(6):
                await note(readers.owner, "key-1", number)

            async def heard() -> bool:
                await readers.reader.on_hints(await listener.hints(0.2))
                return await self.finished(readers, 6)

            await until(heard)

    async def test_without_a_broker_the_feed_carries_it(
        self, broker: Broker, readers: Readers
    ) -> None:
        await asyncio.to_thread(broker.down)
        try:
            async with running(self.loops(broker, readers)):
                for number in range(10):
                    await note(readers.owner, f"key-{number % 7}", number)
                await until(lambda: self.finished(readers, 10))
        finally:
            await asyncio.to_thread(broker.up)

    async def test_the_broker_erased_in_mid_run_loses_nothing(
        self, broker: Broker, readers: Readers
    ) -> None:
        async with running(self.loops(broker, readers)):
            for number in range(60):
                await note(readers.owner, f"key-{number % 7}", number)
                if number in {20, 40}:
                    await asyncio.to_thread(broker.erase)
            await until(lambda: self.finished(readers, 60))
        straight = await projection(readers.house)
        assert sum(row.fact_count for row in straight) == 60
        await readers.house.run(lambda s: rebuild(s, counting(), SOURCE, 1), "worker")
        await readers.reader.compare()
        assert await projection(readers.house) == straight

    async def test_two_workers_of_each_apply_each_event_once(
        self, broker: Broker, readers: Readers
    ) -> None:
        async with running(self.loops(broker, readers, workers=2)):
            await asyncio.gather(
                *(note(readers.owner, f"key-{number % 7}", number) for number in range(60))
            )
            await until(lambda: self.finished(readers, 60))
        assert sum((await counts(readers.house)).values()) == 60
