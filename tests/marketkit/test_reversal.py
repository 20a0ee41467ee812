"""A transfer is undone by its opposite, once; what it took out of a hold is held again."""

import asyncio

import pytest
from sqlalchemy.exc import IntegrityError

from builders import a_booking, a_lot, an_account, an_issue
from databases import rows
from marketkit.db import Database, Session
from marketkit.holds import hold, post_holds, void_holds
from marketkit.ledger import Booking, InsufficientFreeQuantity, imbalance, open_account
from marketkit.movements import Leg
from marketkit.reversal import AlreadyReversed, credit_of, reverse

SALE = "sale-1"


@pytest.fixture
async def sold(kit_house: Database) -> Database:
    """The city held 300 of two lots of 200 for a sale; 250 went to the buyer, 50 back."""

    async def work(session: Session) -> None:
        await open_account(session, an_account("buyer"))
        for name in ("lot-1", "lot-2"):
            await an_issue(session, 200, "city", lot=a_lot(name))
        await hold(session, a_booking("SALE", SALE), "city", "ENERGY", 300)
        await post_holds(session, a_booking("SALE", SALE), "buyer", 250)
        await void_holds(session, a_booking("SALE", SALE))

    await kit_house.run(work)
    return kit_house


async def undo(house: Database, transfer_id: str = "") -> list[Leg]:
    async def work(session: Session) -> list[Leg]:
        wrong = transfer_id or await credit_of(session, SALE, "buyer")
        return await reverse(session, opposite(wrong))

    return await house.run(work)


def opposite(wrong: str) -> Booking:
    return Booking(**(vars(a_booking("REVERSAL", SALE)) | {"reverses": wrong}))


async def balances(house: Database) -> dict[tuple[str, str], tuple[int, int]]:
    found = await rows(house, "SELECT * FROM balance WHERE NOT is_issuance ORDER BY account, lot")
    return {(row.account, row.lot): (row.posted, row.held) for row in found}


async def is_conserved(house: Database) -> bool:
    found = await house.run(imbalance, "worker")
    return found.row_count > 0 and not any(found.by_asset.values())


async def test_each_leg_comes_back_and_is_held_again(sold: Database) -> None:
    legs = await undo(sold)
    assert sorted(legs) == [
        Leg("buyer", "ENERGY", "lot-1", -200, 0),
        Leg("buyer", "ENERGY", "lot-2", -50, 0),
        Leg("city", "ENERGY", "lot-1", 200, 200),
        Leg("city", "ENERGY", "lot-2", 50, 50),
    ]
    assert await balances(sold) == {
        ("buyer", "lot-1"): (0, 0),
        ("buyer", "lot-2"): (0, 0),
        ("city", "lot-1"): (200, 200),
        ("city", "lot-2"): (200, 50),
    }
    assert await is_conserved(sold)
    # And goes to whom it belongs.
    again = await sold.run(lambda s: post_holds(s, a_booking("SALE", SALE), "buyer", 250))
    assert sum(leg.posted for leg in again if leg.account == "buyer") == 250
    assert await is_conserved(sold)


async def test_it_is_reversed_once(sold: Database) -> None:
    wrong = await sold.run(lambda s: credit_of(s, SALE, "buyer"))
    outcomes = await asyncio.gather(*(undo(sold, wrong) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(one, list) for one in outcomes) == 1
    assert sum(isinstance(one, AlreadyReversed) for one in outcomes) == 4
    with pytest.raises(AlreadyReversed):
        await sold.run(lambda s: credit_of(s, SALE, "buyer"))
    assert await is_conserved(sold)


async def test_the_database_itself_takes_no_second_reversal(sold: Database) -> None:
    await undo(sold)
    with pytest.raises(IntegrityError):
        await rows(
            sold,
            "INSERT INTO transfer SELECT id || 'x', kind, key, document_no, effective_on, "
            "booked_at, policy_version, reverses FROM transfer WHERE reverses IS NOT NULL",
        )


async def test_what_is_not_free_any_more_stays(sold: Database) -> None:
    await sold.run(lambda s: hold(s, a_booking("PLEDGE", "loan-1"), "buyer", "ENERGY", 1))
    before = await balances(sold)
    with pytest.raises(InsufficientFreeQuantity):
        await undo(sold)
    assert await balances(sold) == before
    assert await is_conserved(sold)


async def test_a_reversal_is_no_credit(sold: Database) -> None:
    """What a reversal brings to the city is not found as if it had been given to it."""
    await undo(sold)
    with pytest.raises(AlreadyReversed):
        await sold.run(lambda s: credit_of(s, SALE, "city"))
