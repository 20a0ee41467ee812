"""The doors of corrections: published for anyone, accepted by one's own enterprise."""

from typing import Any

import pytest
from prometheus_client import REGISTRY

from builders import a_uscc
from databases import rows
from marketkit.db import Database
from saleroom.corrections.routes import routes
from saleroom.notices.routes import routes as notices
from toy_market import OPENS, Doors, Room

CORRECTION: dict[str, Any] = {"text": "更正第三条"}
ROUTES = {
    "/corrections": ("trading_center", CORRECTION),
    "/registrations/{id}/acceptances": ("enterprise", {"correction": 1}),
}


@pytest.fixture
async def room(energy_house: Database) -> Room:
    room = Room(energy_house)
    await room.announce()
    return room


@pytest.fixture
def doors(room: Room) -> Doors:
    return Doors.of(room.house, routes, notices)


@pytest.mark.parametrize("path", ROUTES)
async def test_each_step_is_one_role_s(room: Room, doors: Doors, path: str) -> None:
    entered = await room.register(2)
    role, body = ROUTES[path]
    address = f"/v1/sales/{room.sale_id}" + path.format(id=entered.registration_id)
    before = await rows(room.house, "SELECT count(*) FROM outbox")
    assert await doors.refusals("POST", address, role, body) == {
        "UNAUTHENTICATED", "ROLE_NOT_ALLOWED",
    }  # fmt: skip
    county = doors.token("trading_center", region_code="370502")
    if role == "trading_center":
        answer = await doors.send("POST", address, body, token=county)
        assert (answer.status_code, answer.json()["code"]) == (403, "REGION_NOT_ALLOWED")
    assert await rows(room.house, "SELECT count(*) FROM outbox") == before


async def test_a_correction_is_read_by_anyone_and_accepted_by_its_number(
    room: Room, doors: Doors
) -> None:
    entered = await room.register(1)
    sale = f"/v1/sales/{room.sale_id}"
    center, own = doors.token("trading_center"), doors.token("enterprise")
    made = await doors.send("POST", f"{sale}/corrections", CORRECTION, token=center)
    assert (made.status_code, made.json()["correction"]) == (201, 1)
    assert (await doors.send("GET", f"{sale}/corrections")).json() == {"items": [made.json()]}
    assert (await doors.send("GET", sale)).json()["correction_count"] == 1
    address = f"{sale}/registrations/{entered.registration_id}/acceptances"
    stranger = doors.token("enterprise", uscc=a_uscc(2))
    foreign = await doors.send("POST", address, {"correction": 1}, token=stranger)
    unknown = await doors.send(
        "POST", f"{sale}/registrations/x/acceptances", {"correction": 1}, token=stranger
    )
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json() | {"trace_id": ""} == unknown.json() | {"trace_id": ""}
    done = await doors.send("POST", address, {"correction": 1}, token=own, key="one")
    assert (done.status_code, done.json()["accepted_correction"]) == (200, 1)
    again = await doors.send("POST", address, {"correction": 1}, token=own, key="one")
    assert again.content == done.content
    late = await doors.send("POST", address, {"correction": 1}, token=own)
    assert (late.status_code, late.json()["code"]) == (409, "CORRECTION_ALREADY_ACCEPTED")


@pytest.mark.parametrize(
    "body",
    [{}, {"text": ""}, {**CORRECTION, "floor_price_yuan": "300.00"},
     {**CORRECTION, "timetable": {"pay_days": 30}}, {**CORRECTION, "timetable": {"opens_at": 1}}],
    ids=str,
)  # fmt: skip
async def test_a_malformed_correction_is_refused(room: Room, doors: Doors, body: Any) -> None:
    answer = await doors.send(
        "POST", f"/v1/sales/{room.sale_id}/corrections", body, token=doors.token("trading_center")
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "INPUT_INVALID")


async def test_a_correction_that_comes_sooner_says_by_what_it_is_refused(
    room: Room, doors: Doors
) -> None:
    body = CORRECTION | {"timetable": {"closes_at": OPENS.isoformat()}}
    answer = await doors.send(
        "POST", f"/v1/sales/{room.sale_id}/corrections", body, token=doors.token("trading_center")
    )
    said = answer.json()
    assert (said["status"], said["code"], said["article"]) == (422, "TIMETABLE_WRONG", "notice")


async def test_corrections_of_what_was_never_announced_are_unknown(
    energy_house: Database, doors: Doors
) -> None:
    room = Room(energy_house)
    await room.draft()
    for sale_id in (room.sale_id, "01UNKNOWN"):
        answer = await doors.send("GET", f"/v1/sales/{sale_id}/corrections")
        assert (answer.status_code, answer.json()["code"]) == (404, "SALE_UNKNOWN")


async def test_nothing_counts_those_who_accept(room: Room, doors: Doors) -> None:
    entered = await room.register(1)
    sale = f"/v1/sales/{room.sale_id}"
    center, own = doors.token("trading_center"), doors.token("enterprise")
    await doors.send("POST", f"{sale}/corrections", CORRECTION, token=center)
    before = (await doors.send("GET", sale)).json()
    address = f"{sale}/registrations/{entered.registration_id}/acceptances"
    await doors.send("POST", address, {"correction": 1}, token=own)
    assert (await doors.send("GET", sale)).json() == before
    counted = [
        sample.labels.get("route", "") for metric in REGISTRY.collect() for sample in metric.samples
    ]
    assert counted
    assert not [route for route in counted if "acceptances" in route]
