"""The doors of key officers: who registers a key, who answers a drill, what each may read."""

from typing import Any

import pytest

from marketkit.db import Database
from marketkit.signing import b64
from saleroom.officers.routes import routes
from saleroom.sealing import new_key_pair
from toy_market import Doors, Room

ANSWER = {"answer": b64(bytes(32))}


@pytest.fixture
def room(energy_house: Database) -> Room:
    return Room(energy_house)


@pytest.fixture
def doors(room: Room) -> Doors:
    return Doors.of(room.house, routes)


def officer(doors: Doors, number: int) -> str:
    return doors.token("key_officer", sub=f"officer-{number}")


async def test_only_a_key_officer_registers_a_key(doors: Doors) -> None:
    body = {"public_key": b64(new_key_pair().public_key)}
    assert await doors.refusals("POST", "/v1/key-officers", "key_officer", body) == {
        "UNAUTHENTICATED", "ROLE_NOT_ALLOWED",
    }  # fmt: skip
    answer = await doors.send("POST", "/v1/key-officers", body, token=doors.token("key_officer"))
    assert answer.status_code == 200
    assert answer.json()["public_key"] == body["public_key"]


async def test_only_a_key_officer_answers_a_drill(room: Room, doors: Doors) -> None:
    await room.draft()
    drill_id = await room.begin_drill()
    address = f"/v1/sales/{room.sale_id}/drills/{drill_id}/answers"
    assert await doors.refusals("POST", address, "key_officer", ANSWER) == {
        "UNAUTHENTICATED", "ROLE_NOT_ALLOWED",
    }  # fmt: skip
    wrong = await doors.send("POST", address, ANSWER, token=officer(doors, 0))
    assert (wrong.status_code, wrong.json()["code"]) == (422, "DRILL_ANSWER_WRONG")
    right = {"answer": b64(await room.drill_answer(0))}
    answers = [
        await doors.send("POST", address, right, token=officer(doors, 0), key="one")
        for _ in range(3)
    ]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    again = await doors.send("POST", address, right, token=officer(doors, 0))
    assert (again.status_code, again.json()["code"]) == (409, "DRILL_ALREADY_ANSWERED")
    stranger = await doors.send("POST", address, right, token=officer(doors, 9))
    assert (stranger.status_code, stranger.json()["code"]) == (404, "DRILL_UNKNOWN")


@pytest.mark.parametrize("body", [{}, {"answer": 1}, {"answer": ""}, ANSWER | {"more": 1}], ids=str)
async def test_a_malformed_answer_is_refused(
    room: Room, doors: Doors, body: dict[str, Any]
) -> None:
    await room.draft()
    address = f"/v1/sales/{room.sale_id}/drills/{await room.begin_drill()}/answers"
    answer = await doors.send("POST", address, body, token=officer(doors, 0))
    assert (answer.status_code, answer.json()["code"]) == (422, "INPUT_INVALID")


async def test_a_drill_is_seen_by_its_officers_and_the_trading_centre(
    room: Room, doors: Doors
) -> None:
    await room.draft()
    await room.begin_drill()
    address = f"/v1/sales/{room.sale_id}/drill"
    for role in ("enterprise", "bureau_officer", "county_officer", "auditor", "witness"):
        refused = await doors.send("GET", address, token=doors.token(role))
        assert (refused.status_code, refused.json()["code"]) == (403, "ROLE_NOT_ALLOWED")
    own = await doors.send("GET", address, token=officer(doors, 1))
    assert own.json()["officer_id"] in room.officers
    assert own.json()["challenge"]
    seen = await doors.send("GET", address, token=doors.token("trading_center"))
    assert len(seen.json()["officers"]) == 5
    assert seen.json()["challenge"] == ""
