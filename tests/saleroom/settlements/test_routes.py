"""The doors of settlements: each step by its own role, an enterprise its own contract."""

from typing import Any

import pytest

from builders import a_uscc
from marketkit.db import Database
from saleroom.deliveries.routes import routes as deliveries
from saleroom.settlements.routes import routes
from stories import Story
from toy_market import CLOSES, CONFIRMS, Doors


@pytest.fixture
async def story(energy_house: Database) -> Story:
    """Cleared: 1 gets 4,000 and 2 gets 5,000 at 220.00."""
    story = Story(energy_house)
    await story.bidders(("226.50", "4000"), ("220.00", "5000"))
    await story.open()
    return story


@pytest.fixture
def doors(story: Story) -> Doors:
    return Doors.of(story.house, routes, deliveries)


def address(story: Story, number: int) -> str:
    return f"/v1/sales/{story.sale_id}/settlements/{story.contract(number)}"


PAYMENT = {
    "amount_yuan": "680000.00",
    "booked_at": CLOSES.isoformat(),
    "bank_serial": "serial-1",
}
RECEIPT = {"treasury_receipt_no": "receipt-1"}


async def test_who_may_take_each_step(story: Story, doors: Doors) -> None:
    sale = f"/v1/sales/{story.sale_id}"
    steps: list[tuple[str, str, Any]] = [
        (f"{sale}/confirmations", "bureau_officer", None),
        (f"{address(story, 1)}/contracts", "enterprise", None),
        (f"{address(story, 1)}/payments", "trading_center", PAYMENT),
        (f"{address(story, 1)}/deliveries", "bureau_officer", RECEIPT),
        (f"{address(story, 1)}/defaults", "trading_center", None),
    ]
    for path, role, body in steps:
        refusals = await doors.refusals("POST", path, role, body)
        assert refusals == {"UNAUTHENTICATED", "ROLE_NOT_ALLOWED"}
        if role == "bureau_officer":
            other = doors.token(role, department="land")
            assert (await doors.send("POST", path, body, token=other)).status_code == 403
    assert await story.state() == "CLEARED"


async def test_a_contract_from_its_confirmation_to_its_delivery(story: Story, doors: Doors) -> None:
    story.at(CONFIRMS)
    bureau, center = doors.token("bureau_officer"), doors.token("trading_center")
    own = doors.token("enterprise")
    sale = f"/v1/sales/{story.sale_id}"
    steps: list[tuple[str, str, Any, str]] = [
        (f"{sale}/confirmations", bureau, None, "CONFIRMED"),
        (f"{address(story, 1)}/contracts", own, None, "SIGNED"),
        (f"{address(story, 1)}/payments", center, PAYMENT, "PAID"),
        (f"{address(story, 1)}/deliveries", bureau, RECEIPT, "DELIVERED"),
    ]
    for path, token, body, state in steps:
        answers = [await doors.send("POST", path, body, token=token, key=state) for _ in range(5)]
        assert {answer.status_code for answer in answers} == {200}, answers[0].text
        assert {answer.json()["state"] for answer in answers} == {state}
        assert len({answer.content for answer in answers}) == 1
    assert (await story.kinds()).count("delivered") == 1


async def test_an_enterprise_sees_and_signs_its_own_contract_only(
    story: Story, doors: Doors
) -> None:
    await story.confirm()
    one, two = doors.token("enterprise"), doors.token("enterprise", uscc=a_uscc(2))
    for token, number in ((one, 1), (two, 2)):
        (own,) = (
            await doors.send("GET", f"/v1/sales/{story.sale_id}/settlements", token=token)
        ).json()["items"]
        assert own["registration_id"] == story.contract(number)
    foreign = await doors.send("POST", f"{address(story, 1)}/contracts", token=two)
    unknown = await doors.send(
        "POST", f"/v1/sales/{story.sale_id}/settlements/x/contracts", token=two
    )
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json() | {"trace_id": ""} == unknown.json() | {"trace_id": ""}
    officers = await doors.send(
        "GET", f"/v1/sales/{story.sale_id}/settlements", token=doors.token("trading_center")
    )
    assert len(officers.json()["items"]) == 2


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"amount_yuan": "680000.001"}, 422, "INPUT_INVALID"),
        ({"amount_yuan": "680000.01"}, 422, "PAYMENT_AMOUNT_WRONG"),
        ({"booked_at": "2022-10-21 09:00"}, 422, "INPUT_INVALID"),
        ({"booked_at": "2031-01-01T00:00:00Z"}, 422, "PAYMENT_BOOKED_IN_FUTURE"),
    ],
)
async def test_a_payment_that_is_refused(
    story: Story, doors: Doors, changes: dict[str, str], status: int, code: str
) -> None:
    await story.confirm()
    await story.sign(1)
    answer = await doors.send(
        "POST",
        f"{address(story, 1)}/payments",
        PAYMENT | changes,
        token=doors.token("trading_center"),
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)
