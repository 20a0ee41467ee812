"""The doors of coal stocks: who reports, who sees what, what is malformed."""

from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from builders import COUNTY, OTHER_COUNTY
from databases import rows
from energy_office import A_COUNTY_OFFICER, FIRST, Office, a_reader, a_report, a_stock
from marketkit.batch import COMMANDS_MAX
from marketkit.identity import PEOPLE_ROLES

PATH = "reports/coal-stock"
REPORTERS = {"county_officer", "county_system"}
READERS = REPORTERS | {"bureau_officer", "supervisor", "auditor"}


async def test_a_county_s_officer_or_system_reports(office: Office) -> None:
    for number, role in enumerate(sorted(REPORTERS)):
        who = a_reader(role, region_code=COUNTY)
        answer = await office.send(PATH, a_report(a_stock(number)), who)
        assert (answer.status_code, answer.json()["accepted_count"]) == (200, 1)


async def test_nobody_else_reports(office: Office) -> None:
    assert (await office.send(PATH, a_report(), None)).status_code == 401
    for role in PEOPLE_ROLES - REPORTERS:
        who = a_reader(role, region_code=COUNTY)
        assert await office.refused(PATH, a_report(), who) == (403, "ROLE_NOT_ALLOWED")
    for region in ("370500", "370000", ""):
        who = a_reader("county_officer", region_code=region)
        assert await office.refused(PATH, a_report(), who) == (403, "COUNTY_REPORTER_REQUIRED")


async def test_each_county_sees_its_own_plants_the_city_all(office: Office) -> None:
    for county in (COUNTY, OTHER_COUNTY):
        who = a_reader("county_officer", region_code=county)
        await office.send(PATH, a_report(a_stock()), who)
        await office.send(PATH, a_report(a_stock(revision=2, stock_t="160000"), a_stock(2)), who)

    async def seen(role: str, **claims: Any) -> list[tuple[str, str, int]]:
        found = await office.told(PATH, a_reader(role, **claims))
        assert found["total"] == len(found["items"])
        return [(one["region_code"], one["plant_id"], one["revision"]) for one in found["items"]]

    def own(county: str) -> list[tuple[str, str, int]]:
        return [(county, "plant-1", 2), (county, "plant-2", 1)]

    assert await seen("county_officer", region_code=COUNTY) == own(COUNTY)
    assert await seen("county_system", region_code=OTHER_COUNTY) == own(OTHER_COUNTY)
    assert await seen("supervisor", region_code="370500") == own(COUNTY) + own(OTHER_COUNTY)
    assert await seen("county_officer", region_code="") == []
    for role in PEOPLE_ROLES - READERS:
        assert (await office.ask(PATH, a_reader(role))).status_code == 403, role


@pytest.mark.article("art. 7")
async def test_what_is_seen_is_the_last_revision_with_its_level(office: Office) -> None:
    await office.send(PATH, a_report(), A_COUNTY_OFFICER)
    await office.send(PATH, a_report(a_stock(revision=2, stock_t="160000")), A_COUNTY_OFFICER)
    (one,) = (await office.told(PATH, FIRST))["items"]
    assert (one["revision"], one["stock_t"], one["days"], one["level"]) == (
        2,
        "160000.000",
        "20.00",
        "OK",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"daily_burn_t": "0"},
        {"stock_t": "-1"},
        {"stock_t": "1.0000"},
        {"plant_id": "电厂1"},
        {"plant_id": ""},
        {"effective_on": "2022-02-30"},
        {"revision": 0},
        {"revision": 1001},
        {"region_code": OTHER_COUNTY},
        {"name": " "},
    ],
    ids=str,
)
async def test_a_malformed_row_is_named_and_none_applies(
    office: Office, changes: dict[str, Any]
) -> None:
    answer = await office.send(PATH, a_report(a_stock(1), a_stock(2, **changes)), A_COUNTY_OFFICER)
    assert (answer.status_code, answer.json()["code"]) == (422, "INPUT_INVALID")
    assert {fault["pointer"] for fault in answer.json()["errors"]} == {
        f"/rows/1/{next(iter(changes))}"
    }
    assert await rows(office.house, "SELECT 1 FROM coal_stock") == []


async def test_a_list_is_neither_empty_nor_too_long(office: Office) -> None:
    for count in (0, COMMANDS_MAX + 1):
        listed = {"rows": [a_stock(number) for number in range(count)]}
        assert await office.refused(PATH, listed, A_COUNTY_OFFICER) == (422, "INPUT_INVALID")


async def test_another_kind_of_report_is_no_address(office: Office) -> None:
    assert await office.refused("reports/oil_stock", a_report(), A_COUNTY_OFFICER) == (
        404,
        "ROUTE_UNKNOWN",
    )


async def test_no_report_is_ever_changed(office: Office) -> None:
    await office.send(PATH, a_report(), A_COUNTY_OFFICER)
    for statement in ("UPDATE coal_stock SET level = 'OK'", "DELETE FROM coal_stock"):
        with pytest.raises(DBAPIError, match="permission denied"):
            await rows(office.house, statement, "market")
