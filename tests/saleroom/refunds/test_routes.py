"""The refund list: to whom, how much, by when; paid when the bank's file says so."""

import pytest

from bank_files import Counter, a_csv, a_row, said
from contracts.escrow import DepositReturned, StrayReturned
from contracts.sale import DepositRefunded
from databases import rows
from marketkit.db import Database
from marketkit.units import format_instant
from saleroom.allocations.routes import routes as allocations
from saleroom.refunds.routes import routes
from saleroom.sheets import cells_of
from saleroom.statements.routes import routes as statements
from stories import Story, a_step
from toy_market import CONFIRMS, DAY, OPENS, Doors

REFUNDS = "/v1/refunds"


@pytest.fixture
async def story(energy_house: Database) -> Story:
    story = Story(energy_house)
    await story.announce(deposit_interest_bp=35)
    return story


@pytest.fixture
def counter(story: Story) -> Counter:
    return Counter(Doors.of(story.house, routes, statements, allocations))


async def paid_by_the_bank(story: Story, counter: Counter) -> None:
    """One wins and two, whose money the bank's file brought, loses."""
    await story.entrant(1)
    await story.entrant(2, pays=False)
    codes = await counter.codes(a_csv(a_row(story.entered[2])))
    assert codes == ["DEPOSIT_BOOKED"]
    for number, price in ((1, "226.50"), (2, "199.00")):
        await story.bid(number, a_step(price, "5000"))
    await story.open()
    await story.confirm()


async def test_a_loser_s_deposit_goes_back_with_interest_to_where_it_came_from(
    story: Story, counter: Counter
) -> None:
    await paid_by_the_bank(story, counter)
    doors, token = counter.doors, counter.doors.token("trading_center")
    (refund,) = (await doors.send("GET", REFUNDS, token=token)).json()["items"]
    assert (refund["payee_name"], refund["payee_account"]) == ("企业2", "6222000000000000001")
    # 200,000.00 at 0.35 % for the eleven days from the booking to the confirmation: 21.095… yuan.
    assert (refund["amount_yuan"], refund["interest_yuan"]) == ("200000.00", "21.10")
    assert refund["total_yuan"] == "200021.10"
    (told,) = await story.told(DepositRefunded)
    assert (told.amount_yuan, told.interest_yuan) == (20_000_000, 2110)
    assert refund["due_at"] == format_instant(CONFIRMS + 7 * DAY)


async def test_the_bank_s_transfer_confirms_it(story: Story, counter: Counter) -> None:
    await paid_by_the_bank(story, counter)
    doors, token = counter.doors, counter.doors.token("trading_center")
    (refund,) = (await doors.send("GET", REFUNDS, token=token)).json()["items"]
    story.at(CONFIRMS + DAY)
    out = {
        "流水号": "OUT1",
        "方向": "付",
        "入账时间": said(CONFIRMS),
        "对方户名": "企业2",
        "摘要": f"退款 {refund['refund_no']}",
    }
    short = a_csv(a_row(**(out | {"流水号": "OUT0", "金额": "200000.00"})))
    assert await counter.codes(short) == ["REFUND_NOT_AS_LISTED"]
    file = a_csv(a_row(**(out | {"金额": "200021.10"})))
    assert await counter.codes(file) == ["REFUND_CONFIRMED"]
    assert await counter.codes(file) == ["REFUND_CONFIRMED"]
    again = a_csv(a_row(**(out | {"金额": "200021.10", "流水号": "OUT2"})))
    assert await counter.codes(again) == ["REFUND_RETURNED_ALREADY"]
    assert (await doors.send("GET", REFUNDS, token=token)).json()["items"] == []
    paid = await doors.send("GET", f"{REFUNDS}?state=returned", token=token)
    (returned,) = paid.json()["items"]
    assert returned["bank_serial_out"] == "OUT1"
    (deposit,) = await rows(
        story.house,
        "SELECT state, returned_at FROM deposit WHERE registration_id = :id",
        id=story.contract(2),
    )
    assert (deposit.state, deposit.returned_at) == ("REFUNDED", CONFIRMS)
    assert len(await story.told(DepositReturned)) == 1


async def test_stray_money_goes_back_without_interest(story: Story, counter: Counter) -> None:
    doors, token = counter.doors, counter.doors.token("trading_center")
    story.at(OPENS)
    (verdict,) = await counter.verdicts(a_csv(a_row(金额="12.34")))
    story.at(OPENS + 300 * DAY)
    await doors.send("POST", f"/v1/bank-bookings/{verdict['booking_id']}/returns", token=token)
    (refund,) = (await doors.send("GET", REFUNDS, token=token)).json()["items"]
    assert (refund["cause"], refund["total_yuan"]) == ("STRAY", "12.34")
    out = a_row(
        流水号="OUT1", 方向="付", 金额="12.34", 入账时间=said(OPENS + DAY), 摘要=refund["refund_no"]
    )
    assert await counter.codes(a_csv(out)) == ["REFUND_CONFIRMED"]
    assert len(await story.told(StrayReturned)) == 1


async def test_before_the_opening_a_refund_tells_no_amount(story: Story) -> None:
    await story.entrant(1)
    await story.leave(1)
    (told,) = await story.told(DepositRefunded)
    assert (told.amount_yuan, told.interest_yuan) == (None, None)


async def test_the_list_as_sheets(story: Story, counter: Counter) -> None:
    await paid_by_the_bank(story, counter)
    doors, token = counter.doors, counter.doors.token("trading_center")
    sheets = [
        await doors.send("GET", f"{REFUNDS}.{ending}", token=token)
        for ending in ("xlsx", "csv", "csv?encoding=gbk")
    ]
    read = [cells_of(sheet.content) for sheet in sheets]
    assert read[0] == read[1] == read[2]
    assert [cell.text for cell in read[0][1]][1:4] == ["企业2", "6222000000000000001", "200021.10"]
    assert sheets[1].content.startswith(b"\xef\xbb\xbf")
    assert "企业2".encode("gb18030") in sheets[2].content


@pytest.mark.parametrize("path", [REFUNDS, f"{REFUNDS}.xlsx", f"{REFUNDS}.csv"])
async def test_only_the_trading_centre_sees_it(counter: Counter, path: str) -> None:
    assert await counter.doors.refusals("GET", path, "trading_center") == {
        "UNAUTHENTICATED", "ROLE_NOT_ALLOWED",
    }  # fmt: skip
    token = counter.doors.token("trading_center")
    odd = await counter.doors.send("GET", f"{path}?state=lost", token=token)
    assert (odd.status_code, odd.json()["code"]) == (422, "INPUT_INVALID")
