"""The doors of notices: who comes in, what each answer looks like, what anyone may read."""

from typing import Any

import pytest

from databases import rows
from marketkit.db import Database
from saleroom.endings.routes import routes as endings
from saleroom.notices.routes import routes
from saleroom.officers.routes import routes as officers
from saleroom.openings.routes import routes as openings
from saleroom.settlements.routes import routes as settlements
from toy_market import ANNOUNCED, DAY, OPENS, Doors, Room, a_draft

COMMANDS: dict[str, Any] = {
    "/v1/sales": a_draft().model_dump(mode="json"),
    "/v1/sales/{sale}/drills": None,
    "/v1/sales/{sale}/announcements": None,
    "/v1/sales/{sale}/suspensions": {"reason": "设备检修"},
    "/v1/sales/{sale}/resumptions": None,
    "/v1/sales/{sale}/archivings": None,
    "/v1/sales/{sale}/openings/requests": None,
    "/v1/sales/{sale}/cancellations/requests": {"reason": "标的调整"},
    "/v1/sales/{sale}/cancellations/requests/x/confirmations": None,
    "/v1/sales/{sale}/settlements/x/payments": {
        "amount_yuan": "1.00", "booked_at": OPENS.isoformat(), "bank_serial": "1",
    },
    "/v1/sales/{sale}/settlements/x/defaults": None,
}  # fmt: skip


@pytest.fixture
def room(energy_house: Database) -> Room:
    return Room(energy_house)


@pytest.fixture
def doors(room: Room) -> Doors:
    return Doors.of(room.house, routes, officers, openings, settlements, endings)


@pytest.mark.parametrize("path", COMMANDS)
async def test_only_the_city_s_trading_centre_conducts_a_sale(
    room: Room, doors: Doors, path: str
) -> None:
    await room.draft()
    before = await rows(room.house, "SELECT count(*) FROM outbox")
    body, address = COMMANDS[path], path.format(sale=room.sale_id)
    assert await doors.refusals("POST", address, "trading_center", body) == {
        "UNAUTHENTICATED", "ROLE_NOT_ALLOWED",
    }  # fmt: skip
    county = doors.token("trading_center", region_code="370502")
    answer = await doors.send("POST", address, body, token=county)
    assert (answer.status_code, answer.json()["code"]) == (403, "REGION_NOT_ALLOWED")
    assert await rows(room.house, "SELECT count(*) FROM outbox") == before


async def test_a_draft_has_an_address_and_is_nobody_else_s(room: Room, doors: Doors) -> None:
    center = doors.token("trading_center")
    room.at(ANNOUNCED)
    made = await doors.send("POST", "/v1/sales", COMMANDS["/v1/sales"], token=center)
    assert made.status_code == 201
    assert made.headers["location"] == f"/v1/sales/{made.json()['sale_id']}"
    address = made.headers["location"]
    hidden = await doors.send("GET", address)
    unknown = await doors.send("GET", "/v1/sales/01AAAAAAAAAAAAAAAAAAAAAAAA")
    assert hidden.status_code == unknown.status_code == 404
    assert hidden.json() | {"trace_id": ""} == unknown.json() | {"trace_id": ""}
    shown = await doors.send("GET", f"{address}/draft", token=center)
    assert (shown.status_code, shown.json()["state"]) == (200, "DRAFT")
    assert (await doors.send("GET", "/v1/sales")).json()["total"] == 0


async def test_anyone_reads_an_announced_sale_and_learns_no_count(room: Room, doors: Doors) -> None:
    await room.announce()
    before = (await doors.send("GET", f"/v1/sales/{room.sale_id}")).json()
    await room.enter(1)
    room.at(OPENS)
    await room.place(await room.seal(1))
    after = (await doors.send("GET", f"/v1/sales/{room.sale_id}")).json()
    assert after == before | {"state": "OPEN"}
    assert after["terms"]["supply"] == "10000.000"
    assert (await doors.send("GET", "/v1/sales")).json()["items"] == [after]
    gone = await doors.send("GET", f"/v1/sales/{room.sale_id}/draft", token=doors.token("auditor"))
    assert gone.status_code == 404


async def test_a_draft_that_is_cancelled_stays_unpublished(room: Room, doors: Doors) -> None:
    await room.draft()
    first, second = (doors.token("trading_center", sub=sub) for sub in ("first", "second"))
    address = f"/v1/sales/{room.sale_id}/cancellations/requests"
    asked = await doors.send("POST", address, {"reason": "另行安排"}, token=first)
    assert asked.status_code == 201
    confirmation = f"{address}/{asked.json()['request_id']}/confirmations"
    same = await doors.send("POST", confirmation, token=first)
    assert (same.status_code, same.json()["code"]) == (403, "SAME_PERSON")
    other = await doors.send("POST", confirmation, token=second)
    assert (other.status_code, other.json()["state"]) == (200, "CANCELLED")
    assert (await doors.send("GET", f"/v1/sales/{room.sale_id}")).status_code == 404
    assert (await doors.send("GET", "/v1/sales")).json()["total"] == 0


async def test_sales_are_listed_newest_first_by_the_page(room: Room, doors: Doors) -> None:
    first = await room.announce()
    await rows(room.house, "UPDATE sale SET announced_at = :at", at=ANNOUNCED - DAY)
    second = await room.announce()
    pages = [
        (await doors.send("GET", f"/v1/sales?page={page}&page_size=1")).json() for page in (1, 2, 3)
    ]
    assert {page["total"] for page in pages} == {2}
    listed = [item["sale_id"] for page in pages for item in page["items"]]
    assert listed == [second, first]


async def test_refusals_of_a_notice_are_problems_with_their_article(
    room: Room, doors: Doors
) -> None:
    await room.draft(deposit_ratio_bp=9_000)
    room.at(ANNOUNCED)
    center = doors.token("trading_center")
    address = f"/v1/sales/{room.sale_id}"
    answer = await doors.send("POST", f"{address}/announcements", token=center)
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert (said["status"], said["code"], said["article"]) == (422, "TERMS_OUT_OF_BOUNDS", "art. 5")
    wrong = await doors.send("POST", f"{address}/resumptions", token=center)
    assert (wrong.status_code, wrong.json()["code"]) == (409, "SALE_STATE_NOT_ALLOWED")
    unknown = await doors.send("POST", "/v1/sales/x/announcements", token=center)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "SALE_UNKNOWN")


@pytest.mark.parametrize(
    "changes",
    [{"supply": 10}, {"supply": "1e3"}, {"opens_at": "2022-10-17T09:00:00"}, {"surprise": 1}],
    ids=str,
)
async def test_a_malformed_draft_is_refused(doors: Doors, changes: dict[str, Any]) -> None:
    body = COMMANDS["/v1/sales"] | changes
    answer = await doors.send("POST", "/v1/sales", body, token=doors.token("trading_center"))
    assert answer.status_code == 422
    assert answer.json()["code"] == "INPUT_INVALID"


async def test_an_announcement_sent_again_is_answered_again(room: Room, doors: Doors) -> None:
    await room.draft()
    await room.drill()
    room.at(ANNOUNCED)
    center = doors.token("trading_center")
    address = f"/v1/sales/{room.sale_id}/announcements"
    answers = [await doors.send("POST", address, token=center, key="one") for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    late = await doors.send("POST", address, token=center)
    assert late.json()["code"] == "SALE_STATE_NOT_ALLOWED"
