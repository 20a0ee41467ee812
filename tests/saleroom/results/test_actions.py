"""What an opened sale comes to, kept and told."""

import asyncio
from typing import Any

import pytest

from builders import a_uscc
from contracts.sale import (
    BidsRevealed,
    DepositRefunded,
    SaleAnnounced,
    SaleCleared,
    SaleFailed,
    SaleOpened,
    SealedBidPlaced,
)
from databases import rows
from marketkit.db import Database
from saleroom.notices.actions import SaleRef
from saleroom.notices.rules import SaleStateNotAllowed
from saleroom.recompute import opening_faults, recompute, whole
from saleroom.results import actions
from stories import Story, a_step
from toy_market import TOY


@pytest.fixture
def story(energy_house: Database) -> Story:
    return Story(energy_house)


async def recomputed(story: Story) -> SaleCleared:
    (announced,) = await story.told(SaleAnnounced)
    (opened,) = await story.told(SaleOpened)
    parts = await story.told(BidsRevealed)
    placed = {fact.receipt_id: fact.commitment for fact in await story.told(SealedBidPlaced)}
    assert list(opening_faults(announced, placed, opened, parts)) == []
    return recompute(announced, opened, parts)


async def test_the_result_follows_from_what_was_told_alone(story: Story) -> None:
    await story.announce()
    for number in (1, 2, 3):
        await story.entrant(number, pays=number != 3)
    await story.bid(1, a_step("199.00", "10"), a_step("226.50", "4000"))
    await story.bid(2, a_step("220.00", "4000"), a_step("230.00", "0.5"))
    await story.bid(3, a_step("300.00", "5000"))
    await story.open()
    cleared = whole(await story.told(SaleCleared))
    assert cleared == await recomputed(story)
    assert [(one.bidder, one.quantity) for one in cleared.awards] == [
        (a_uscc(1), "4000.000"),
        (a_uscc(2), "4000.000"),
    ]
    assert [one.code for one in cleared.rejected] == ["BELOW_FLOOR", "OFF_LOT"]


async def test_awards_and_rejected_steps_are_kept_in_order(story: Story) -> None:
    low, high = await story.bidders(("220.00", "4000"), ("226.50", "5000"))
    await story.open()
    found = await rows(story.house, "SELECT * FROM award ORDER BY rank")
    assert [(one.bid_id, one.rank, one.quantity_minor) for one in found] == [
        (f"{high}-1", 1, 5_000_000),
        (f"{low}-1", 2, 4_000_000),
    ]
    assert {one.price_fen for one in found} == {22_000}
    (result,) = await rows(story.house, "SELECT * FROM result")
    assert (result.outcome, result.sold_minor, result.unsold_minor) == (
        "PARTLY_SOLD",
        9_000_000,
        1_000_000,
    )
    assert result.proceeds_fen == sum(one.amount_fen for one in found)


async def test_the_bid_at_the_margin_is_cut(story: Story) -> None:
    await story.announce()
    for number, price in enumerate(("230.00", "220.00", "210.00"), 1):
        await story.entrant(number, "6000.000")
        await story.bid(number, a_step(price, "6000"))
    await story.open()
    cleared = whole(await story.told(SaleCleared))
    assert [one.quantity for one in cleared.awards] == ["6000.000", "4000.000"]
    assert (cleared.outcome, cleared.unsold) == ("SOLD", "0.000")


@pytest.mark.parametrize(
    ("changes", "offers", "reason"),
    [
        ({}, [("199.99", "100")], "NO_AWARD"),
        ({"undersubscribed": "CANCEL"}, [("210.00", "100")], "UNDERSUBSCRIBED"),
        ({"bidders_min": 3}, [("210.00", "100"), ("210.00", "100")], "TOO_FEW_BIDDERS"),
    ],
)
async def test_a_sale_without_a_deal_gives_all_back(
    story: Story, changes: dict[str, Any], offers: list[tuple[str, str]], reason: str
) -> None:
    await story.announce(**changes)
    assert await story.held() == "10000.000"
    await story.bidders(*offers)
    await story.open()
    assert await story.state() == "FAILED"
    (failed,) = await story.told(SaleFailed)
    assert failed.reason == reason
    assert [movement.held for movement in failed.movements] == ["-10000.000"]
    assert await story.held() == "0.000"
    assert set((await story.deposits()).values()) == {"REFUNDED"}
    assert len(await story.told(DepositRefunded)) == len(offers)
    assert (await story.kinds())[-1] == "failed"
    assert whole(await story.told(SaleCleared)) == await recomputed(story)
    assert await story.is_conserved()


async def test_a_sale_is_cleared_once_however_often_it_is_tried(story: Story) -> None:
    await story.bidders(("210.00", "100"))
    await story.ready()
    for number in (0, 1, 2):
        await story.give(number)
    await story.opener.open_all()
    uncleared = await story.house.run(lambda s: actions.uncleared_sale(s, story.sale_id))
    cleared = uncleared.cleared()
    outcomes = await asyncio.gather(
        *(story.house.run(lambda s: actions.clear_sale(s, TOY, cleared)) for _ in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, SaleRef) for one in outcomes) == 1
    assert sum(isinstance(one, SaleStateNotAllowed) for one in outcomes) == 4
    assert len(await story.told(SaleCleared)) == 1


async def test_two_openers_that_clear_at_once_do_no_harm(story: Story) -> None:
    await story.bidders(("210.00", "100"))
    await story.ready()
    for number in (0, 1, 2):
        await story.give(number)
    await story.opener.open_all()
    await asyncio.gather(story.opener.turn(), Story(story.house).opener.turn())
    assert await story.state() == "CLEARED"
    assert len(await story.told(SaleCleared)) == 1


async def test_a_draw_decides_between_equal_prices(story: Story) -> None:
    await story.announce(tie_rule="RANDOM")
    for number in (1, 2, 3):
        await story.entrant(number)
        await story.bid(number, a_step("210.00", "5000"))
    await story.open()
    assert whole(await story.told(SaleCleared)) == await recomputed(story)
    assert len(whole(await story.told(SaleCleared)).awards) == 2
