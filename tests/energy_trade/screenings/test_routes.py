"""The doors of screenings: a county screens its own projects, and sees no other's."""

import asyncio
from typing import Any

import httpx
import pytest

from builders import COUNTY, OTHER_COUNTY, Trust, a_client, a_key, a_project_code, a_uscc
from databases import rows
from energy_trade.screenings.routes import routes
from marketkit.db import Database
from marketkit.identity import PEOPLE_ROLES
from marketkit.web import create_app
from toy_market import ANNOUNCED, events_of

PATH = "/v1/screenings"
READERS = {"county_officer", "bureau_officer", "enterprise", "supervisor", "auditor"}


class Doors:
    def __init__(self, house: Database) -> None:
        self.trust = Trust()
        self.app = create_app(house, self.trust.verifier, "toy", [routes()])

    async def send(self, method: str, body: Any = None, token: str = "") -> httpx.Response:
        async with a_client(self.app, token, **a_key()) as client:
            return await client.request(method, PATH, json=body)

    async def screen(self, number: int, county: str = COUNTY, **changes: Any) -> httpx.Response:
        token = self.trust.token("county_officer", region_code=county)
        return await self.send("POST", a_body(number, **changes), token)

    async def seen(self, role: str, **claims: Any) -> list[str]:
        answer = await self.send("GET", token=self.trust.token(role, **claims))
        assert answer.status_code == 200, answer.text
        return [found["project_code"] for found in answer.json()]


def a_body(number: int, **changes: Any) -> dict[str, Any]:
    said = {
        "uscc": a_uscc(number),
        "project_code": a_project_code(number),
        "name": "示例项目",
        "is_dual_high": False,
    }
    return said | changes


@pytest.fixture
def doors(energy_house: Database) -> Doors:
    energy_house.fixed_instant = ANNOUNCED
    return Doors(energy_house)


@pytest.mark.article("art. 5")
async def test_a_county_screens_a_project_and_tells_it(
    doors: Doors, energy_house: Database
) -> None:
    answer = await doors.screen(1, is_dual_high=True)
    assert answer.status_code == 201
    assert answer.json()["region_code"] == COUNTY
    (event,) = await events_of(energy_house)
    assert event["type"] == "yaosu.energy.project.screened.v1"
    assert event["partitionkey"] == a_project_code(1)
    assert event["regioncode"] == COUNTY
    assert event["data"] == {
        "uscc": a_uscc(1),
        "project_code": a_project_code(1),
        "region_code": COUNTY,
        "is_dual_high": True,
    }


@pytest.mark.article("art. 5")
async def test_nobody_but_a_county_screens(doors: Doors, energy_house: Database) -> None:
    assert (await doors.send("POST", a_body(1))).status_code == 401
    for role in PEOPLE_ROLES - {"county_officer"}:
        answer = await doors.send("POST", a_body(1), doors.trust.token(role))
        assert (answer.status_code, answer.json()["code"]) == (403, "ROLE_NOT_ALLOWED")
    city = await doors.screen(1, county="370500")
    assert (city.status_code, city.json()["code"]) == (403, "NO_COUNTY")
    assert await rows(energy_house, "SELECT 1 FROM screening") == []


@pytest.mark.article("art. 5")
async def test_a_project_is_screened_once_whichever_county_asks(
    doors: Doors, energy_house: Database
) -> None:
    answers = await asyncio.gather(
        *(doors.screen(1, county) for county in (COUNTY, OTHER_COUNTY) for _ in range(3))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]
    assert {a.json()["code"] for a in answers if a.status_code == 409} == {
        "PROJECT_ALREADY_SCREENED"
    }
    assert len(await events_of(energy_house)) == 1


async def test_each_sees_its_own(doors: Doors) -> None:
    await doors.screen(1, COUNTY)
    await doors.screen(2, OTHER_COUNTY)
    one, two = a_project_code(1), a_project_code(2)
    assert await doors.seen("county_officer", region_code=COUNTY) == [one]
    assert await doors.seen("county_officer", region_code=OTHER_COUNTY) == [two]
    assert await doors.seen("enterprise", region_code="", uscc=a_uscc(2)) == [two]
    assert await doors.seen("enterprise", region_code="", uscc=a_uscc(3)) == []
    assert await doors.seen("bureau_officer", department="energy") == [one, two]
    for role in PEOPLE_ROLES - READERS:
        answer = await doors.send("GET", token=doors.trust.token(role))
        assert answer.status_code == 403, role


@pytest.mark.parametrize(
    "changes",
    [
        {"uscc": "91370500MA3TEQT19X"},
        {"project_code": "2205-370502-04-01"},
        {"is_dual_high": "no"},
        {"name": ""},
        {"region_code": OTHER_COUNTY},
    ],
    ids=str,
)
async def test_a_malformed_screening_is_refused(doors: Doors, changes: dict[str, Any]) -> None:
    assert (await doors.screen(1, **changes)).status_code == 422
