"""The reader against its owner's feed, with and without what a wire brings, and who lies."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from structlog.testing import capture_logs

from databases import LAND, Migrated, Package, rows
from marketkit.db import Database, Session
from marketkit.feed import FeedDown
from marketkit.inbox import DISCARDED, FORKED, PARKED, positions_of, rebuild
from marketkit.outbox import Placed
from marketkit.reactions import APPLIED, Reactions, Told
from marketkit.reader import LAG, WIRE_PAUSE_S
from marketkit.signing import chain_after
from toys import (
    Noted,
    Readers,
    Record,
    counting,
    counts,
    log_of,
    projection,
    record_of,
    tell_facts,
    tell_many,
)

pytestmark = pytest.mark.usefixtures("gateway_toy")
Databases = Callable[[Package], Migrated]
SOURCE = "/370500/land-index"
WAITING = (
    "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE NOT granted AND datname = current_database()"
)


async def all_events(house: Database) -> list[Placed]:
    return [event for events in (await log_of(house)).values() for event in events]


def figure(metric: Any, *labels: str) -> float:
    return float(metric.labels(SOURCE, *labels)._value.get())


async def test_from_nothing_it_follows_the_feed(readers: Readers) -> None:
    await tell_many(readers.owner)
    await readers.reader.compare()
    assert await readers.is_level()
    assert await counts(readers.house) == {f"key-{n}": 5 for n in range(12)}
    await readers.reader.compare()
    assert figure(LAG) == 0
    readers.transport.asked.clear()
    await readers.reader.compare()
    assert readers.transport.asked == ["/v1/events/heads", "/v1/checkpoints"]


async def test_a_long_log_is_fetched_in_ranges(readers: Readers) -> None:
    await tell_facts(readers.owner, *(("key-1", Noted(number=n)) for n in range(501)))
    await readers.reader.compare()
    assert await counts(readers.house) == {"key-1": 501}
    assert readers.transport.asked.count("/v1/events") == 3


async def test_rows_another_process_is_at_are_left_to_it_and_looked_at_again(
    readers: Readers,
) -> None:
    await tell_many(readers.owner)
    records = [record_of(event) for event in await all_events(readers.owner)]
    await readers.house.run(lambda session: positions_of(session, SOURCE), "worker")
    house = replace(readers.house)  # without a test's patience
    reader = replace(readers.reader, house=house)
    async with readers.house.transaction("worker") as other:
        await positions_of(other, SOURCE, [2])
        with capture_logs() as said:
            await reader.on_hints([one for one in records if one.partition == 2])
            await reader.compare()
        assert [one["event"] for one in said].count("left_to_another") == 2
        applied, told = await counts(readers.house), await log_of(readers.owner)
        assert sum(applied.values()) == 60 - len(told[2])
    await house.close()
    await readers.reader.compare()
    assert await readers.is_level()


async def test_rows_taken_before_a_spoilt_batch_is_taken_singly_are_left(readers: Readers) -> None:
    await tell_facts(readers.owner, ("key-1", Noted(number=1)))
    looking = asyncio.Event()
    reactions, waiting, house = Reactions("toy"), [], replace(readers.house)

    async def look() -> None:
        async with readers.house.transaction("worker") as session:
            await positions_of(session, SOURCE)
            await looking.wait()

    @reactions.to(Noted, "land")
    async def fail(session: Session, told: Told[Noted]) -> None:
        waiting.append(asyncio.create_task(look()))
        while not await rows(readers.house, WAITING):
            await asyncio.sleep(0.01)
        raise LookupError

    with capture_logs() as said:
        await replace(readers.another(reactions), house=house).compare()
    told = [one["event"] for one in said if one["event"] != "request"]
    assert told == ["batch_taken_singly", "left_to_another"]
    looking.set()
    await asyncio.gather(*waiting)
    await house.close()
    await readers.reader.compare()
    assert await readers.is_level()


async def test_records_sent_twice_and_in_disorder_are_applied_once(readers: Readers) -> None:
    await tell_many(readers.owner)
    records = [record_of(event) for event in await all_events(readers.owner)]
    draw = Random(1)
    draw.shuffle(records)
    before = figure(APPLIED)
    for start in range(0, len(records), 7):
        batch = records[start : start + 7]
        await readers.reader.on_hints([*batch, *draw.choices(records, k=3), *batch])
    assert await readers.is_level()
    assert await counts(readers.house) == {f"key-{n}": 5 for n in range(12)}
    assert figure(APPLIED) - before == 60


async def test_records_in_order_need_no_feed(readers: Readers) -> None:
    await tell_many(readers.owner)
    await readers.reader.on_hints([record_of(event) for event in await all_events(readers.owner)])
    assert await readers.is_level()
    assert readers.transport.asked == []


async def test_a_hole_is_healed_from_the_feed(readers: Readers) -> None:
    await tell_facts(readers.owner, *(("key-1", Noted(number=n)) for n in range(9)))
    events = await all_events(readers.owner)
    await readers.reader.on_hints([record_of(event) for event in events[:3]])
    await readers.reader.on_hints([record_of(events[8])])
    assert await readers.is_level()
    assert await counts(readers.house) == {"key-1": 9}


async def test_what_the_wire_is_bringing_is_not_fetched_but_a_quiet_wire_is(
    readers: Readers,
) -> None:
    await tell_facts(readers.owner, *(("key-1", Noted(number=n)) for n in range(9)))
    events = await all_events(readers.owner)
    await readers.reader.on_hints([record_of(event) for event in events[:3]])
    await readers.reader.compare(trusts_wire=True)
    assert await readers.positions() == {events[0].partition: 3}
    await asyncio.sleep(WIRE_PAUSE_S)
    await readers.reader.compare(trusts_wire=True)
    assert await readers.is_level()


async def test_a_wire_behind_the_feed_is_trusted_only_while_it_comes_farther(
    readers: Readers,
) -> None:
    await tell_facts(readers.owner, *(("key-1", Noted(number=n)) for n in range(9)))
    events = await all_events(readers.owner)
    await readers.reader.compare()
    await tell_facts(readers.owner, ("key-1", Noted(number=9)))
    for _ in range(2):
        await readers.reader.on_hints([record_of(event) for event in events[:5]])
        assert await readers.positions() == {events[0].partition: 9}
        await readers.reader.compare(trusts_wire=True)
        await asyncio.sleep(WIRE_PAUSE_S)
    assert await readers.is_level()


async def test_a_forged_record_is_counted_not_believed_and_its_place_healed(
    readers: Readers,
) -> None:
    await tell_facts(readers.owner, ("key-1", Noted(number=1)), ("key-1", Noted(number=2)))
    first, second = await all_events(readers.owner)
    await readers.reader.on_hints([record_of(first)])
    body = second.event.replace(b'"number":2', b'"number":666')
    forged = second._replace(event=body, chain=chain_after(first.chain, body))
    before = figure(DISCARDED, "mac_or_epoch")
    await readers.reader.on_hints([record_of(forged, bytes(32))])
    assert figure(DISCARDED, "mac_or_epoch") == before + 1
    assert await readers.positions() == {first.partition: 1}
    await readers.reader.on_hints([record_of(second)])
    assert await readers.is_level()
    await readers.reader.compare()
    assert not any(row.is_forked for row in await rows(readers.house, "SELECT * FROM position"))


JUNK: dict[str, Callable[[Placed], Record]] = {
    "tombstone": lambda e: Record(e.partition, None, record_of(e).headers),
    "empty": lambda e: Record(e.partition, b"", record_of(e).headers),
    "5 MB": lambda e: Record(e.partition, b"x" * 5_000_000, record_of(e).headers),
    "no json": lambda e: Record(e.partition, b"\xff\x00", record_of(e).headers),
    "no headers": lambda e: Record(e.partition, e.event, []),
    "header bomb": lambda e: Record(e.partition, e.event, [(f"h{n}", b"x") for n in range(9_999)]),
    "no mac": lambda e: Record(e.partition, e.event, list(record_of(e).headers)[:3]),
    "null headers": lambda e: record_of(e, chain=None, mac=None, epoch=None, sequence=None),
    "null mac": lambda e: record_of(e, mac=None),
    "null chain": lambda e: record_of(e, chain=None),
    "short mac": lambda e: record_of(e, mac=b"x"),
    "sequence of letters": lambda e: record_of(e, sequence=b"one"),
    "sequence without end": lambda e: record_of(e, sequence=b"1" * 9_999),
    "sequence far off": lambda e: record_of(e, sequence=b"999999999999999999999"),
    "negative sequence": lambda e: record_of(e, sequence=b"-1"),
    "bytes that are no text": lambda e: record_of(e, sequence=b"\xff\xfe"),
    "another epoch": lambda e: record_of(e, epoch=b"2"),
    "another chain": lambda e: record_of(e, chain=bytes(32)),
    "another partition": lambda e: Record((e.partition + 1) % 6, e.event, record_of(e).headers),
}


@pytest.mark.parametrize("junk", JUNK)
async def test_row_90_junk_is_thrown_away_and_the_others_flow(readers: Readers, junk: str) -> None:
    await tell_facts(readers.owner, *(("key-1", Noted(number=n)) for n in range(3)))
    await tell_facts(readers.owner, *(("key-5", Noted(number=n)) for n in range(3)))
    events = await all_events(readers.owner)
    good = [record_of(event) for event in events]
    bad = [JUNK[junk](event) for event in events]
    await readers.reader.on_hints([bad[0], *good[1:], *bad[1:], good[0]])
    await readers.reader.compare()
    assert await readers.is_level()
    assert await counts(readers.house) == {"key-1": 3, "key-5": 3}


async def test_an_owner_restored_to_an_older_state_stops_its_readers(
    readers: Readers, migrated: Databases
) -> None:
    await tell_facts(readers.owner, *(("key-1", Noted(number=n)) for n in range(5)))
    await readers.reader.compare()
    await forget_after(migrated, 3, (await all_events(readers.owner))[2])
    with capture_logs() as logs:
        await readers.reader.compare()
    assert "source_forked" in {line["event"] for line in logs if line["log_level"] == "error"}
    assert figure(FORKED) == 1
    # It goes on to another 4 and 5, and beyond: none of it is taken in.
    await tell_facts(readers.owner, *(("key-1", Noted(number=n)) for n in range(90, 95)))
    records = [record_of(event) for event in await all_events(readers.owner)]
    await readers.reader.on_hints(records)
    await readers.reader.compare()
    assert await counts(readers.house) == {"key-1": 5}
    # One that starts anew still says so.
    FORKED.labels(SOURCE).set(0)
    await readers.another().compare()
    assert figure(FORKED) == 1


async def forget_after(migrated: Databases, sequence: int, head: Placed) -> None:
    with migrated(LAND).superuser() as connection:
        connection.execute("SET session_replication_role = replica")
        forget = f"DELETE FROM log WHERE partition = {head.partition} AND sequence > {sequence}"
        connection.execute(forget.encode())
        connection.execute(
            "UPDATE partition_head SET sequence = %s, chain = %s WHERE partition = %s",
            [sequence, head.chain, head.partition],
        )


async def test_an_owner_that_rewrote_its_history_stops_its_readers(
    readers: Readers, migrated: Databases
) -> None:
    """It is longer than what was read, so only the chain shows it."""
    await tell_facts(readers.owner, *(("key-1", Noted(number=n)) for n in range(5)))
    await readers.reader.compare()
    await forget_after(migrated, 3, (await all_events(readers.owner))[2])
    await tell_facts(readers.owner, *(("key-1", Noted(number=n)) for n in range(90, 99)))
    before = await projection(readers.house)
    with capture_logs() as logs:
        await readers.reader.compare()
    assert "source_forked" in {line["event"] for line in logs}
    assert await projection(readers.house) == before


async def test_a_rewritten_head_shows_at_the_same_length(
    readers: Readers, migrated: Databases
) -> None:
    await tell_facts(readers.owner, *(("key-1", Noted(number=n)) for n in range(5)))
    await readers.reader.compare()
    await forget_after(migrated, 4, (await all_events(readers.owner))[3])
    await tell_facts(readers.owner, ("key-1", Noted(number=99)))
    await readers.reader.compare()
    assert all(row.is_forked for row in await rows(readers.house, "SELECT * FROM position"))


async def test_a_raised_epoch_starts_a_fork_over_and_rebuilds_to_the_byte(
    readers: Readers, migrated: Databases
) -> None:
    await tell_many(readers.owner)
    await readers.reader.compare()
    straight = await projection(readers.house)
    await readers.reader.compare()
    (head,) = (event for event in (await log_of(readers.owner))[1] if event.sequence == 1)
    await forget_after(migrated, 1, head)
    await readers.reader.compare()
    assert figure(FORKED) == 1
    await rows(readers.owner, "UPDATE house SET epoch = 2")
    kept = await all_events(readers.owner)
    await readers.reader.compare()
    assert figure(FORKED) == 0
    assert await readers.is_level()
    assert sum((await counts(readers.house)).values()) == len(kept)
    rebuilt = await projection(readers.house)
    home = set((await counts(readers.house)).items())
    assert {row for row in straight if (row.key, 5) in home} <= set(rebuilt)
    await readers.house.run(lambda s: rebuild(s, counting(), SOURCE, 2), "worker")
    await readers.reader.compare()
    assert await projection(readers.house) == rebuilt


async def test_an_owner_in_an_earlier_life_has_forked(readers: Readers) -> None:
    await rows(readers.owner, "UPDATE house SET epoch = 3")
    await tell_many(readers.owner)
    await readers.reader.compare()
    assert await readers.is_level()
    await rows(readers.owner, "UPDATE house SET epoch = 2")
    await readers.reader.compare()
    assert all(row.is_forked for row in await rows(readers.house, "SELECT * FROM position"))


async def test_facts_applied_while_heads_are_asked_for_are_no_fork(readers: Readers) -> None:
    """The heads are those of a moment ago; the wire may have brought more meanwhile."""
    await tell_facts(readers.owner, ("key-1", Noted(number=1)))
    await readers.reader.compare()

    async def bring_more() -> None:
        readers.transport.after_heads = None
        await tell_facts(readers.owner, ("key-1", Noted(number=2)))
        await readers.another().on_hints(
            [record_of(event) for event in await all_events(readers.owner)]
        )

    readers.transport.after_heads = bring_more
    await readers.reader.compare()
    assert not any(row.is_forked for row in await rows(readers.house, "SELECT * FROM position"))
    assert await readers.is_level()
    assert await counts(readers.house) == {"key-1": 2}


async def test_two_readers_at_once_apply_each_event_once(readers: Readers) -> None:
    both = [readers.reader, readers.another()]
    for start in range(0, 120, 40):
        await tell_many(readers.owner, start, 40)
        records = [record_of(event) for event in await all_events(readers.owner)]
        work = [reader.on_hints(records[n::2]) for n, reader in enumerate(both)]
        work += [reader.compare() for reader in both]
        await asyncio.gather(*work)
    assert await readers.is_level()
    assert sum((await counts(readers.house)).values()) == 120
    straight = await projection(readers.house)
    await readers.house.run(lambda s: rebuild(s, counting(), SOURCE, 1), "worker")
    await readers.reader.compare()
    assert await projection(readers.house) == straight


async def test_what_waits_is_retried_by_itself(readers: Readers) -> None:
    await tell_facts(readers.owner, ("key-1", Noted(number=1, fault="wait:key-2")))
    await readers.reader.compare()
    assert await readers.reader.retry_waiting() == 0
    assert figure(PARKED) == 1
    await tell_facts(readers.owner, ("key-2", Noted(number=2)))
    await readers.reader.compare()
    assert await readers.reader.retry_waiting() == 1
    assert await counts(readers.house) == {"key-1": 1, "key-2": 1}
    assert figure(PARKED) == 0


async def test_what_is_broken_waits_for_a_person_and_keeps_nobody_from_its_rows(
    readers: Readers,
) -> None:
    await tell_facts(readers.owner, ("key-1", Noted(number=1, fault="lookup")))
    await readers.reader.compare()
    async with readers.house.transaction("worker") as other:
        await positions_of(other, SOURCE)
        assert await asyncio.wait_for(readers.reader.retry_waiting(), 5) == 0
    assert figure(PARKED) == 1


async def test_an_owner_out_of_reach_is_waited_for(readers: Readers) -> None:
    await tell_many(readers.owner)
    readers.transport.is_down = True
    with pytest.raises(FeedDown):
        await readers.reader.compare()
    # What the wire brings is applied all the same, as far as it fits.
    records = [record_of(event) for event in await all_events(readers.owner)]
    await readers.reader.on_hints(records[:-1])
    await readers.reader.on_hints([record_of((await all_events(readers.owner))[-1])])
    assert await readers.is_level()


async def test_a_hole_of_an_owner_out_of_reach_stops_nobody(readers: Readers) -> None:
    await tell_facts(readers.owner, *(("key-1", Noted(number=n)) for n in range(3)))
    records = [record_of(event) for event in await all_events(readers.owner)]
    readers.transport.is_down = True
    await readers.reader.on_hints(records[2:])
    assert await counts(readers.house) == {}
    readers.transport.is_down = False
    await readers.reader.compare()
    assert await counts(readers.house) == {"key-1": 3}
