"""The outbox, the log it is sequenced into, and the relay's place: how facts leave a database.

`tell` is the only way to publish. The sequencer gives each fact its place under the heads' lock.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import CheckConstraint, Identity, LargeBinary, SmallInteger
from sqlmodel import Field, col, select

from marketkit.db import (
    House,
    KitTable,
    Minor,
    Session,
    actor,
    house,
    instant,
    new_id,
    sql,
)
from marketkit.facts import Fact
from marketkit.rows import as_json, insertion
from marketkit.signing import chain_after, partition_of, wire_mac

PARTITIONS = 6
EVENT_BYTES_MAX = 512 * 1024
SEQUENCE_BATCH = 500
RANGE_BYTES_MAX = 4 * 1024 * 1024
# So much at most, and one more event would have fitted in.
UNCUT_BYTES_MAX = RANGE_BYTES_MAX - EVENT_BYTES_MAX


class Outbox(KitTable, table=True):
    """Facts told and not yet sequenced: nearly always empty."""

    __table_args__ = (
        CheckConstraint(f"octet_length(event) <= {EVENT_BYTES_MAX}", name="event_size"),
    )
    id: int | None = Field(
        default=None, primary_key=True, sa_type=Minor, sa_column_args=[Identity()]
    )
    key: str
    is_step: bool
    event: bytes = Field(sa_type=LargeBinary)


class Log(KitTable, table=True):
    """Every fact for ever, each in its place; insert-only by trigger."""

    __table_args__ = (
        CheckConstraint(f"octet_length(event) <= {EVENT_BYTES_MAX}", name="event_size"),
    )
    partition: int = Field(primary_key=True, sa_type=SmallInteger)
    sequence: int = Field(primary_key=True, sa_type=Minor)
    key: str = Field(index=True)
    chain: bytes = Field(sa_type=LargeBinary)
    event: bytes = Field(sa_type=LargeBinary)


class PartitionHead(KitTable, table=True):
    partition: int = Field(primary_key=True, sa_type=SmallInteger)
    sequence: int = Field(sa_type=Minor)
    chain: bytes = Field(sa_type=LargeBinary)


class RelayPosition(KitTable, table=True):
    """How far the relay has the broker's word for."""

    partition: int = Field(primary_key=True, sa_type=SmallInteger)
    sequence: int = Field(sa_type=Minor)


# The first `limit`, ended by the one that reaches the bytes a turn may move.
TAKEN = """
DELETE FROM outbox WHERE id IN (
    SELECT id FROM (
        SELECT id, sum(size) OVER (ORDER BY id) - size AS before FROM (
            SELECT id, octet_length(event) AS size FROM outbox ORDER BY id LIMIT :limit
        ) AS few
    ) AS own WHERE before < :bytes_max
) RETURNING id, key, is_step, event
"""
# Up to `limit` events in their order, with the bytes of them up to each. The epoch comes with them:
# asked for apart, events of a life that ends meanwhile could be told as the next one's.
_RANGE = """
SELECT partition, sequence, chain, event,
    sum(octet_length(event)) OVER (ORDER BY sequence) AS upto
FROM (SELECT * FROM log WHERE log.partition = {partition} AND log.sequence >= {first}
      ORDER BY log.sequence LIMIT :limit) AS few
"""
PLACED = f"""
SELECT own.*, epoch FROM house
CROSS JOIN ({_RANGE.format(partition=":partition", first=":first")}) AS own
WHERE upto <= :bytes_max OR own.sequence = :first
ORDER BY own.sequence
"""
UNSENT = f"""
SELECT own.*, epoch FROM house
CROSS JOIN relay_position sent JOIN partition_head head USING (partition)
CROSS JOIN LATERAL ({_RANGE.format(partition="sent.partition", first="sent.sequence + 1")}) AS own
WHERE sent.sequence < head.sequence AND (upto <= :bytes_max OR own.sequence = sent.sequence + 1)
ORDER BY own.partition, own.sequence
"""


class Sequenced(NamedTuple):
    event_count: int
    has_step: bool


class Placed(NamedTuple):
    """An event in its place, as the wire and the feed carry it."""

    source: str
    partition: int
    epoch: int
    sequence: int
    chain: bytes
    event: bytes

    def mac(self, key: bytes) -> bytes:
        place = f"{self.source}|{self.partition}|{self.epoch}|{self.sequence}"
        return wire_mac(key, place, self.chain, self.event)


class Telling(NamedTuple):
    """A fact with what its envelope says.

    `key` is the aggregate whose events stay in order (all events of one sale have the sale's),
    `subject` the aggregate's id if it is not the key, `actor` who did it if not the session's.
    """

    fact: Fact
    key: str
    subject: str = ""
    actor: str = ""
    region_code: str = ""
    policy_version: str = ""
    at: datetime | None = None


async def tell(
    session: Session,
    fact: Fact,
    *,
    key: str,
    subject: str = "",
    region_code: str = "",
    policy_version: str = "",
    at: datetime | None = None,
) -> str:
    """Put the fact in the outbox, in this transaction; answer its event id.

    Lock the aggregate first and tell last: then the order of a key's events is the order of its
    changes. `at` is the instant of the change, else asked for now.
    """
    telling = Telling(fact, key, subject, "", region_code, policy_version, at)
    return (await tell_all(session, [telling]))[0]


async def tell_all(session: Session, tellings: Sequence[Telling]) -> list[str]:
    """Put facts in the outbox, in their order, by one statement; answer their event ids."""
    now = await instant(session) if any(one.at is None for one in tellings) else None
    events = [event_of(session, one, one.at or now) for one in tellings]
    rows = [
        {"key": one.key, "is_step": one.fact.is_step, "event": stored(event)}
        for one, event in zip(tellings, events, strict=True)
    ]
    if rows:
        await _insert_and_ring(session, Outbox, rows, "outbox")
    return [event["id"] for event in events]


async def _insert_and_ring(
    session: Session, table: type[KitTable], rows: Sequence[Mapping[str, Any]], bell: str
) -> None:
    put = insertion(table, list(rows[0]))
    ring = f"WITH put AS ({put}) SELECT pg_notify('{bell}', '')"
    await sql(session, ring, rows=as_json(rows))


def event_of(session: Session, telling: Telling, at: datetime | None) -> dict[str, Any]:
    assert at is not None
    speaker = house(session)
    kind = telling.fact.type_in(speaker.market)
    event = {
        "specversion": "1.0",
        "id": new_id(),
        "source": speaker.source,
        "type": kind,
        "subject": telling.subject or telling.key,
        "time": at.astimezone(UTC).isoformat(),
        "datacontenttype": "application/json",
        "dataschema": f"/schemas/{kind}.json",
        "partitionkey": telling.key,
        "actor": telling.actor or actor(session),
    }
    optional = {"regioncode": telling.region_code, "policyversion": telling.policy_version}
    event |= {name: value for name, value in optional.items() if value}
    return event | {"data": telling.fact.model_dump(mode="json")}


def stored(event: dict[str, Any]) -> bytes:
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8")


async def sequence(session: Session) -> Sequenced:
    """Move up to 500 outbox rows, and no more once they are 4 MB, into the log in their order.

    The heads' row locks, taken in the transaction that writes, are the fence: who has them not
    waits. Any number of sequencers may run; one that was frozen finds its transaction gone.
    """
    heads = await heads_of(session, lock=True)
    taken = await sql(session, TAKEN, limit=SEQUENCE_BATCH, bytes_max=RANGE_BYTES_MAX)
    waiting = sorted(taken.all(), key=lambda told: int(told.id))
    if not waiting:
        return Sequenced(0, False)
    rows = []
    for told in waiting:
        head = heads[partition_of(told.key, PARTITIONS)]
        head.sequence += 1
        head.chain = chain_after(head.chain, told.event)
        rows.append(
            {
                "partition": head.partition,
                "sequence": head.sequence,
                "key": told.key,
                "chain": head.chain,
                "event": told.event,
            }
        )
    await _insert_and_ring(session, Log, rows, "log")
    if sum(len(told.event) for told in waiting) >= RANGE_BYTES_MAX:
        await sql(session, "NOTIFY outbox")  # for what the bytes left
    return Sequenced(len(waiting), any(told.is_step for told in waiting))


async def heads_of(session: Session, *, lock: bool = False) -> dict[int, PartitionHead]:
    """The head of every partition, by partition."""
    query = select(PartitionHead).order_by(col(PartitionHead.partition))
    found = await session.exec(query.with_for_update() if lock else query)
    return {head.partition: head for head in found.all()}


async def epoch_of(session: Session) -> int:
    """Which life of this database speaks: raised by a restore that lost commits."""
    return (await session.exec(select(House.epoch))).one()


async def placed(session: Session, partition: int, first: int, limit: int) -> list[Placed]:
    """Up to `limit` events of a partition from `first` on, and up to 4 MB; one at least."""
    return await _placed(session, PLACED, partition=partition, first=first, limit=limit)


async def unsent(session: Session, limit: int) -> list[Placed]:
    """What the relay has still to send, at most `limit` of each partition, 4 MB of each."""
    return await _placed(session, UNSENT, limit=limit)


async def _placed(session: Session, query: str, **bounds: int) -> list[Placed]:
    found = await sql(session, query, bytes_max=RANGE_BYTES_MAX, **bounds)
    source = house(session).source
    return [
        Placed(source, row.partition, row.epoch, row.sequence, row.chain, row.event)
        for row in found.all()
    ]


async def note_sent(session: Session, reached: Mapping[int, int]) -> None:
    """Remember the broker's word how far each partition is sent; never goes back."""
    note = (
        "UPDATE relay_position SET sequence = greatest(sequence, CAST(value AS bigint)) "
        "FROM json_each_text(CAST(:reached AS json)) WHERE partition = CAST(key AS int)"
    )
    await sql(session, note, reached=json.dumps(reached))
