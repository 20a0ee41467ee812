"""The door of the reconciliation: escrow, treasury and ledger, to the fen."""

import pytest

from contracts.escrow import ForfeitRemitted
from databases import rows
from marketkit.db import Database
from saleroom.escrow.routes import routes
from stories import Story
from toy_market import CONFIRMS, DAY, OPENS, TICK, Doors

WHOLE = "/v1/escrow-reconciliation"
PAY_BY = CONFIRMS + 7 * DAY


@pytest.fixture
async def story(energy_house: Database) -> Story:
    """One pays and is delivered, two defaults, three loses."""
    story = Story(energy_house)
    await story.bidders(("226.50", "4000"), ("220.00", "5000"), ("199.00", "1000"))
    return story


@pytest.fixture
def doors(story: Story) -> Doors:
    return Doors.of(story.house, routes)


async def to_the_end(story: Story) -> None:
    await story.open()
    await story.confirm()
    for number in (1, 2):
        await story.sign(number)
    await story.pay(1)
    await story.deliver(1)
    story.at(PAY_BY + TICK)
    await story.default(2)


def remittance(story: Story, number: int) -> str:
    return f"/v1/sales/{story.sale_id}/settlements/{story.contract(number)}/forfeit-remittances"


async def test_a_sale_from_its_deposits_to_the_treasury(story: Story, doors: Doors) -> None:
    center = doors.token("trading_center")
    sale = f"/v1/sales/{story.sale_id}/escrow-reconciliation"
    before = (await doors.send("GET", sale, token=center)).json()
    assert (before["received_yuan"], before["deposits_yuan"]) == ("600000.00", "600000.00")
    assert before["is_matched"]
    await to_the_end(story)
    await doors.send(
        "POST",
        remittance(story, 2),
        {"treasury_receipt_no": "罚没1"},
        token=doors.token("bureau_officer"),
    )
    after = (await doors.send("GET", sale, token=center)).json()
    # 880,000.00 the price of one, 200,000.00 the forfeit of two; three's goes back by today.
    assert (after["received_yuan"], after["remitted_yuan"]) == ("1280000.00", "1080000.00")
    assert after["to_return_yuan"] == "200000.00"
    assert after["mismatches"] == []
    whole = (await doors.send("GET", WHOLE, token=center)).json()
    assert whole | {"sale_id": story.sale_id} == after
    then = await doors.send("GET", f"{sale}?on={(OPENS).date()}", token=center)
    assert then.json()["deposits_yuan"] == "600000.00"
    early = await doors.send("GET", f"{sale}?on=2022-01-01", token=center)
    assert early.json()["received_yuan"] == "0.00"


async def test_a_reversed_delivery_agrees_as_one_sale_and_as_all(
    story: Story, doors: Doors
) -> None:
    await story.open()
    await story.confirm()
    await story.sign(1)
    await story.pay(1)
    await story.deliver(1)
    await story.reverse(1, (await story.ask_to_reverse(1)).request_id)
    sale = f"/v1/sales/{story.sale_id}/escrow-reconciliation"
    # Between the two the treasury has the price of what nobody has.
    for is_delivered, wanted in ((False, ["RECEIPT_MISMATCH"]), (True, [])):
        if is_delivered:
            await story.deliver(1)
        token = doors.token("trading_center")
        one, whole = [(await doors.send("GET", path, token=token)).json() for path in (sale, WHOLE)]
        assert whole | {"sale_id": story.sale_id} == one
        assert [found["code"] for found in whole["mismatches"]] == wanted


async def test_what_does_not_agree_is_named(story: Story, doors: Doors) -> None:
    await to_the_end(story)
    story.at(PAY_BY + 2 * DAY)
    await rows(story.house, "UPDATE settlement SET quantity_minor = 1 WHERE state = 'DELIVERED'")
    found = (await doors.send("GET", WHOLE, token=doors.token("auditor"))).json()
    assert not found["is_matched"]
    assert sorted(one["code"] for one in found["mismatches"]) == [
        "CREDIT_MISMATCH", "FORFEIT_NOT_REMITTED", "REFUND_OVERDUE",
    ]  # fmt: skip
    assert all(one["title"] for one in found["mismatches"])


async def test_a_forfeit_goes_to_the_treasury_once(story: Story, doors: Doors) -> None:
    await to_the_end(story)
    bureau = doors.token("bureau_officer")
    steps = [
        (1, "罚没1", 409, "SETTLEMENT_STATE_NOT_ALLOWED"),
        (3, "罚没1", 404, "SETTLEMENT_UNKNOWN"),
        (2, "treasury-1", 409, "TREASURY_RECEIPT_USED"),
        (2, "罚没1", 200, None),
        (2, "罚没2", 409, "FORFEIT_REMITTED_ALREADY"),
    ]
    for number, receipt_no, status, code in steps:
        form = {"treasury_receipt_no": receipt_no}
        answer = await doors.send("POST", remittance(story, number), form, token=bureau)
        assert (answer.status_code, answer.json().get("code")) == (status, code)
    (told,) = await story.told(ForfeitRemitted)
    assert (told.amount_yuan, told.treasury_receipt_no) == (20_000_000, "罚没1")


@pytest.mark.parametrize("role", ["auditor", "supervisor"])
async def test_who_books_no_money_sees_nothing_of_a_sealed_sale(
    story: Story, doors: Doors, role: str
) -> None:
    token = doors.token(role)
    sale = f"/v1/sales/{story.sale_id}/escrow-reconciliation"
    sealed = await doors.send("GET", sale, token=token)
    assert (sealed.status_code, sealed.json()["code"]) == (409, "SALE_STATE_NOT_ALLOWED")
    whole = (await doors.send("GET", WHOLE, token=token)).json()
    assert (whole["is_partial"], whole["received_yuan"]) == (True, "0.00")
    await story.open()
    assert (await doors.send("GET", sale, token=token)).status_code == 200
    whole = (await doors.send("GET", WHOLE, token=token)).json()
    assert (whole["is_partial"], whole["received_yuan"]) == (False, "600000.00")


async def test_who_may_ask_and_what_for(story: Story, doors: Doors) -> None:
    for role in ("enterprise", "bureau_officer", "key_officer", "county_officer"):
        answer = await doors.send("GET", WHOLE, token=doors.token(role))
        assert (answer.status_code, answer.json()["code"]) == (403, "ROLE_NOT_ALLOWED")
    county = doors.token("auditor", region_code="370502")
    assert (await doors.send("GET", WHOLE, token=county)).json()["code"] == "REGION_NOT_ALLOWED"
    token = doors.token("trading_center")
    unknown = await doors.send("GET", "/v1/sales/x/escrow-reconciliation", token=token)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "SALE_UNKNOWN")
    for day in ("2031-01-01", "2022-02-30", "today"):
        odd = await doors.send("GET", f"{WHOLE}?on={day}", token=token)
        assert (odd.status_code, odd.json()["code"]) == (422, "INPUT_INVALID")
    refusals = await doors.refusals(
        "POST", remittance(story, 1), "bureau_officer", {"treasury_receipt_no": "1"}
    )
    assert refusals == {"UNAUTHENTICATED", "ROLE_NOT_ALLOWED"}
