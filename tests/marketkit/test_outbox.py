import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from builders import NOON
from databases import rows
from marketkit.checkpoint import Checkpoint
from marketkit.db import Database, Role, Session, sql
from marketkit.facts import Fact
from marketkit.outbox import (
    EVENT_BYTES_MAX,
    PARTITIONS,
    RANGE_BYTES_MAX,
    Placed,
    note_sent,
    sequence,
    tell,
    unsent,
)
from marketkit.signing import ZERO, chain_after, partition_of
from marketkit.units import Form
from marketkit.worker import RELAY_BATCH, relay_once, sequence_once
from toys import Noted, Stepped, log_of, sequence_all


async def note(house: Database, key: str, number: int, **said: Any) -> str:
    async def work(session: Session) -> str:
        return await tell(session, Noted(number=number, **said), key=key)

    return await house.run(work)


def check(log: dict[int, list[Placed]]) -> list[dict[str, Any]]:
    """Every partition is contiguous and chained, every key at home; the events, by partition."""
    told = []
    for partition, events in log.items():
        chain = ZERO
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        for event in events:
            chain = chain_after(chain, event.event)
            assert event.chain == chain
            told.append(json.loads(event.event))
            assert partition_of(told[-1]["partitionkey"], PARTITIONS) == partition
    return told


async def test_an_event_says_who_what_and_when(kit_house: Database) -> None:
    async def work(session: Session) -> str:
        fact = Noted(number=7, fault="示例")
        return await tell(session, fact, key="k", region_code="370502", policy_version="v1")

    kit_house.fixed_instant = NOON
    event_id = await kit_house.run(work, actor="issuer|someone")
    await sequence_all(kit_house)
    ((event,),) = (found for found in (await log_of(kit_house)).values() if found)
    assert event.source == "/370500/land-index"
    assert json.loads(event.event) == {
        "specversion": "1.0",
        "id": event_id,
        "source": "/370500/land-index",
        "type": "yaosu.land.thing.noted.v1",
        "subject": "k",
        "time": "2022-06-01T04:00:00+00:00",
        "datacontenttype": "application/json",
        "dataschema": "/schemas/yaosu.land.thing.noted.v1.json",
        "partitionkey": "k",
        "actor": "issuer|someone",
        "regioncode": "370502",
        "policyversion": "v1",
        "data": {"number": 7, "fault": "示例"},
    }
    assert "示例".encode() in event.event


@pytest.mark.parametrize("role", ["scoped", "market", "worker"])
async def test_every_role_can_tell(kit_house: Database, role: Role) -> None:
    async def work(session: Session) -> None:
        await tell(session, Noted(number=1), key="k")

    await kit_house.run(work, role)
    assert await sequence_all(kit_house) == 1


async def test_a_key_keeps_its_order_and_every_chain_its_continuity(kit_house: Database) -> None:
    for number in range(40):
        await note(kit_house, f"key-{number % 9}", number)
    assert await sequence_once(kit_house) == 40
    for number in range(40, 60):
        await note(kit_house, f"key-{number % 9}", number)
        await sequence_once(kit_house)
    told = check(await log_of(kit_house))
    by_key = defaultdict(list)
    for event in told:
        by_key[event["partitionkey"]].append(event["data"]["number"])
    assert sorted(number for numbers in by_key.values() for number in numbers) == list(range(60))
    assert all(numbers == sorted(numbers) for numbers in by_key.values())
    assert await rows(kit_house, "SELECT * FROM outbox") == []


async def test_a_rolled_back_action_tells_nothing(kit_house: Database) -> None:
    async def work(session: Session) -> None:
        await tell(session, Noted(number=1), key="k")
        raise LookupError

    with pytest.raises(LookupError):
        await kit_house.run(work)
    await note(kit_house, "k", 2)
    assert await sequence_all(kit_house) == 1
    told = check(await log_of(kit_house))
    assert [event["data"]["number"] for event in told] == [2]


async def test_two_sequencers_at_once_leave_no_gap_and_no_double(kit_house: Database) -> None:
    async def write(writer: int) -> None:
        for number in range(25):
            await note(kit_house, f"key-{writer}", number)

    ended = asyncio.Event()

    async def keep_sequencing() -> int:
        total = 0
        while not ended.is_set():
            total += await sequence_once(kit_house)
        return total + await sequence_all(kit_house)

    async with asyncio.TaskGroup() as running:
        sequencers = [running.create_task(keep_sequencing()) for _ in range(3)]
        writers = [running.create_task(write(writer)) for writer in range(6)]
        await asyncio.gather(*writers)
        ended.set()
    assert sum(sequencer.result() for sequencer in sequencers) == 150
    told = check(await log_of(kit_house))
    numbers = defaultdict(list)
    for event in told:
        numbers[event["partitionkey"]].append(event["data"]["number"])
    assert numbers == {f"key-{writer}": list(range(25)) for writer in range(6)}


async def test_a_slow_transactions_fact_is_not_lost(kit_house: Database) -> None:
    told_first, may_commit = asyncio.Event(), asyncio.Event()

    async def slow(session: Session) -> None:
        await tell(session, Noted(number=1), key="slow")
        told_first.set()
        await may_commit.wait()

    async with asyncio.TaskGroup() as running:
        running.create_task(kit_house.run(slow))
        await told_first.wait()
        await note(kit_house, "quick", 2)
        assert await sequence_once(kit_house) == 1
        may_commit.set()
    assert await sequence_once(kit_house) == 1
    assert len(check(await log_of(kit_house))) == 2


async def test_whoever_does_not_hold_the_heads_writes_nothing(kit_house: Database) -> None:
    await note(kit_house, "k", 1)
    holding, let_go = asyncio.Event(), asyncio.Event()

    async def hold_back(session: Session) -> int:
        moved = await sequence(session)
        holding.set()
        await let_go.wait()
        return moved.event_count

    async with asyncio.TaskGroup() as running:
        first = running.create_task(kit_house.run(hold_back, "worker"))
        await holding.wait()
        second = running.create_task(sequence_once(kit_house))
        await asyncio.sleep(0.1)
        assert not second.done()
        let_go.set()
    assert (first.result(), second.result()) == (1, 0)


async def test_an_event_beyond_512_kb_is_refused_with_all_its_action_did(
    kit_house: Database,
) -> None:
    async def work(session: Session) -> None:
        await tell(session, Noted(number=1), key="k")
        await tell(session, Noted(number=2, fault="x" * EVENT_BYTES_MAX), key="k")

    with pytest.raises(IntegrityError):
        await kit_house.run(work)
    assert await sequence_all(kit_house) == 0
    await note(kit_house, "k", 3, fault="x" * (EVENT_BYTES_MAX - 1_000))
    assert await sequence_all(kit_house) == 1


async def test_more_than_a_batch_takes_several_turns(kit_house: Database) -> None:
    async def many(session: Session) -> None:
        for number in range(501):
            await tell(session, Noted(number=number), key="k", at=NOON)

    await kit_house.run(many)
    assert [await sequence_once(kit_house) for _ in range(3)] == [500, 1, 0]
    told = check(await log_of(kit_house))
    assert [event["data"]["number"] for event in told] == list(range(501))


async def test_a_step_is_sealed_in_the_transaction_that_places_it(kit_house: Database) -> None:
    await note(kit_house, "k", 1)
    await sequence_once(kit_house)
    assert await rows(kit_house, "SELECT * FROM checkpoint") == []

    async def step(session: Session) -> None:
        await tell(session, Stepped(number=2), key="k")

    await kit_house.run(step)
    await sequence_once(kit_house)
    (sealed,) = await rows(kit_house, f"SELECT body FROM {Checkpoint.__tablename__}")
    partition = partition_of("k", PARTITIONS)
    (head,) = await rows(kit_house, "SELECT * FROM partition_head WHERE sequence = 2")
    said = json.loads(sealed.body)["heads"][partition]
    assert said == {"partition": partition, "sequence": 2, "chain": head.chain.hex()}
    assert Stepped.type_in("land") == "yaosu.land.thing.stepped.v2"


async def test_the_relay_sends_what_the_broker_has_no_word_for(kit_house: Database) -> None:
    for number in range(5):
        await note(kit_house, "k", number)
    await sequence_all(kit_house)
    partition = partition_of("k", PARTITIONS)

    async def left(session: Session) -> list[int]:
        return [event.sequence for event in await unsent(session, 3)]

    async def sent(reached: int) -> None:
        await kit_house.run(lambda session: note_sent(session, {partition: reached}), "worker")

    assert await kit_house.run(left, "worker") == [1, 2, 3]
    await sent(3)
    assert await kit_house.run(left, "worker") == [4, 5]
    await sent(1)  # a relay that slept
    assert await kit_house.run(left, "worker") == [4, 5]


class Taking:
    """A broker that takes all."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    async def send(self, events: Sequence[Placed]) -> list[Placed]:
        self.taken += [event.sequence for event in events]
        return []


@pytest.mark.parametrize(
    ("count", "size"), [(20, RANGE_BYTES_MAX // 9), (RELAY_BATCH + 1, 1), (RELAY_BATCH, 1)]
)
async def test_the_relay_says_so_while_a_turn_was_cut(
    kit_house: Database, count: int, size: int
) -> None:
    for number in range(count):
        await note(kit_house, "k", number, fault="x" * size)
    await sequence_all(kit_house)
    wire: Any = Taking()
    turns = 1
    while await relay_once(kit_house, wire):
        turns += 1
    assert wire.taken == list(range(1, count + 1))
    assert turns > 1


async def test_a_turn_that_was_not_cut_is_the_last(kit_house: Database) -> None:
    await note(kit_house, "k", 1)
    await sequence_all(kit_house)
    wire: Any = Taking()
    assert not await relay_once(kit_house, wire)
    assert wire.taken == [1]


async def test_telling_rings_the_sequencer_and_placing_rings_the_relay(
    kit_house: Database,
) -> None:
    async with kit_house.engine.connect() as listener:
        raw: Any = (await listener.get_raw_connection()).driver_connection
        await raw.set_autocommit(True)
        for channel in ("outbox", "log"):
            await raw.execute(f"LISTEN {channel}")
        await note(kit_house, "k", 1)
        await sequence_once(kit_house)
        heard = [notice.channel async for notice in raw.notifies(timeout=2, stop_after=2)]
        await raw.set_autocommit(False)
        await listener.invalidate()
    assert heard == ["outbox", "log"]


async def test_a_turn_moves_no_more_bytes_than_it_can_and_rings_for_the_rest(
    kit_house: Database,
) -> None:
    for number in range(25):
        await note(kit_house, f"key-{number}", number, fault="x" * 400_000)
    async with kit_house.engine.connect() as listener:
        raw: Any = (await listener.get_raw_connection()).driver_connection
        await raw.set_autocommit(True)
        await raw.execute("LISTEN outbox")
        assert [await sequence_once(kit_house) for _ in range(4)] == [11, 11, 3, 0]
        heard = [notice.channel async for notice in raw.notifies(timeout=2, stop_after=2)]
        await raw.set_autocommit(False)
        await listener.invalidate()
    assert heard == ["outbox", "outbox"]
    assert sorted(event["data"]["number"] for event in check(await log_of(kit_house))) == [
        *range(25)
    ]


@given(st.text(max_size=40))
def test_a_partition_is_one_of_six_and_always_the_same(key: str) -> None:
    assert partition_of(key, PARTITIONS) == partition_of(key, PARTITIONS) in range(PARTITIONS)


def test_partitions_are_known_and_even() -> None:
    # SM3("abc") = 66c7f0f4 62eeedd9 d1f2d46b … (GB/T 32905-2016, example 1)
    assert partition_of("abc", PARTITIONS) == 0x66C7F0F462EEEDD9 % 6
    homes = [partition_of(f"key-{number}", PARTITIONS) for number in range(6_000)]
    assert all(800 < homes.count(partition) < 1_200 for partition in range(PARTITIONS))


async def test_facts_are_forms(kit_house: Database) -> None:
    assert issubclass(Fact, Form)
    with pytest.raises(ValueError, match="extra"):
        Noted(number=1, other=2)  # type: ignore[call-arg]  # what is refused
    (found,) = await rows(kit_house, "SELECT count(*) AS n FROM partition_head")
    assert found.n == PARTITIONS


async def test_the_bytes_in_the_log_are_those_that_were_told(kit_house: Database) -> None:
    async def work(session: Session) -> bytes:
        await tell(session, Noted(number=1, fault='"\\/ \u2028 引号'), key="k")
        found = await session.connection()
        return bytes((await found.exec_driver_sql("SELECT event FROM outbox")).scalar_one())

    told = await kit_house.run(work, "worker")
    await sequence_all(kit_house)
    ((event,),) = (found for found in (await log_of(kit_house)).values() if found)
    assert event.event == told


async def test_an_owner_cannot_forget_a_place(kit_house: Database) -> None:
    async def write_again(session: Session) -> None:
        row = "INSERT INTO log VALUES (0, 1, 'k', '', '')"
        await sql(session, row)
        await sql(session, row)

    with pytest.raises(IntegrityError):
        await kit_house.run(write_again, "worker")
