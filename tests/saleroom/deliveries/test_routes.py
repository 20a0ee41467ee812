"""The doors of reversals: two officers of the market's department, of the city."""

import pytest

from marketkit.db import Database
from saleroom.deliveries.routes import routes
from stories import Story
from toy_market import Doors

FORM = {"document_no": "鲁发改冲〔2022〕1号", "reason": "划入有误"}


@pytest.fixture
async def story(energy_house: Database) -> Story:
    story = Story(energy_house)
    await story.bidders(("226.50", "4000"))
    await story.open()
    await story.confirm()
    await story.sign(1)
    await story.pay(1)
    await story.deliver(1)
    return story


async def test_two_officers_of_the_department_reverse_a_delivery(story: Story) -> None:
    doors = Doors.of(story.house, routes)
    contract = f"/v1/sales/{story.sale_id}/settlements/{story.contract(1)}"
    address = f"{contract}/delivery-reversals/requests"
    paths = [(address, FORM), (f"{address}/x/confirmations", None)]
    for path, body in paths:
        assert await doors.refusals("POST", path, "bureau_officer", body) == {
            "UNAUTHENTICATED", "ROLE_NOT_ALLOWED",
        }  # fmt: skip
        for claims, code in (
            ({"department": "land"}, "ROLE_NOT_ALLOWED"),
            ({"region_code": "370502"}, "REGION_NOT_ALLOWED"),
        ):
            token = doors.token("bureau_officer", **claims)
            answer = await doors.send("POST", path, body, token=token)
            assert (answer.status_code, answer.json()["code"]) == (403, code)
    first, second = (doors.token("bureau_officer", sub=sub) for sub in ("one", "two"))
    for wrong in ({}, FORM | {"more": 1}, FORM | {"reason": ""}):
        answer = await doors.send("POST", address, wrong, token=first)
        assert (answer.status_code, answer.json()["code"]) == (422, "INPUT_INVALID")
    asked = await doors.send("POST", address, FORM, token=first)
    assert asked.status_code == 201
    request = f"{address}/{asked.json()['request_id']}"
    read = await doors.send("GET", request, token=second)
    assert {name: read.json()[name] for name in FORM} == FORM
    own = await doors.send("POST", f"{request}/confirmations", token=first)
    assert (own.status_code, own.json()["code"]) == (403, "SAME_PERSON")
    done = await doors.send("POST", f"{request}/confirmations", token=second)
    assert (done.status_code, done.json()["state"]) == (200, "PAID")
    again = await doors.send("POST", f"{request}/confirmations", token=second)
    assert (again.status_code, again.json()["code"]) == (409, "ALREADY_CONFIRMED")
