"""The doors of entries: only the officers who qualify and book deposits see who registered."""

from typing import Any

import pytest
from prometheus_client import REGISTRY

from builders import a_project_code, a_uscc
from databases import rows
from marketkit.db import Database
from saleroom.bookings.rules import is_sub_account
from saleroom.entries.routes import routes
from toy_market import CLOSES, OPENS, Doors, Room

OWN = "/v1/sales/{sale_id}/registration"
ENTRY = {"project_code": a_project_code(1), "name": "示例企业", "quantity_max": "1000.000"}
DEPOSIT = {"amount_yuan": "40000.00", "booked_at": OPENS.isoformat(), "bank_serial": "1"}
ROUTES: list[tuple[str, str, str, Any]] = [
    ("POST", "/registrations", "enterprise", ENTRY),
    ("POST", "/registrations/{id}/withdrawals", "enterprise", None),
    ("GET", "/registration", "enterprise", None),
    ("POST", "/registrations/{id}/qualifications", "bureau_officer", {"verdict": "QUALIFIED"}),
    ("POST", "/registrations/{id}/deposits", "trading_center", DEPOSIT),
    ("POST", "/deposit-reconciliations", "trading_center", None),
]


@pytest.fixture
async def room(energy_house: Database) -> Room:
    room = Room(energy_house)
    await room.announce()
    return room


@pytest.fixture
def doors(room: Room) -> Doors:
    return Doors.of(room.house, routes)


@pytest.mark.parametrize(("method", "path", "role", "body"), ROUTES, ids=[one[1] for one in ROUTES])
async def test_each_step_is_one_role_s(
    room: Room, doors: Doors, method: str, path: str, role: str, body: Any
) -> None:
    entered = await room.register(2)
    before = await rows(room.house, "SELECT count(*) FROM outbox")
    address = f"/v1/sales/{room.sale_id}" + path.format(id=entered.registration_id)
    assert await doors.refusals(method, address, role, body) == {
        "UNAUTHENTICATED", "ROLE_NOT_ALLOWED",
    }  # fmt: skip
    if role != "enterprise":
        county = doors.token(role, region_code="370502")
        answer = await doors.send(method, address, body, token=county)
        assert (answer.status_code, answer.json()["code"]) == (403, "REGION_NOT_ALLOWED")
    assert await rows(room.house, "SELECT count(*) FROM outbox") == before


async def test_another_bureau_neither_judges_nor_sees(room: Room, doors: Doors) -> None:
    entered = await room.register(1)
    land = doors.token("bureau_officer", department="land")
    address = f"/v1/sales/{room.sale_id}/registrations"
    for method, path in (("GET", address), ("POST", f"{address}/x/qualifications")):
        answer = await doors.send(method, path, {"verdict": "QUALIFIED"}, token=land)
        assert answer.json()["code"] == "ROLE_NOT_ALLOWED"
    bureau = doors.token("bureau_officer")
    (seen,) = (await doors.send("GET", address, token=bureau)).json()["items"]
    assert seen["registration_id"] == entered.registration_id


async def test_an_entry_from_registration_to_reconciliation(room: Room, doors: Doors) -> None:
    enterprise, bureau, center = (
        doors.token(role) for role in ("enterprise", "bureau_officer", "trading_center")
    )
    sale = f"/v1/sales/{room.sale_id}"
    entered = await doors.send("POST", f"{sale}/registrations", ENTRY, token=enterprise)
    assert entered.status_code == 201
    own = await doors.send("GET", entered.headers["location"], token=enterprise)
    assert own.json() == entered.json()
    assert own.json()["deposit_due_yuan"] == "40000.00"
    assert own.json()["uscc"] == a_uscc(1)
    one = f"{sale}/registrations/{own.json()['registration_id']}"
    silent = await doors.send("POST", f"{one}/qualifications", {"verdict": "REFUSED"}, token=bureau)
    assert (silent.status_code, silent.json()["code"]) == (422, "REFUSAL_REASON_MISSING")
    judged = await doors.send(
        "POST", f"{one}/qualifications", {"verdict": "QUALIFIED"}, token=bureau
    )
    assert judged.json()["state"] == "QUALIFIED"
    room.at(OPENS)
    wrong = await doors.send(
        "POST", f"{one}/deposits", DEPOSIT | {"amount_yuan": "1.00"}, token=center
    )
    assert (wrong.status_code, wrong.json()["code"]) == (422, "DEPOSIT_AMOUNT_WRONG")
    assert wrong.json()["article"] == "notice"
    paid = await doors.send("POST", f"{one}/deposits", DEPOSIT, token=center)
    assert paid.json()["deposit_state"] == "CONFIRMED"
    early = await doors.send("POST", f"{sale}/deposit-reconciliations", token=center)
    assert (early.status_code, early.json()["code"]) == (409, "SALE_STATE_NOT_ALLOWED")
    room.at(CLOSES)
    done = await doors.send("POST", f"{sale}/deposit-reconciliations", token=center)
    assert done.json() == {"sale_id": room.sale_id, "state": "CLOSED"}


async def test_an_enterprise_sees_its_own_registration_only(room: Room, doors: Doors) -> None:
    entered = await room.register(2)
    sale = f"/v1/sales/{room.sale_id}"
    mine = await doors.send("GET", f"{sale}/registration", token=doors.token("enterprise"))
    assert (mine.status_code, mine.json()["code"]) == (404, "REGISTRATION_UNKNOWN")
    theirs = doors.token("enterprise", uscc=a_uscc(2))
    assert (await doors.send("GET", f"{sale}/registration", token=theirs)).status_code == 200
    foreign = await doors.send(
        "POST",
        f"{sale}/registrations/{entered.registration_id}/withdrawals",
        token=doors.token("enterprise"),
    )
    unknown = await doors.send(
        "POST", f"{sale}/registrations/x/withdrawals", token=doors.token("enterprise")
    )
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json() | {"trace_id": ""} == unknown.json() | {"trace_id": ""}


async def test_no_metric_counts_registrations(room: Room, doors: Doors) -> None:
    sale = f"/v1/sales/{room.sale_id}"
    await doors.send("POST", f"{sale}/registrations", ENTRY, token=doors.token("enterprise"))
    routes_measured = {
        sample.labels.get("route") for metric in REGISTRY.collect() for sample in metric.samples
    }
    assert not [route for route in routes_measured if route and route.startswith(OWN)]


async def test_a_sub_account_is_told_to_its_own_and_to_who_books_money(
    room: Room, doors: Doors
) -> None:
    entered = await room.register(1)
    assert is_sub_account(entered.sub_account or "")
    sale = f"/v1/sales/{room.sale_id}"
    own = await doors.send("GET", f"{sale}/registration", token=doors.token("enterprise"))
    assert own.json()["sub_account"] == entered.sub_account
    for role, seen in (("trading_center", entered.sub_account), ("bureau_officer", None)):
        listed = await doors.send("GET", f"{sale}/registrations", token=doors.token(role))
        (one,) = listed.json()["items"]
        assert one["sub_account"] == seen
    judged = await doors.send(
        "POST",
        f"{sale}/registrations/{entered.registration_id}/qualifications",
        {"verdict": "QUALIFIED"},
        token=doors.token("bureau_officer"),
    )
    assert judged.json()["sub_account"] is None
