"""What came back from a sale may be announced once more, by a sale that names it."""

import asyncio
from typing import Any

import pytest

from contracts.sale import SaleAnnounced
from marketkit.countersign import RequestOut
from marketkit.db import Database
from saleroom.endings import actions as endings
from saleroom.notices import actions
from saleroom.notices.actions import ReasonIn, SaleRef
from saleroom.notices.rules import FollowedQuantityExceeded, FollowedSaleWrong
from stories import FIRST, SECOND, Story
from toy_market import CONFIRMS, DAY, OPENS_BY, TICK, a_draft

PAY_BY = CONFIRMS + 7 * DAY


@pytest.fixture
async def story(energy_house: Database) -> Story:
    return Story(energy_house)


async def follow(story: Story, supply: str, **changes: Any) -> SaleRef:
    said = {"follows_sale_id": story.sale_id, "supply": supply}
    draft = a_draft(list(story.officers), **(said | changes))
    return await story.house.run(lambda s: actions.draft_sale(s, story.market, draft))


async def cancel(story: Story, sale_id: str) -> None:
    reason = ReasonIn(reason="标的调整")
    asked: RequestOut = await story.house.run(
        lambda s: endings.ask_to_cancel(s, sale_id, FIRST, reason)
    )
    await story.house.run(
        lambda s: endings.cancel_sale(s, story.market, sale_id, asked.request_id, SECOND)
    )


async def partly_sold(story: Story) -> None:
    """4,000 and 5,000 sold and confirmed, 1,000 unsold."""
    await story.bidders(("226.50", "4000"), ("220.00", "5000"))
    await story.open()
    await story.confirm()


@pytest.mark.article("notice")
async def test_what_was_unsold_and_defaulted_is_announced_again(story: Story) -> None:
    await partly_sold(story)
    with pytest.raises(FollowedQuantityExceeded):
        await follow(story, "1000.001", lot_size="0.001")
    await follow(story, "400.000")
    await follow(story, "600.000")
    with pytest.raises(FollowedQuantityExceeded):
        await follow(story, "1.000")
    story.at(PAY_BY + TICK)
    await story.default(1)
    with pytest.raises(FollowedQuantityExceeded):
        await follow(story, "4001.000")
    assert (await follow(story, "4000.000")).state == "DRAFT"


@pytest.mark.article("notice")
async def test_a_draft_given_up_took_nothing(story: Story) -> None:
    await partly_sold(story)
    first = await follow(story, "1000.000")
    await cancel(story, first.sale_id)
    await follow(story, "1000.000")


@pytest.mark.article("notice")
async def test_all_of_a_sale_that_ended_without_a_deal_comes_back(story: Story) -> None:
    await story.announce()
    with pytest.raises(FollowedQuantityExceeded):
        await follow(story, "1.000")
    await cancel(story, story.sale_id)
    first = story.sale_id
    again = await follow(story, "10000.000")
    story.sale_id = again.sale_id
    await story.drill()
    await story.announce_draft()
    announced = (await story.told(SaleAnnounced))[-1]
    assert announced.follows_sale_id == first
    # What comes back from that one follows on that one, and is not offered twice.
    await cancel(story, again.sale_id)
    await follow(story, "10000.000")
    with pytest.raises(FollowedQuantityExceeded):
        await follow(story, "1.000", follows_sale_id=first)


@pytest.mark.article("notice")
async def test_a_sale_never_opened_comes_back(story: Story) -> None:
    await story.bidders(("226.50", "4000"))
    await story.reconcile()
    story.at(OPENS_BY)
    await story.house.run(lambda s: endings.fail_unopened(s, story.market), "worker")
    assert await story.state() == "FAILED"
    await follow(story, "10000.000")


@pytest.mark.article("notice")
async def test_what_was_never_announced_is_not_followed(story: Story) -> None:
    await story.draft()
    with pytest.raises(FollowedSaleWrong):
        await follow(story, "1.000")
    with pytest.raises(FollowedSaleWrong):
        await follow(story, "1.000", follows_sale_id="x")
    await story.drill()
    await story.announce_draft()
    await cancel(story, story.sale_id)
    with pytest.raises(FollowedSaleWrong):
        await follow(story, "1.000", asset="COAL")


async def test_five_that_want_the_same_are_one(story: Story) -> None:
    await story.announce()
    await cancel(story, story.sale_id)
    before = await story.kinds()
    outcomes = await asyncio.gather(
        *(follow(story, "10000.000") for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(one, SaleRef) for one in outcomes) == 1
    assert sum(isinstance(one, FollowedQuantityExceeded) for one in outcomes) == 4
    assert await story.kinds() == before
