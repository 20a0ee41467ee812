"""Holds by the list: each take gets what it would have got alone, in its order."""

from datetime import date, timedelta

import pytest

from builders import a_booking, a_lot, an_account, an_issue
from databases import rows
from marketkit.db import Database, Session
from marketkit.errors import Conflict
from marketkit.holds import Take, hold_each, void_part
from marketkit.ledger import (
    InsufficientFreeQuantity,
    PledgedQuantity,
    RightExpired,
    book,
    imbalance,
    open_account,
)
from marketkit.movements import Leg
from marketkit.units import day_of

DAY = timedelta(days=1)
OLD, NEW = date(2022, 1, 1), date(2022, 5, 1)


def a_take(quantity: int, key: str, account: str = "city", creditor: str | None = None) -> Take:
    return Take(a_booking("TEST", key), account, "ENERGY", quantity, creditor)


async def holding(house: Database, *lots: tuple[str, int, date, bool], to: str = "city") -> None:
    async def work(session: Session) -> None:
        await open_account(session, an_account("bank"))
        for lot_id, quantity, day, is_barred in lots:
            lot = a_lot(lot_id, effective_on=day, is_dual_high_barred=is_barred)
            await an_issue(session, quantity, to, lot=lot)

    await house.run(work)


async def taken(house: Database, *takes: Take) -> list[list[Leg] | type[Conflict]]:
    outcomes = await house.run(lambda s: hold_each(s, takes))
    return [type(one) if isinstance(one, Conflict) else one for one in outcomes]


async def held(house: Database) -> dict[tuple[str, str], int]:
    found = await rows(house, "SELECT account, lot, held FROM balance WHERE NOT is_issuance")
    return {(row.account, row.lot): row.held for row in found}


async def assert_conserved(house: Database) -> None:
    found = await house.run(imbalance, "worker")
    assert (found.row_count > 0, set(found.by_asset.values())) == (True, {0})


async def test_takes_of_a_list_are_served_in_their_order(kit_house: Database) -> None:
    await holding(kit_house, ("lot-1", 100, OLD, False))
    outcomes = await taken(kit_house, *(a_take(q, f"k{q}") for q in (60, 50, 40, 1)))
    assert outcomes == [
        [Leg("city", "ENERGY", "lot-1", 0, 60)],
        InsufficientFreeQuantity,
        [Leg("city", "ENERGY", "lot-1", 0, 40)],
        InsufficientFreeQuantity,
    ]
    assert await held(kit_house) == {("city", "lot-1"): 100}
    found = await rows(kit_house, "SELECT key, remaining FROM hold ORDER BY remaining")
    assert [tuple(row) for row in found] == [("k40", 40), ("k60", 60)]
    assert len(await rows(kit_house, "SELECT 1 FROM transfer WHERE kind = 'TEST'", "market")) == 2
    await assert_conserved(kit_house)


async def test_a_list_over_many_accounts_and_lots_books_each_its_own(kit_house: Database) -> None:
    await holding(kit_house, ("z", 60, OLD, False), ("a", 60, NEW, False))
    await holding(kit_house, ("m", 10, NEW, False), to="county")
    outcomes = await taken(
        kit_house,
        a_take(80, "one"),
        a_take(10, "two", "county"),
        a_take(1, "three", "nobody"),
        a_take(40, "four"),
    )
    assert outcomes == [
        [Leg("city", "ENERGY", "z", 0, 60), Leg("city", "ENERGY", "a", 0, 20)],
        [Leg("county", "ENERGY", "m", 0, 10)],
        InsufficientFreeQuantity,
        [Leg("city", "ENERGY", "a", 0, 40)],
    ]
    await assert_conserved(kit_house)


async def test_what_is_past_its_last_day_is_held_for_nobody(kit_house: Database) -> None:
    at = a_booking("TEST", "k").booked_at
    today = day_of(at)

    async def work(session: Session) -> None:
        for lot_id, last in (("ended", today - DAY), ("ending", today), ("endless", None)):
            lot = a_lot(lot_id, effective_on=OLD, valid_until_on=last)
            await an_issue(session, 50, lot=lot)

    await kit_house.run(work)
    sale = [a_take(quantity, f"k{quantity}") for quantity in (50, 20)]
    pledge = [a_take(quantity, f"p{quantity}", creditor="bank") for quantity in (31, 30, 70)]
    assert await taken(kit_house, *sale, *pledge) == [
        [Leg("city", "ENERGY", "ending", 0, 50)],
        [Leg("city", "ENERGY", "endless", 0, 20)],
        RightExpired,
        [Leg("city", "ENERGY", "endless", 0, 30)],
        InsufficientFreeQuantity,
    ]
    assert (await held(kit_house))[("city", "ended")] == 0


async def test_nothing_to_be_had_writes_nothing(kit_house: Database) -> None:
    await holding(kit_house, ("lot-1", 100, OLD, False))
    assert await taken(kit_house, a_take(101, "one")) == [InsufficientFreeQuantity]
    assert await rows(kit_house, "SELECT 1 FROM hold") == []
    assert await held(kit_house) == {("city", "lot-1"): 0}


async def test_only_a_pledge_mixes_lots_of_other_restrictions(kit_house: Database) -> None:
    await holding(kit_house, ("free", 60, OLD, False), ("barred", 60, NEW, True))
    assert await taken(kit_house, a_take(61, "sale")) == [InsufficientFreeQuantity]
    (legs,) = await taken(kit_house, a_take(61, "loan", creditor="bank"))
    assert legs == [Leg("city", "ENERGY", "free", 0, 60), Leg("city", "ENERGY", "barred", 0, 1)]


@pytest.mark.article("art. 19")
async def test_what_is_there_but_pledged_is_refused_as_pledged(kit_house: Database) -> None:
    await holding(kit_house, ("lot-1", 5_000, OLD, False))
    outcomes = await taken(
        kit_house,
        a_take(3_000, "loan", creditor="bank"),
        a_take(2_500, "sale"),
        a_take(5_001, "more"),
        a_take(500, "other"),
        # 1,500 are free and 3,000 pledged; 500 are held for something else.
        a_take(4_501, "again", creditor="bank"),
        a_take(4_500, "again", creditor="bank"),
    )
    pledged, short = PledgedQuantity, InsufficientFreeQuantity
    assert [one for one in outcomes if isinstance(one, type)] == [pledged, short, short, pledged]
    assert PledgedQuantity.article == "art. 19"


@pytest.mark.article("art. 19")
async def test_a_transfer_of_what_is_pledged_is_refused_as_pledged(kit_house: Database) -> None:
    await holding(kit_house, ("lot-1", 100, OLD, False))
    await taken(kit_house, a_take(60, "loan", creditor="bank"))

    async def move(quantity: int) -> None:
        gone = Leg("city", "ENERGY", "lot-1", -quantity, 0)
        legs = [gone, Leg("bank", "ENERGY", "lot-1", quantity, 0)]
        await kit_house.run(lambda s: book(s, a_booking(), legs))

    with pytest.raises(PledgedQuantity):
        await move(41)
    with pytest.raises(InsufficientFreeQuantity):
        await move(101)
    await kit_house.run(lambda s: void_part(s, a_booking("RELEASE", "loan"), 1))
    await move(41)
    await assert_conserved(kit_house)


async def test_an_unknown_account_is_nobody_s_pledge(kit_house: Database) -> None:
    await holding(kit_house, ("lot-1", 100, OLD, False))
    legs = [Leg("city", "ENERGY", "lot-1", -1, 0), Leg("nobody", "ENERGY", "lot-1", 1, 0)]
    with pytest.raises(InsufficientFreeQuantity):
        await kit_house.run(lambda s: book(s, a_booking(), legs))
    assert await held(kit_house) == {("city", "lot-1"): 0}
