"""Facts taken in: each applied once, in its place, together with the position that says so.

A record from the wire is a hint. Applied is only what carries a good MAC, the owner's epoch, the
next sequence and the chain; everything else is fetched from the owner's feed.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from prometheus_client import Counter, Gauge
from sqlalchemy import LargeBinary, SmallInteger, UniqueConstraint
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import Field, col, select

from marketkit.db import KitTable, Minor, Session, new_id, sql
from marketkit.errors import DEFECTS, Refusal
from marketkit.logs import said_of
from marketkit.outbox import PARTITIONS, Placed
from marketkit.reactions import Reactions, Waiting
from marketkit.signing import ZERO, chain_after, same

DISCARDED = Counter("yaosu_inbox_discarded_total", "Records not believed", ["source", "reason"])
PARKED = Gauge("yaosu_inbox_parked", "Events parked", ["source"])
FORKED = Gauge("yaosu_inbox_forked", "1 if the source contradicts what was read", ["source"])


class Position(KitTable, table=True):
    """How far a source's partition is applied; moves in the transaction that applies."""

    source: str = Field(primary_key=True)
    partition: int = Field(primary_key=True, sa_type=SmallInteger)
    epoch: int = Field(sa_type=Minor)
    sequence: int = Field(sa_type=Minor)
    chain: bytes = Field(sa_type=LargeBinary)
    is_forked: bool = False


class Parked(KitTable, table=True):
    """An event that could not be applied: WAITING for a key, BROKEN, or BEHIND such a one."""

    __table_args__ = (UniqueConstraint("source", "partition", "sequence"),)
    id: str = Field(primary_key=True)
    source: str
    partition: int = Field(sa_type=SmallInteger)
    sequence: int = Field(sa_type=Minor)
    key: str = Field(index=True)
    event: bytes = Field(sa_type=LargeBinary)
    verdict: str
    waits_for: str = ""
    error: str = ""


# Events with the MACs they came with.
Carried = Sequence[tuple[Placed, bytes]]
# What a defect or an unknown shape raises; what only passes by is raised again.
POISON = (*DEFECTS, Refusal, SQLAlchemyError, Waiting)
_DEFECTS_OF_SQL = (IntegrityError, DataError, ProgrammingError)


def is_passing(error: Exception) -> bool:
    """Whether the same may succeed later: a broken link, a timeout, a deadlock, a full pool."""
    return isinstance(error, DBAPIError | PoolTimeout) and not isinstance(error, _DEFECTS_OF_SQL)


@dataclass(frozen=True)
class Taken:
    """What became of a batch: how many were applied, and whether the next is not what it should be.

    `is_broken_chain`: the event in the very next place, from the owner, does not continue ours.
    `upto`: epoch and sequence of the last that was the owner's, new to us or not.
    """

    applied_count: int
    has_hole: bool = False
    is_broken_chain: bool = False
    upto: tuple[int, int] = field(default=(0, 0), compare=False)


async def positions_of(
    session: Session, source: str, among: Collection[int] = range(PARTITIONS), *, lock: bool = True
) -> dict[int, Position]:
    """Positions of a source, locked in order; made at the log's beginning if there are none."""
    query = select(Position).where(Position.source == source, col(Position.partition).in_(among))
    query = query.order_by(col(Position.partition))
    query = query.with_for_update() if lock else query
    found = (await session.exec(query)).all()
    if not found:
        await _make_missing(session, source)
        found = (await session.exec(query)).all()
    return {position.partition: position for position in found}


async def _make_missing(session: Session, source: str) -> None:
    first = {"source": source, "epoch": 1, "sequence": 0, "chain": ZERO, "is_forked": False}
    rows = [first | {"partition": number} for number in range(PARTITIONS)]
    await session.exec(upsert(Position).values(rows).on_conflict_do_nothing())


async def take_in(
    session: Session,
    reactions: Reactions,
    events: Carried,
    mac_key: bytes,
    *,
    singly: bool = False,
) -> dict[int, Taken]:
    """Apply what continues the positions, in this transaction; drop what is done already.

    Args:
        session: A transaction of role `worker`.
        reactions: What to run.
        events: Of one source, in any order.
        mac_key: The key only services hold.
        singly: Each in a savepoint, so that one that fails is parked and the others stand.
    """
    source = events[0][0].source
    taken: dict[int, Taken] = {}
    next_ones: list[Placed] = []
    positions = await positions_of(session, source, {event.partition for event, _ in events})
    parked_keys = await _parked_keys(session, source)
    for number, position in positions.items():
        own = [pair for pair in events if pair[0].partition == number]
        taken[number], believed = (
            (Taken(0), []) if position.is_forked else _believed(position, own, mac_key)
        )
        next_ones += believed
    if not next_ones:
        return taken
    if singly or parked_keys:
        for event in next_ones:
            await _apply_or_park(session, reactions, event, parked_keys, singly=singly)
    else:
        await reactions.apply(session, next_ones)
    await session.flush()
    return taken


def _believed(position: Position, events: Carried, mac_key: bytes) -> tuple[Taken, list[Placed]]:
    """What continues the position, which moves behind it, and why no more does."""
    next_ones: list[Placed] = []
    # The row is told once: to set its columns for every event costs more than to check the chain.
    sequence, chain = position.sequence, position.chain
    upto, has_hole, is_broken_chain = (0, 0), False, False
    for event, mac in sorted(events, key=lambda pair: pair[0].sequence):
        if event.epoch != position.epoch or not same(mac, event.mac(mac_key)):
            DISCARDED.labels(event.source, "mac_or_epoch").inc()
            continue
        upto = event.epoch, event.sequence
        if event.sequence <= sequence:
            continue
        if event.sequence > sequence + 1:
            has_hole = True
            break
        if chain_after(chain, event.event) != event.chain:
            DISCARDED.labels(event.source, "chain").inc()
            is_broken_chain = True
            break
        sequence, chain = event.sequence, event.chain
        next_ones.append(event)
    if next_ones:
        position.sequence, position.chain = sequence, chain
    return Taken(len(next_ones), has_hole, is_broken_chain, upto), next_ones


async def _parked_keys(session: Session, source: str) -> set[str]:
    found = await sql(
        session, "SELECT DISTINCT key FROM parked WHERE source = :source", source=source
    )
    return set(found.scalars())


async def _apply_or_park(
    session: Session,
    reactions: Reactions,
    event: Placed,
    parked_keys: set[str],
    *,
    singly: bool,
) -> None:
    key = _key_of(event)
    if key in parked_keys:
        session.add(_parked(event, key, "BEHIND"))
    elif not singly:
        await reactions.apply(session, [event])
    else:
        verdict = await try_apply(session, reactions, event)
        if verdict is not None:
            session.add(verdict)
            parked_keys.add(key)


async def try_apply(session: Session, reactions: Reactions, event: Placed) -> Parked | None:
    """Apply one event in a savepoint; if it cannot be, nothing of it stays but the answered row."""
    try:
        async with session.begin_nested():
            await reactions.apply(session, [event])
            await session.flush()
    except Waiting as wait:
        return _parked(event, _key_of(event), "WAITING", waits_for=wait.key)
    except POISON as error:
        if is_passing(error):
            raise
        return _parked(event, _key_of(event), "BROKEN", error=said_of(error))
    return None


def _key_of(event: Placed) -> str:
    try:
        key: str = json.loads(event.event)["partitionkey"]
    except (ValueError, LookupError, TypeError):
        return ""  # of an event that cannot be read; applying it says why
    return key


def _parked(
    event: Placed, key: str, verdict: str, *, waits_for: str = "", error: str = ""
) -> Parked:
    return Parked(
        id=new_id(),
        source=event.source,
        partition=event.partition,
        sequence=event.sequence,
        key=key,
        event=event.event,
        verdict=verdict,
        waits_for=waits_for,
        error=error[:2000],
    )


async def retry_parked(session: Session, reactions: Reactions, source: str, verdict: str) -> int:
    """Apply again a source's parked events of one verdict, those behind them following, in order.

    The positions are locked first: the reader's own fence, so that none is parked meanwhile.
    """
    await positions_of(session, source)
    keys = select(Parked.key).where(Parked.source == source, Parked.verdict == verdict)
    query = select(Parked).where(Parked.source == source, col(Parked.key).in_(keys))
    rows = (await session.exec(query.order_by(col(Parked.partition), col(Parked.sequence)))).all()
    done = 0
    stuck: set[str] = set()
    for row in rows:
        if row.key in stuck or row.verdict not in {verdict, "BEHIND"}:
            stuck.add(row.key)
            continue
        event = Placed(source, row.partition, 0, row.sequence, ZERO, row.event)
        failed = await try_apply(session, reactions, event)
        if failed is None:
            await session.delete(row)
            done += 1
        else:
            row.verdict, row.waits_for, row.error = failed.verdict, failed.waits_for, failed.error
            stuck.add(row.key)
    await session.flush()
    return done


async def mark_forked(session: Session, source: str) -> None:
    """Stop a source that contradicts what was read from it, until its epoch is raised."""
    for position in (await positions_of(session, source)).values():
        position.is_forked = True
    FORKED.labels(source).set(1)


async def rebuild(session: Session, reactions: Reactions, source: str, epoch: int) -> None:
    """Take away what the projections have of this source, and start it over in its new epoch.

    What others told stays as it is: a projection's row names the source that told it.
    """
    for position in (await positions_of(session, source)).values():
        position.sequence, position.chain = 0, ZERO
        position.epoch, position.is_forked = epoch, False
    await session.flush()
    await sql(session, "SET LOCAL statement_timeout = '10min'")
    tables = await sql(
        session,
        "SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.columns "
        "WHERE table_schema = :schema AND column_name = 'source' ORDER BY 1",
        schema=reactions.projection,
    )
    for row in tables.all():
        await sql(session, f"DELETE FROM {row.name} WHERE source = :source", source=source)
    await sql(session, "DELETE FROM parked WHERE source = :source", source=source)
    FORKED.labels(source).set(0)
