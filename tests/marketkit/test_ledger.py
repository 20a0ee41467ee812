import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from random import Random

import pytest
from sqlalchemy.exc import DBAPIError

from builders import a_booking, a_lot, an_account, an_issue
from databases import LAND, Migrated, Package, patiently, rows
from marketkit.db import Database, Session
from marketkit.holds import hold, post_holds, void_holds
from marketkit.ledger import (
    Imbalance,
    InsufficientFreeQuantity,
    Lot,
    book,
    imbalance,
    open_account,
)
from marketkit.movements import Leg, fold

Databases = Callable[[Package], Migrated]
OLD, NEW = date(2022, 1, 1), date(2022, 5, 1)


async def holdings(house: Database) -> dict[tuple[str, str], tuple[int, int]]:
    """(account, lot) → (posted, held), those of issuance left out."""
    found = await rows(house, "SELECT * FROM balance WHERE NOT is_issuance")
    return {(row.account, row.lot): (row.posted, row.held) for row in found}


async def balanced(house: Database) -> Imbalance:
    return await house.run(imbalance, "worker")


async def given(house: Database, quantity: int, lot: Lot, to: str = "city") -> None:
    async def work(session: Session) -> None:
        await open_account(session, an_account("bank"))
        await an_issue(session, quantity, to, lot=lot)

    await house.run(work)


async def take(house: Database, quantity: int, key: str = "sale-1", account: str = "city") -> bool:
    async def work(session: Session) -> bool:
        try:
            await hold(session, a_booking("HOLD", key), account, "ENERGY", quantity)
        except InsufficientFreeQuantity:
            await session.rollback()
            return False
        return True

    return await patiently(house, work)


async def test_an_issue_is_two_legs_against_the_issuance_account(kit_house: Database) -> None:
    legs = await kit_house.run(lambda s: an_issue(s, 500, lot=a_lot("lot-1")))
    assert legs == [
        Leg("issuance:ENERGY", "ENERGY", "lot-1", -500, 0),
        Leg("city", "ENERGY", "lot-1", 500, 0),
    ]
    assert await holdings(kit_house) == {("city", "lot-1"): (500, 0)}
    (transfer,) = await rows(kit_house, "SELECT * FROM transfer", "market")
    assert (transfer.kind, transfer.document_no) == ("ISSUE", "东发改〔2022〕1号")
    assert await balanced(kit_house) == Imbalance({"ENERGY": 0}, 2)


async def test_an_account_is_opened_once(kit_house: Database) -> None:
    async def twice(session: Session) -> list[bool]:
        return [await open_account(session, an_account("a")) for _ in range(2)]

    assert await kit_house.run(twice) == [True, False]


async def test_what_is_not_double_entry_is_not_booked(kit_house: Database) -> None:
    legs = [Leg("city", "ENERGY", "lot-1", 5, 0)]
    with pytest.raises(AssertionError):
        await kit_house.run(lambda s: book(s, a_booking(), legs))
    moved = [Leg("city", "ENERGY", "lot-1", -5, 0), Leg("bank", "ENERGY", "lot-2", 5, 0)]
    with pytest.raises(AssertionError):
        await kit_house.run(lambda s: book(s, a_booking(), moved))


async def test_a_refused_transfer_changes_nothing(kit_house: Database) -> None:
    await given(kit_house, 100, a_lot("lot-1"))
    legs = [Leg("city", "ENERGY", "lot-1", -101, 0), Leg("bank", "ENERGY", "lot-1", 101, 0)]
    with pytest.raises(InsufficientFreeQuantity):
        await kit_house.run(lambda s: book(s, a_booking(), legs))
    assert await holdings(kit_house) == {("city", "lot-1"): (100, 0)}
    assert len(await rows(kit_house, "SELECT * FROM transfer", "market")) == 1
    assert await balanced(kit_house) == Imbalance({"ENERGY": 0}, 2)


@pytest.mark.parametrize(("takers", "quantity"), [(16, 7), (100, 3)])
async def test_parallel_takes_of_one_lot_never_exceed_it(
    kit_house: Database, takers: int, quantity: int
) -> None:
    await given(kit_house, 100, a_lot("lot-1"))
    taken = await asyncio.gather(*(take(kit_house, quantity, f"sale-{n}") for n in range(takers)))
    granted = 100 // quantity
    assert sum(taken) == granted
    assert await holdings(kit_house) == {("city", "lot-1"): (100, granted * quantity)}
    assert await balanced(kit_house) == Imbalance({"ENERGY": 0}, 2)


async def test_the_constraint_holds_where_the_guard_is_passed_by(kit_house: Database) -> None:
    await given(kit_house, 100, a_lot("lot-1"))
    for change in ("posted = -1", "held = 101", "held = -1"):
        update = f"UPDATE balance SET {change} WHERE NOT is_issuance"
        with pytest.raises(DBAPIError, match="ck_balance_available"):
            await rows(kit_house, update, "market")


async def test_a_hold_takes_from_lots_of_equal_restrictions_oldest_first(
    kit_house: Database,
) -> None:
    await given(kit_house, 60, a_lot("z-old", effective_on=OLD))
    await given(kit_house, 60, a_lot("a-new", effective_on=NEW))
    await given(kit_house, 60, a_lot("barred", effective_on=NEW, is_dual_high_barred=True))
    assert await take(kit_house, 80)
    assert await holdings(kit_house) == {
        ("city", "z-old"): (60, 60),
        ("city", "a-new"): (60, 20),
        ("city", "barred"): (60, 0),
    }
    assert not await take(kit_house, 41)
    assert await take(kit_house, 40)
    assert await take(kit_house, 60)  # the others are gone, so the barred one is the oldest
    assert await balanced(kit_house) == Imbalance({"ENERGY": 0}, 6)


@pytest.mark.parametrize(
    "restriction",
    [
        {"is_dual_high_barred": True},
        {"is_locally_usable": False},
        {"needs_city_consent": True},
        {"valid_until_on": date(2025, 12, 31)},
    ],
)
async def test_lots_restricted_otherwise_are_never_joined(
    kit_house: Database, restriction: dict[str, object]
) -> None:
    await given(kit_house, 60, a_lot("old", effective_on=OLD))
    await given(kit_house, 60, a_lot("new", effective_on=NEW, **restriction))
    assert not await take(kit_house, 61)
    assert await take(kit_house, 60)


async def test_a_hold_is_posted_in_parts_and_the_rest_given_back(kit_house: Database) -> None:
    await given(kit_house, 60, a_lot("lot-1", effective_on=OLD))
    await given(kit_house, 60, a_lot("lot-2", effective_on=NEW))
    await take(kit_house, 100)

    async def post(session: Session) -> list[Leg]:
        return await post_holds(session, a_booking("AWARD", "sale-1"), "bank", 70)

    posted = await kit_house.run(post)
    assert [(leg.account, leg.lot, leg.posted, leg.held) for leg in posted] == [
        ("city", "lot-1", -60, -60),
        ("bank", "lot-1", 60, 0),
        ("city", "lot-2", -10, -10),
        ("bank", "lot-2", 10, 0),
    ]
    left = {("city", "lot-1"): (0, 0), ("city", "lot-2"): (50, 30)}
    given_out = {("bank", "lot-1"): (60, 0), ("bank", "lot-2"): (10, 0)}
    assert await holdings(kit_house) == left | given_out
    with pytest.raises(InsufficientFreeQuantity):
        await kit_house.run(lambda s: post_holds(s, a_booking("AWARD", "sale-1"), "bank", 31))
    assert await holdings(kit_house) == left | given_out

    async def void(session: Session) -> list[Leg]:
        return await void_holds(session, a_booking("VOID", "sale-1"))

    assert await kit_house.run(void) == [Leg("city", "ENERGY", "lot-2", 0, -30)]
    assert await kit_house.run(void) == []
    assert (await holdings(kit_house))[("city", "lot-2")] == (50, 0)
    assert await balanced(kit_house) == Imbalance({"ENERGY": 0}, 6)


async def test_holds_of_other_keys_are_not_touched(kit_house: Database) -> None:
    await given(kit_house, 100, a_lot("lot-1"))
    await take(kit_house, 10, "sale-1")
    await take(kit_house, 20, "sale-2")
    await kit_house.run(lambda s: void_holds(s, a_booking("VOID", "sale-1")))
    assert await holdings(kit_house) == {("city", "lot-1"): (100, 20)}
    with pytest.raises(InsufficientFreeQuantity):
        await kit_house.run(lambda s: post_holds(s, a_booking("AWARD", "sale-1"), "bank", 1))


async def deadlocks(house: Database) -> int:
    """How often two waited for each other since the database was made."""
    tell_now = "SELECT pg_stat_force_next_flush(), pg_sleep(0.05)"
    await asyncio.gather(*(rows(house, tell_now) for _ in range(house.pool_size)))
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    (row,) = await rows(house, query)
    return int(row.deadlocks)


async def test_crosswise_transfers_end_without_a_deadlock(kit_house: Database) -> None:
    lots = [f"lot-{n}" for n in range(4)]
    for lot_id in lots:
        await given(kit_house, 1_000, a_lot(lot_id))

    def move(number: int) -> Callable[[Session], Awaitable[None]]:
        there, back = ("city", "bank") if number % 2 else ("bank", "city")
        order = lots if number % 3 else lots[::-1]
        legs = [Leg(there, "ENERGY", lot, -1, 0) for lot in order]
        legs += [Leg(back, "ENERGY", lot, 1, 0) for lot in order]

        async def work(session: Session) -> None:
            await book(session, a_booking("MOVE", f"key-{number}"), legs)

        return work

    await kit_house.run(move(1))
    for lot in lots:
        await given(kit_house, 100, a_lot(f"{lot}-bank"), "bank")
    before = await deadlocks(kit_house)
    moves = (patiently(kit_house, move(n)) for n in range(60))
    ended = await asyncio.gather(*moves, return_exceptions=True)
    assert {type(end) for end in ended} <= {type(None), InsufficientFreeQuantity}
    assert await deadlocks(kit_house) == before
    assert (await balanced(kit_house)).by_asset == {"ENERGY": 0}


async def test_a_hold_and_a_transfer_of_the_same_lots_take_them_in_one_order(
    kit_house: Database,
) -> None:
    """The older lot has the later id: by age and by id are two orders."""
    await given(kit_house, 10_000, a_lot("lot-b", effective_on=OLD))
    await given(kit_house, 10_000, a_lot("lot-a", effective_on=NEW))

    async def move(session: Session) -> None:
        legs = [Leg("city", "ENERGY", lot, -1, 0) for lot in ("lot-a", "lot-b")]
        legs += [Leg("bank", "ENERGY", lot, 1, 0) for lot in ("lot-a", "lot-b")]
        await book(session, a_booking("MOVE"), legs)

    async def take_one(session: Session) -> None:
        await hold(session, a_booking("HOLD"), "city", "ENERGY", 1)

    before = await deadlocks(kit_house)
    both = [patiently(kit_house, work) for _ in range(60) for work in (move, take_one)]
    await asyncio.gather(*both)
    assert await deadlocks(kit_house) == before


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_done_the_ledger_balances(kit_house: Database, seed: int) -> None:
    draw = Random(seed)
    accounts = ["city", "bank", "county", "works"]
    told: list[Leg] = []
    for number in range(4):
        account = draw.choice(accounts)
        lot = a_lot(f"lot-{number}", is_dual_high_barred=bool(number % 2))
        told += await kit_house.run(lambda s, lot=lot, to=account: an_issue(s, 900, to, lot=lot))  # type: ignore[misc]  # bound at once

    async def step(session: Session) -> list[Leg]:
        for account in accounts:
            await open_account(session, an_account(account))
        key, quantity = f"key-{draw.randrange(5)}", draw.randrange(1, 300)
        match draw.randrange(4):
            case 0 | 1:
                account = draw.choice(accounts)
                return await hold(session, a_booking("HOLD", key), account, "ENERGY", quantity)
            case 2:
                return await post_holds(
                    session, a_booking("POST", key), draw.choice(accounts), quantity
                )
            case _:
                return await void_holds(session, a_booking("VOID", key))

    refused = 0
    for _ in range(60):
        try:
            told += await kit_house.run(step)
        except InsufficientFreeQuantity:
            refused += 1
    assert 0 < refused < 60
    found = await balanced(kit_house)
    assert found.by_asset == {"ENERGY": 0}
    kept = await rows(kit_house, "SELECT * FROM balance")
    assert found.row_count == len(kept)
    # Holdings anywhere are a fold over the movements that are told.
    assert fold(told) == {
        (row.account, "ENERGY", row.lot): (row.posted, row.held)
        for row in kept
        if (row.posted, row.held) != (0, 0)
    }


TAMPERED = [
    "UPDATE balance SET posted = posted + 1 WHERE account = 'city'",
    "UPDATE balance SET held = held + 1 WHERE account = 'city'",
    "DELETE FROM balance WHERE account = 'city'",
    "INSERT INTO balance VALUES ('bank', 'lot-1', 5, 0, false)",
    "INSERT INTO balance VALUES ('bank', 'lot-1', 5, 5, false)",
    "UPDATE hold SET remaining = remaining - 1",
    "DELETE FROM hold",
    "INSERT INTO hold VALUES ('h', 'p', 'k', 'bank', 'ENERGY', 'lot-1', 5, 5, NULL)",
    "UPDATE movement SET posted = posted + 1 WHERE account = 'city' AND posted > 0",
    "DELETE FROM movement WHERE account = 'city' AND posted > 0",
    # Two lots of one asset, one wrong by as much as the other: their sum is right.
    "UPDATE movement SET posted = posted + (CASE lot WHEN 'lot-1' THEN 1 ELSE -1 END) "
    "WHERE account = 'city' AND posted > 0; "
    "UPDATE balance SET posted = posted + (CASE lot WHEN 'lot-1' THEN 1 ELSE -1 END) "
    "WHERE account = 'city'",
]


@pytest.mark.parametrize("tampering", TAMPERED)
async def test_whatever_is_changed_by_hand_shows(
    kit_house: Database, migrated: Databases, tampering: str
) -> None:
    await given(kit_house, 100, a_lot("lot-1"))
    await given(kit_house, 100, a_lot("lot-2"))
    await take(kit_house, 10)
    assert (await balanced(kit_house)).by_asset == {"ENERGY": 0}
    with migrated(LAND).superuser() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(tampering.encode())
    assert (await balanced(kit_house)).by_asset["ENERGY"] > 0


async def test_a_check_that_saw_nothing_says_so(kit_house: Database) -> None:
    assert await balanced(kit_house) == Imbalance({}, 0)
    # One that may not see the rows must not find them balanced.
    await given(kit_house, 100, a_lot("lot-1"))
    with pytest.raises(DBAPIError):
        await kit_house.run(imbalance, "scoped")
