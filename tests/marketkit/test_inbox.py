"""What a reader takes in, without a wire: each event applied once, in its place, or not at all."""

import re
from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from builders import MAC_KEY
from databases import rows
from marketkit.db import Database, Session, sql
from marketkit.facts import Fact
from marketkit.inbox import Parked, Taken, rebuild, retry_parked, take_in
from marketkit.outbox import PARTITIONS, Placed
from marketkit.reactions import Reactions, Told
from marketkit.signing import ZERO, chain_after, partition_of
from toys import (
    DEFECTS,
    Ignored,
    Misshapen,
    Noted,
    Readers,
    Stepped,
    counting,
    counts,
    log_of,
    projection,
    tell_facts,
)

pytestmark = pytest.mark.usefixtures("gateway_toy")
SOURCE = "/370500/land-index"


def at_home(partition: int, count: int) -> list[str]:
    """Keys that live in one partition."""
    keys = (f"key-{n}" for n in range(10_000))
    found = (key for key in keys if partition_of(key, PARTITIONS) == partition)
    return [next(found) for _ in range(count)]


A, B, C = at_home(2, 3)


async def told_in(owner: Database, *facts: tuple[str, Any]) -> list[Placed]:
    """The events of partition 2 after these facts."""
    await tell_facts(owner, *facts)
    return (await log_of(owner))[2]


async def take(
    house: Database, events: Sequence[Placed], *, singly: bool = False, key: bytes = MAC_KEY
) -> Taken:
    pairs = [(event, event.mac(key)) for event in events]
    taken = await house.run(
        lambda s: take_in(s, counting(), pairs, MAC_KEY, singly=singly), "worker"
    )
    return taken[events[0].partition]


async def position(house: Database) -> tuple[int, bytes]:
    found = await rows(house, "SELECT * FROM position WHERE partition = 2")
    return (found[0].sequence, bytes(found[0].chain)) if found else (0, ZERO)


async def parked(house: Database) -> dict[int, str]:
    return {row.sequence: row.verdict for row in await rows(house, "SELECT * FROM parked")}


async def retry(house: Database, verdict: str) -> int:
    return await house.run(lambda s: retry_parked(s, counting(), SOURCE, verdict), "worker")


async def test_events_and_position_move_in_one_transaction(
    kit_house: Database, gateway_house: Database
) -> None:
    events = await told_in(kit_house, (A, Noted(number=1)), (B, Noted(number=2)))
    assert await take(gateway_house, events) == Taken(2)
    assert await counts(gateway_house) == {A: 1, B: 1}
    assert await position(gateway_house) == (2, events[-1].chain)

    async def fail_after(session: Session) -> None:
        (more,) = (await told_in(kit_house, (A, Noted(number=3))))[2:]
        await take_in(session, counting(), [(more, more.mac(MAC_KEY))], MAC_KEY)
        raise LookupError

    with pytest.raises(LookupError):
        await gateway_house.run(fail_after, "worker")
    assert await counts(gateway_house) == {A: 1, B: 1}
    assert await position(gateway_house) == (2, events[-1].chain)


async def test_doubled_and_shuffled_events_are_applied_once(
    kit_house: Database, gateway_house: Database
) -> None:
    events = await told_in(kit_house, *((A, Noted(number=n)) for n in range(30)))
    draw = Random(7)
    while (await position(gateway_house))[0] < 30:
        await take(gateway_house, draw.choices(events, k=20))
    assert await counts(gateway_house) == {A: 30}
    straight = await projection(gateway_house)
    await gateway_house.run(lambda s: rebuild(s, counting(), SOURCE, 1), "worker")
    await take(gateway_house, events)
    assert await projection(gateway_house) == straight


async def test_a_hole_stops_what_lies_beyond_it(
    kit_house: Database, gateway_house: Database
) -> None:
    events = await told_in(kit_house, *((A, Noted(number=n)) for n in range(4)))
    assert await take(gateway_house, [events[0], events[2], events[3]]) == Taken(1, has_hole=True)
    assert await position(gateway_house) == (1, events[0].chain)


async def test_a_forged_record_is_not_believed(
    kit_house: Database, gateway_house: Database
) -> None:
    """Its chain is right: who can write to the wire can compute it. The key it has not."""
    (event,) = await told_in(kit_house, (A, Noted(number=1)))
    body = event.event.replace(b'"number":1', b'"number":9')
    forged = event._replace(event=body, chain=chain_after(ZERO, body))
    assert await take(gateway_house, [forged], key=bytes(32)) == Taken(0)
    assert await counts(gateway_house) == {}
    assert await position(gateway_house) == (0, ZERO)
    assert await take(gateway_house, [forged, event], key=MAC_KEY) == Taken(1)


async def test_another_epoch_or_chain_is_not_believed(
    kit_house: Database, gateway_house: Database
) -> None:
    first, second = await told_in(kit_house, (A, Noted(number=1)), (A, Noted(number=2)))
    assert await take(gateway_house, [first._replace(epoch=2)]) == Taken(0)
    assert await take(gateway_house, [first._replace(source="/other")]) == Taken(1)
    torn = first._replace(chain=second.chain)
    assert await take(gateway_house, [torn]) == Taken(0, is_broken_chain=True)
    moved = second._replace(sequence=1)
    assert await take(gateway_house, [moved]) == Taken(0, is_broken_chain=True)
    assert await counts(gateway_house) == {A: 1}  # the other source's
    assert await take(gateway_house, [first, second]) == Taken(2)


async def test_a_fact_without_a_reaction_is_passed_over(
    kit_house: Database, gateway_house: Database
) -> None:
    events = await told_in(kit_house, (A, Ignored()), (A, Noted(number=1)))
    assert await take(gateway_house, events) == Taken(2)
    assert await counts(gateway_house) == {A: 1}


@pytest.mark.parametrize("fault", [*DEFECTS, "shape"])
async def test_a_broken_event_is_parked_and_its_aggregates_later_ones_behind_it(
    kit_house: Database, gateway_house: Database, fault: str
) -> None:
    bad = Misshapen(numbers=[1]) if fault == "shape" else Noted(number=2, fault=fault)
    facts = [(A, Noted(number=1)), (A, bad), (B, Noted(number=3)), (A, Noted(number=4))]
    events = await told_in(kit_house, *facts)
    reader = Readers(kit_house, gateway_house).reader
    assert await reader._take([(event, event.mac(MAC_KEY)) for event in events]) == {2: Taken(4)}
    assert await counts(gateway_house) == {A: 1, B: 1}
    assert await parked(gateway_house) == {2: "BROKEN", 4: "BEHIND"}
    (why,) = await rows(gateway_house, "SELECT error FROM parked WHERE verdict = 'BROKEN'")
    assert re.fullmatch(r"\w+: (\w{5}|a key|已满|No row was found .*)?", why.error), why.error
    assert await position(gateway_house) == (4, events[-1].chain)
    more = (await told_in(kit_house, (A, Noted(number=5)), (B, Noted(number=6))))[4:]
    assert await take(gateway_house, more) == Taken(2)
    assert await parked(gateway_house) == {2: "BROKEN", 4: "BEHIND", 5: "BEHIND"}
    # Nobody but two people lets it go on.
    assert await retry(gateway_house, "WAITING") == 0
    assert await retry(gateway_house, "BROKEN") == 0
    assert await parked(gateway_house) == {2: "BROKEN", 4: "BEHIND", 5: "BEHIND"}
    if fault == "shape":
        return
    await rows(gateway_house, "INSERT INTO toy.repaired DEFAULT VALUES")
    assert await retry(gateway_house, "BROKEN") == 3
    assert await parked(gateway_house) == {}
    assert await counts(gateway_house) == {A: 4, B: 2}
    in_order = await projection(gateway_house)
    await gateway_house.run(lambda s: rebuild(s, counting(), SOURCE, 1), "worker")
    await rows(gateway_house, "INSERT INTO toy.repaired DEFAULT VALUES")
    await take(gateway_house, (await log_of(kit_house))[2])
    assert await projection(gateway_house) == in_order


async def test_an_event_that_is_no_json_is_parked_too(
    kit_house: Database, gateway_house: Database
) -> None:
    (good,) = await told_in(kit_house, (A, Noted(number=1)))
    nonsense = b"\xff not json"
    bad = Placed(SOURCE, 2, 1, 1, chain_after(ZERO, nonsense), nonsense)
    after = good._replace(sequence=2, chain=chain_after(bad.chain, good.event))
    assert await take(gateway_house, [bad, after], singly=True) == Taken(2)
    assert await parked(gateway_house) == {1: "BROKEN"}
    assert await counts(gateway_house) == {A: 1}


async def test_what_waits_is_retried_when_its_aggregate_is_there(
    kit_house: Database, gateway_house: Database
) -> None:
    facts = [(A, Noted(number=1, fault=f"wait:{C}")), (A, Noted(number=2)), (B, Noted(number=3))]
    events = await told_in(kit_house, *facts)
    assert await take(gateway_house, events, singly=True) == Taken(3)
    assert await parked(gateway_house) == {1: "WAITING", 2: "BEHIND"}
    (row,) = await rows(gateway_house, "SELECT * FROM parked WHERE sequence = 1")
    assert row.waits_for == C
    assert await retry(gateway_house, "WAITING") == 0
    assert await parked(gateway_house) == {1: "WAITING", 2: "BEHIND"}
    await take(gateway_house, (await told_in(kit_house, (C, Noted(number=4))))[3:])
    assert await retry(gateway_house, "WAITING") == 2
    assert await counts(gateway_house) == {A: 2, B: 1, C: 1}
    assert await parked(gateway_house) == {}


async def test_a_broken_link_is_no_defect(kit_house: Database, gateway_house: Database) -> None:
    events = await told_in(kit_house, (A, Noted(number=1)))
    reactions = Reactions("toy")

    @reactions.to(Noted, "land")
    async def time_out(session: Session, told: Told[Noted]) -> None:
        await sql(session, "SET LOCAL statement_timeout = 10")
        await sql(session, "SELECT pg_sleep(1)")

    pairs = [(event, event.mac(MAC_KEY)) for event in events]

    async def take_either_way(session: Session, *, singly: bool) -> None:
        await take_in(session, reactions, pairs, MAC_KEY, singly=singly)

    for singly in (False, True):
        with pytest.raises(OperationalError):
            await gateway_house.run(partial(take_either_way, singly=singly), "worker")
    assert await parked(gateway_house) == {}
    assert await position(gateway_house) == (0, ZERO)


@pytest.mark.parametrize("count", [8, pytest.param(100, marks=pytest.mark.slow)])
async def test_a_rebuild_in_any_interleaving_of_keys_gives_the_same_rows(
    kit_house: Database, gateway_house: Database, count: int
) -> None:
    keys = [f"key-{n}" for n in range(9)]
    await tell_facts(kit_house, *((keys[n % 9], Noted(number=n)) for n in range(60)))
    log = await log_of(kit_house)
    seen = set()
    for seed in range(count):
        draw = Random(seed)
        await gateway_house.run(lambda s: rebuild(s, counting(), SOURCE, 1), "worker")
        assert await counts(gateway_house) == {}
        left = {partition: list(events) for partition, events in log.items() if events}
        while left:
            partition = draw.choice(list(left))
            size = draw.randint(1, 9)
            turn, left[partition] = left[partition][:size], left[partition][size:]
            await take(gateway_house, turn)
            left = {number: events for number, events in left.items() if events}
        seen.add(str(await projection(gateway_house)))
    assert len(seen) == 1


async def test_a_new_epoch_starts_its_source_over_and_no_other(
    kit_house: Database, gateway_house: Database
) -> None:
    events = await told_in(kit_house, (A, Noted(number=1, fault="lookup")), (B, Noted(number=2)))
    await take(gateway_house, events, singly=True)
    theirs = [event._replace(source="/other") for event in events]
    await take(gateway_house, theirs, singly=True)
    await rows(gateway_house, "INSERT INTO toy.thing VALUES ('theirs', 1, '', '/other')")
    query = f"SELECT source FROM {Parked.__tablename__} ORDER BY source"
    parked = {row.source for row in await rows(gateway_house, query)}
    positions = "SELECT * FROM position WHERE source = '/other' ORDER BY partition"
    before = await rows(gateway_house, positions)
    await gateway_house.run(lambda s: rebuild(s, counting(), SOURCE, 7), "worker")
    found = await rows(gateway_house, f"SELECT * FROM position WHERE source = '{SOURCE}'")
    assert {(row.epoch, row.sequence, row.chain) for row in found} == {(7, 0, bytes(32))}
    assert await rows(gateway_house, positions) == before
    assert await counts(gateway_house) == {"theirs": 1}
    left = {row.source for row in await rows(gateway_house, query)}
    assert (parked, left) == ({SOURCE, "/other"}, {"/other"})


async def test_partitions_go_together_and_what_is_wrong_with_one_stops_no_other(
    kit_house: Database, gateway_house: Database
) -> None:
    await tell_facts(kit_house, *((f"key-{n}", Noted(number=n)) for n in range(40)))
    log = {number: events for number, events in (await log_of(kit_house)).items() if events}
    torn, holed, *whole = log
    log[torn][1] = log[torn][1]._replace(chain=ZERO)
    del log[holed][1]
    told = [event for events in log.values() for event in events]
    pairs = [(event, event.mac(MAC_KEY)) for event in reversed(told)]
    taken = await gateway_house.run(lambda s: take_in(s, counting(), pairs, MAC_KEY), "worker")
    assert taken.pop(torn) == Taken(1, is_broken_chain=True)
    assert taken.pop(holed) == Taken(1, has_hole=True)
    assert taken == {number: Taken(len(log[number])) for number in whole}
    found = await rows(gateway_house, "SELECT partition, sequence FROM position")
    wanted = {number: len(log[number]) for number in whole} | {torn: 1, holed: 1}
    assert {row.partition: row.sequence for row in found if row.sequence} == wanted


async def test_facts_go_by_the_list_and_every_keys_own_stay_in_order(
    kit_house: Database, gateway_house: Database
) -> None:
    told: list[tuple[str, Fact]] = [
        (A, Noted(number=1)),
        (B, Noted(number=2)),
        (B, Stepped(number=3)),
    ]
    told += [(C, Noted(number=4)), (A, Stepped(number=5)), (A, Noted(number=6)), (C, Ignored())]
    await tell_facts(kit_house, *told)
    reactions = Reactions("toy")
    lists: list[tuple[str, list[int]]] = []

    @reactions.to_many(Noted, "land")
    async def note(session: Session, facts: Sequence[Told[Noted]]) -> None:
        lists.append(("noted", [one.fact.number for one in facts]))

    @reactions.to(Stepped, "land")
    async def step(session: Session, one: Told[Stepped]) -> None:
        lists.append(("stepped", [one.fact.number]))

    (events,) = [log for log in (await log_of(kit_house)).values() if log]
    await gateway_house.run(lambda s: reactions.apply(s, events), "worker")
    # The second of B waits for its first; C waits for nobody.
    assert lists == [
        ("noted", [1, 2, 4]),
        ("stepped", [3]),
        ("stepped", [5]),
        ("noted", [6]),
    ]


def test_a_fact_has_one_reaction_a_reader() -> None:
    reactions = counting()

    async def other(session: Session, told: Told[Noted]) -> None: ...

    with pytest.raises(AssertionError):
        reactions.to(Noted, "land")(other)
