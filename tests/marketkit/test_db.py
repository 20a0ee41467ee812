import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import Field

from builders import COUNTY, NOON, OTHER_COUNTY, a_uscc, an_account
from databases import LAND, Migrated, Package, rows, until_idle
from marketkit.db import Database, Role, Scope, Session, Table, instant, new_id, sql, sqlstate
from marketkit.ledger import open_account
from marketkit.outbox import Outbox, PartitionHead

Databases = Callable[[Package], Migrated]
ADD = "INSERT INTO toy.thing (key) VALUES (:key)"
APPEND_ONLY = ("log", "checkpoint", "lot", "transfer", "movement", "stored_answer")


def seen(migrated: Databases, query: str) -> object:
    with migrated(LAND).superuser() as connection:
        return (connection.execute(query.encode()).fetchone() or (None,))[0]


async def test_run_answers_after_the_commit(
    kit_house: Database, toy: None, migrated: Databases
) -> None:
    async def add(session: Session) -> str:
        await sql(session, ADD, key="a")
        assert seen(migrated, "SELECT count(*) FROM toy.thing") == 0
        return "done"

    assert await kit_house.run(add) == "done"
    assert seen(migrated, "SELECT count(*) FROM toy.thing") == 1


async def test_a_commit_that_fails_is_raised(kit_house: Database, toy: None) -> None:
    with pytest.raises(IntegrityError):
        await rows(kit_house, "INSERT INTO toy.late VALUES ('nowhere')", "market")
    assert await rows(kit_house, "SELECT * FROM toy.late") == []


async def test_what_raises_leaves_nothing(kit_house: Database, toy: None) -> None:
    async def add(session: Session) -> None:
        await sql(session, ADD, key="a")
        raise LookupError

    with pytest.raises(LookupError):
        await kit_house.run(add)
    assert await rows(kit_house, "SELECT * FROM toy.thing") == []


async def test_cancelled_callers_leave_no_connection_and_no_lock(
    kit_house: Database, toy: None, migrated: Databases
) -> None:
    async def slow(session: Session) -> None:
        await sql(session, "SELECT * FROM partition_head WHERE partition = 0 FOR UPDATE")
        await sql(session, "SELECT pg_sleep(0.002)")

    await kit_house.run(slow, "worker")
    before = seen(migrated, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'yaosu_app'")
    callers = [asyncio.create_task(kit_house.run(slow, "worker")) for _ in range(200)]
    for number, caller in enumerate(callers):
        await asyncio.sleep(0.0002 * (number % 3))
        caller.cancel()
    ended = await asyncio.gather(*callers, return_exceptions=True)
    assert any(isinstance(end, asyncio.CancelledError) for end in ended)
    await until_idle(kit_house)
    await rows(kit_house, "SELECT * FROM partition_head FOR UPDATE NOWAIT")
    idle = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'"
    assert seen(migrated, idle) == 0
    assert isinstance(before, int)
    assert before <= kit_house.pool_size


async def test_what_a_cancelled_caller_began_ends_by_itself(
    kit_house: Database, toy: None, migrated: Databases
) -> None:
    begun = asyncio.Event()

    async def add(session: Session) -> None:
        begun.set()
        await sql(session, "SELECT pg_sleep(0.05)")
        await sql(session, ADD, key="a")

    caller = asyncio.create_task(kit_house.run(add))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await until_idle(kit_house)
    assert seen(migrated, "SELECT count(*) FROM toy.thing") == 1


async def test_a_deadlock_is_tried_again(kit_house: Database) -> None:
    attempts = []
    both_hold = asyncio.Barrier(2)

    def crosswise(first: int, second: int) -> Callable[[Session], object]:
        async def work(session: Session) -> None:
            attempts.append(first)
            lock = "SELECT * FROM partition_head WHERE partition = :n FOR UPDATE"
            await sql(session, lock, n=first)
            if len(attempts) <= 2:
                await both_hold.wait()
            await sql(session, lock, n=second)

        return work

    await asyncio.gather(
        kit_house.run(crosswise(0, 1), "worker"),  # type: ignore[arg-type]  # of either order
        kit_house.run(crosswise(1, 0), "worker"),  # type: ignore[arg-type]  # of either order
    )
    assert len(attempts) == 3


async def test_only_deadlocks_are_tried_again(kit_house: Database, toy: None) -> None:
    attempts = []

    async def work(session: Session) -> None:
        attempts.append(1)
        await sql(session, "SELECT 1 / 0")

    with pytest.raises(DBAPIError) as raised:
        await kit_house.run(work)
    assert (sqlstate(raised.value), len(attempts)) == ("22012", 1)


async def test_a_scoped_transaction_sees_only_what_its_settings_name(kit_house: Database) -> None:
    own = a_uscc(1)

    async def open_three(session: Session) -> None:
        await open_account(session, an_account("a", region_code=COUNTY, uscc=own))
        await open_account(session, an_account("b", region_code=OTHER_COUNTY, uscc=a_uscc(2)))
        await open_account(session, an_account("c", region_code=COUNTY))

    await kit_house.run(open_three)

    async def ids(scope: Scope | None) -> str:
        found = await rows(kit_house, "SELECT id FROM account ORDER BY id", "scoped", scope)
        return "".join(row.id for row in found)

    assert await ids(None) == ""
    assert await ids(Scope(region_code=COUNTY)) == "ac"
    assert await ids(Scope(region_code=OTHER_COUNTY)) == "b"
    assert await ids(Scope(region_code="370503")) == ""
    assert await ids(Scope(region_code="*")) == "abc"
    assert await ids(Scope(uscc=own)) == "a"
    # An enterprise's word narrows; its region never widens it.
    assert await ids(Scope(region_code="*", uscc=own)) == "a"


async def test_role_and_scope_do_not_leak_through_the_pool(migrated: Databases) -> None:
    house = migrated(LAND).database(pool_size=1)
    state = (
        "SELECT current_user, current_setting('app.region', true), "
        "current_setting('app.uscc', true), pg_backend_pid()"
    )
    scope = Scope(region_code="*", uscc=a_uscc())
    (inside,) = await rows(house, state, "scoped", scope)
    assert inside[:3] == ("yaosu_scoped", "*", a_uscc())
    with pytest.raises(DBAPIError):
        await rows(house, "SELECT 1 / 0", "market", Scope(region_code="*"))
    async with house.engine.connect() as connection:
        outside = tuple((await connection.exec_driver_sql(state)).one())
    assert outside == ("yaosu_app", "", "", inside[3])
    (next_one,) = await rows(house, state, "scoped")
    assert next_one[:3] == ("yaosu_scoped", "", "")
    await house.close()


REFUSED: list[tuple[Role, str]] = [
    ("scoped", "SELECT * FROM log"),
    ("scoped", "SELECT * FROM outbox"),
    ("scoped", "SELECT * FROM movement"),
    ("scoped", "SELECT * FROM transfer"),
    ("scoped", "SELECT * FROM request"),
    ("scoped", "SELECT * FROM parked"),
    ("scoped", "UPDATE balance SET posted = 1"),
    ("scoped", "INSERT INTO account VALUES ('a', 'CITY', '370500', NULL, NULL, false)"),
    ("scoped", "UPDATE house SET epoch = 2"),
    ("market", "SELECT * FROM log"),
    ("market", "INSERT INTO log VALUES (0, 1, 'k', '', '')"),
    ("market", "UPDATE partition_head SET sequence = 0"),
    ("market", "DELETE FROM balance"),
    ("market", "DELETE FROM outbox"),
    ("market", "DELETE FROM hold"),
    ("market", "UPDATE account SET is_issuance = true"),
    ("market", "UPDATE house SET clock_offset = '1 day'"),
    ("market", "UPDATE position SET sequence = 0"),
    ("market", "INSERT INTO checkpoint (body, kid, signature) VALUES ('', '', '')"),
    ("worker", "DELETE FROM log"),
    ("worker", "UPDATE log SET key = ''"),
    ("worker", "DELETE FROM checkpoint"),
    ("worker", "INSERT INTO account VALUES ('a', 'CITY', '370500', NULL, NULL, false)"),
    ("worker", "DROP TABLE house"),
]


@pytest.mark.parametrize(("role", "statement"), REFUSED)
async def test_a_role_may_do_nothing_that_is_not_its_own(
    kit_house: Database, role: Role, statement: str
) -> None:
    with pytest.raises(DBAPIError) as refused:
        await rows(kit_house, statement, role, Scope(region_code="*"))
    # Refused by right, or by the trigger of what never changes.
    assert sqlstate(refused.value) in {"42501", "P0001"}


async def test_without_a_role_the_application_may_nothing(kit_house: Database) -> None:
    async with kit_house.engine.connect() as connection:
        with pytest.raises(DBAPIError) as refused:
            await connection.exec_driver_sql("SELECT * FROM house")
    assert sqlstate(refused.value) == "42501"


@pytest.mark.parametrize("table", APPEND_ONLY)
async def test_what_is_written_for_ever_is_not_changed_by_its_owner_either(
    kit_house: Database, migrated: Databases, table: str
) -> None:
    owner = psycopg.connect(migrated(LAND).owner_url.replace("+psycopg", ""), autocommit=True)
    column = {"log": "key = key", "checkpoint": "kid = kid", "lot": "asset = asset"}
    column |= {"transfer": "kind = kind", "movement": "lot = lot", "stored_answer": "key = key"}
    with owner:
        for statement in (
            f"UPDATE {table} SET {column[table]}",
            f"DELETE FROM {table}",
            f"TRUNCATE {table} CASCADE",
        ):
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
                owner.execute(statement.encode())


async def test_the_instant_is_the_databases_clock_and_its_offset(kit_house: Database) -> None:
    def now() -> datetime:
        return datetime.now(UTC)

    before = now()
    at = await kit_house.run(instant)
    assert before - timedelta(seconds=1) < at < now() + timedelta(seconds=1)
    assert at.utcoffset() == timedelta(0)
    await rows(kit_house, "UPDATE house SET clock_offset = '-1000 days'")
    moved = await kit_house.run(instant)
    assert timedelta(days=999, hours=23) < now() - moved < timedelta(days=1000, hours=1)
    kit_house.fixed_instant = NOON
    assert await kit_house.run(instant) == NOON


async def test_the_instant_goes_on_within_a_transaction(kit_house: Database) -> None:
    async def twice(session: Session) -> timedelta:
        first = await instant(session)
        await sql(session, "SELECT pg_sleep(0.02)")
        return await instant(session) - first

    assert await kit_house.run(twice) >= timedelta(milliseconds=20)


async def test_every_transaction_has_its_limits(kit_house: Database) -> None:
    wanted = {
        "lock_timeout": "500ms",
        "statement_timeout": "1500ms",
        "idle_in_transaction_session_timeout": "5s",
        "transaction_isolation": "read committed",
        "TimeZone": "UTC",
    }
    house = replace(kit_house)  # without a test's patience
    for name, value in wanted.items():
        assert (await rows(house, f"SHOW {name}"))[0][0] == value
    await house.close()


async def test_a_database_that_was_restarted_is_spoken_to_anew(
    kit_house: Database, migrated: Databases
) -> None:
    await asyncio.gather(*(rows(kit_house, "SELECT pg_sleep(0.01)") for _ in range(4)))
    ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{}'"
    assert seen(migrated, ended.format("yaosu_app")) == 4
    for _ in range(4):
        assert await rows(kit_house, "SELECT 1") == [(1,)]


def test_ids_are_unique_and_sort_by_their_time() -> None:
    ids = [new_id() for _ in range(2_000)]
    assert len(set(ids)) == 2_000
    assert {len(found) for found in ids} == {26}
    assert ids[0][:10] <= ids[-1][:10]


def test_a_table_is_named_after_its_class() -> None:
    class SealedBidV2(Table):
        id: int = Field(primary_key=True)

    assert Outbox.__tablename__ == "outbox"
    assert PartitionHead.__tablename__ == "partition_head"
    assert SealedBidV2.__tablename__ == "sealed_bid_v2"
