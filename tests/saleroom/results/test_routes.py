"""What anyone may read of an opened sale, and nobody before."""

import pytest

from builders import a_uscc
from marketkit.db import Database
from saleroom.results.routes import routes
from stories import Story
from toy_market import Doors

READS = ("result", "revealed-bids", "awards", "rejected-steps")


@pytest.fixture
async def story(energy_house: Database) -> Story:
    story = Story(energy_house)
    await story.bidders(("226.50", "4000"), ("199.00", "1000"), ("220.00", "5000"))
    return story


@pytest.fixture
def doors(story: Story) -> Doors:
    return Doors.of(story.house, routes)


async def test_before_the_opening_a_sale_is_as_unknown_as_none(story: Story, doors: Doors) -> None:
    await story.ready()
    for read in READS:
        told = [
            await doors.send("GET", f"/v1/sales/{sale_id}/{read}", token=token)
            for sale_id in (story.sale_id, "x")
            for token in ("", doors.token("trading_center"))
        ]
        assert {answer.status_code for answer in told} == {404}
        assert len({str(answer.json() | {"trace_id": ""}) for answer in told}) == 1


async def test_after_the_opening_anyone_reads_the_result(story: Story, doors: Doors) -> None:
    await story.open()
    result = (await doors.send("GET", f"/v1/sales/{story.sale_id}/result")).json()
    assert (result["state"], result["outcome"]) == ("CLEARED", "PARTLY_SOLD")
    assert (result["clearing_price_yuan"], result["sold"]) == ("220.00", "9000.000")
    assert (result["bid_count"], result["proceeds_yuan"]) == (3, "1980000.00")
    assert len(result["draw_secret"]) == len(result["seed"]) == 64
    bids = (await doors.send("GET", f"/v1/sales/{story.sale_id}/revealed-bids")).json()
    assert [bid["bidder"] for bid in bids["items"]] == [a_uscc(1), a_uscc(2), a_uscc(3)]
    awards = (await doors.send("GET", f"/v1/sales/{story.sale_id}/awards")).json()
    assert [award["quantity"] for award in awards["items"]] == ["4000.000", "5000.000"]
    assert awards["items"][0]["amount_yuan"] == "880000.00"
    rejected = (await doors.send("GET", f"/v1/sales/{story.sale_id}/rejected-steps")).json()
    assert [step["code"] for step in rejected["items"]] == ["BELOW_FLOOR"]


async def test_between_opening_and_clearing_there_are_bids_and_no_result(
    story: Story, doors: Doors
) -> None:
    await story.ready()
    for number in (0, 1, 2):
        await story.give(number)
    await story.opener.open_all()
    result = (await doors.send("GET", f"/v1/sales/{story.sale_id}/result")).json()
    assert (result["state"], result["outcome"], result["bid_count"]) == ("OPENED", None, 3)


async def test_long_lists_come_in_pages(story: Story, doors: Doors) -> None:
    await story.open()
    path = f"/v1/sales/{story.sale_id}/revealed-bids"
    second = (await doors.send("GET", f"{path}?page=2&page_size=2")).json()
    assert [bid["bidder"] for bid in second["items"]] == [a_uscc(3)]
    assert (second["page"], second["page_size"], second["total"]) == (2, 2, 3)
    for query in ("page=0", "page_size=201", "page=x"):
        assert (await doors.send("GET", f"{path}?{query}")).status_code == 422
