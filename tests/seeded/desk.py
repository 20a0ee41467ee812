"""A desk that moves quota by orders, and a board that counts what it is told: two toys, real kit.

An order is a command with a key. What it does is numbered under its aggregate's lock, so that a
log, a ledger and a board can be held against each other.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import psycopg
from pydantic import BaseModel

from builders import a_booking, a_lot, an_account, an_issue
from databases import Migrated
from marketkit.batch import Command, Hot
from marketkit.db import Database, Session, sql
from marketkit.errors import Conflict, Refusal
from marketkit.facts import Fact
from marketkit.ledger import book, open_account
from marketkit.movements import Leg
from marketkit.outbox import tell
from marketkit.reactions import Reactions, Told
from marketkit.signing import sm3

KEYS = ("key-1", "key-2", "key-3")
LOT = "lot-1"
# Less than the orders ask for together: some are refused, and a refusal is an answer too.
STOCK_MINOR = 3_000

_GONE = "DROP SCHEMA IF EXISTS desk, board, copied CASCADE;"
DESK = """
CREATE SCHEMA copied;
CREATE SCHEMA desk;
CREATE TABLE desk.aggregate (key text PRIMARY KEY, number bigint NOT NULL DEFAULT 0);
CREATE SCHEMA board;
CREATE TABLE board.seen (key text PRIMARY KEY, event_count bigint NOT NULL, last text NOT NULL,
    source text NOT NULL);
GRANT USAGE ON SCHEMA desk, board TO yaosu_market, yaosu_worker;
GRANT ALL ON ALL TABLES IN SCHEMA desk, board TO yaosu_market, yaosu_worker;
"""


class Moved(Fact):
    kind: ClassVar[str] = "thing.moved"
    number: int
    order: str


class Stepped(Moved):
    """A step: sealed by a checkpoint as soon as it is in the log."""

    kind: ClassVar[str] = "thing.stepped"
    is_step: ClassVar[bool] = True


class OrderRefused(Conflict):
    title = "演示性拒绝"


class Order(NamedTuple):
    """What a client wants; its id is its idempotency key."""

    id: str
    key: str
    quantity_minor: int
    is_step: bool = False
    is_refused: bool = False


class Done(BaseModel):
    order: str
    number: int
    event: str


def command(order: Order) -> Command[Order]:
    return Command("client", order.id, sm3(repr(order).encode()), order, 201)


async def _lock(session: Session, orders: Sequence[Order]) -> list[Order]:
    for key in sorted({order.key for order in orders}):
        await sql(session, "SELECT number FROM desk.aggregate WHERE key = :key FOR UPDATE", key=key)
    return list(orders)


async def _act(session: Session, orders: Sequence[Order]) -> list[Done | Refusal]:
    return [await carry_out(session, order) for order in orders]


HOT: Hot[Order, Order] = Hot(_lock, _act)


async def carry_out(session: Session, order: Order) -> Done:
    """The order's effect: a movement in the ledger, a number, a fact."""
    legs = [
        Leg("city", "ENERGY", LOT, -order.quantity_minor, 0),
        Leg(f"buyer:{order.key}", "ENERGY", LOT, order.quantity_minor, 0),
    ]
    await book(session, a_booking("ORDER", order.id), legs)
    counted = await sql(
        session,
        "UPDATE desk.aggregate SET number = number + 1 WHERE key = :key RETURNING number",
        key=order.key,
    )
    number = int(counted.scalar_one())
    kind = Stepped if order.is_step else Moved
    event = await tell(session, kind(number=number, order=order.id), key=order.key)
    if order.is_refused:
        raise OrderRefused()
    return Done(order=order.id, number=number, event=event)


def seeing() -> Reactions:
    """The board: by key, how many facts came and a digest of their order."""
    reactions = Reactions("board")

    async def see(session: Session, told: Told[Any]) -> None:
        await sql(
            session,
            "INSERT INTO board.seen VALUES (:key, 1, md5(:said), :source) "
            "ON CONFLICT (key) DO UPDATE "
            "SET event_count = seen.event_count + 1, last = md5(seen.last || :said)",
            key=told.key,
            source=told.source,
            said=f"{told.id} {told.fact.number} {told.fact.order}",
        )

    reactions.to(Moved, "land")(see)
    reactions.to(Stepped, "land")(see)
    return reactions


def folded(events: Sequence[bytes]) -> dict[str, tuple[int, str]]:
    """What the board must show after these events, worked out without it."""
    board: dict[str, tuple[int, str]] = {}
    for raw in events:
        event = json.loads(raw)
        data = event["data"]
        count, last = board.get(event["partitionkey"], (0, ""))
        said = f"{last}{event['id']} {data['number']} {data['order']}"
        board[event["partitionkey"]] = (count + 1, hashlib.md5(said.encode()).hexdigest())
    return board


async def furnish(house: Database) -> None:
    """The aggregates, the accounts, and a stock that does not suffice."""

    async def work(session: Session) -> None:
        for key in KEYS:
            await sql(session, "INSERT INTO desk.aggregate VALUES (:key)", key=key)
            await open_account(session, an_account(f"buyer:{key}"))
        await an_issue(session, STOCK_MINOR, lot=a_lot(LOT))

    await house.run(work)


_KEPT = ("desk.aggregate", "account", "lot", "transfer", "movement", "balance")
_EMPTIED = ("board.seen", "outbox", "log", "stored_answer", "position", "parked", "hold")
_SEALED = ("source_checkpoint", "checkpoint", "signing_key")
# Set back, or never written by what the seeds do.
_OTHERS = {
    "house", "partition_head", "relay_position", "request", "served_revision", "closed_total",
}  # fmt: skip


def clear(connection: psycopg.Connection[Any], epoch: int) -> None:
    """The database as it was furnished, its owner in this life."""
    statements = [f"DELETE FROM {table}" for table in (*_KEPT, *_EMPTIED, *_SEALED)]
    statements += [
        f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {_copy(table)}"
        for table in _KEPT
    ]
    statements.append(f"UPDATE partition_head SET sequence = 0, chain = '\\x{bytes(32).hex()}'")
    statements.append("UPDATE relay_position SET sequence = 0")
    statements.append(f"UPDATE house SET epoch = {epoch}")
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("SET LOCAL synchronous_commit = off")
        connection.execute("; ".join(statements).encode())


def _copy(table: str) -> str:
    return f"copied.{table.rpartition('.')[2]}"


def clear_away(database: Migrated) -> None:
    """Leave the database to others as its migrations made it."""
    with database.superuser() as connection:
        connection.execute(_GONE.encode())
    database.reset()


async def set_up(database: Migrated) -> None:
    """The two toys beside marketkit's tables, furnished."""
    database.reset()
    with database.superuser() as connection:
        connection.execute((_GONE + DESK).encode())
        house = database.database()
        await furnish(house)
        await house.close()
        _leave_out_no_table(connection)
        for table in _KEPT:
            connection.execute(f"CREATE TABLE {_copy(table)} AS TABLE {table}".encode())


def _leave_out_no_table(connection: psycopg.Connection[Any]) -> None:
    # A row that outlives its seed would give the next another order of statements.
    query = (
        "SELECT tablename FROM pg_tables WHERE schemaname IN ('public', 'desk', 'board') "
        "AND tablename NOT LIKE 'alembic%'"
    )
    there = {name for (name,) in connection.execute(query.encode()).fetchall()}
    known = {table.rpartition(".")[2] for table in (*_KEPT, *_EMPTIED, *_SEALED)}
    assert there == known | _OTHERS, there ^ (known | _OTHERS)
