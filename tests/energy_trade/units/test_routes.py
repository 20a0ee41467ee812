from typing import Any

import pytest

from builders import COUNTY, OTHER_COUNTY, a_uscc
from energy_office import (
    Claims,
    Office,
    a_reader,
    a_register,
    a_unit,
    an_officer,
)

STRANGERS = [
    (None, 401, "UNAUTHENTICATED"),
    (a_reader("trading_center"), 403, "ROLE_NOT_ALLOWED"),
    (a_reader("county_officer", region_code=COUNTY), 403, "ROLE_NOT_ALLOWED"),
    (a_reader("enterprise", uscc=a_uscc()), 403, "ROLE_NOT_ALLOWED"),
    (a_reader("supervisor"), 403, "ROLE_NOT_ALLOWED"),
    (an_officer(department="industry"), 403, "ROLE_NOT_ALLOWED"),
    (an_officer(region_code=COUNTY), 403, "CITY_OFFICER_REQUIRED"),
]
NOTHING = "0.000"


@pytest.mark.parametrize(("who", "status", "code"), STRANGERS)
async def test_only_the_city_s_energy_officers_enter_the_register(
    office: Office, who: Claims | None, status: int, code: str
) -> None:
    assert await office.refused("unit-registers", a_register(), who) == (status, code)


@pytest.mark.article("art. 4")
@pytest.mark.parametrize(
    ("units", "status", "code"),
    [
        ([a_unit(1, "300")], 422, "UNIT_NOT_ON_LIST"),
        ([a_unit(1, retire_by="2026-01-01")], 422, "UNIT_RETIRES_TOO_LATE"),
        ([a_unit(1)], 409, "UNIT_REGISTER_INCOMPLETE"),
        ([a_unit(1), a_unit(1)], 422, "INPUT_INVALID"),
        ([a_unit(1, region_code="370500")], 422, "REGION_UNKNOWN"),
        ([a_unit(1, capacity_mw="0")], 422, "INPUT_INVALID"),
    ],
)
async def test_a_wrong_register_is_refused(
    office: Office, units: list[dict[str, Any]], status: int, code: str
) -> None:
    answer = await office.send("unit-registers", a_register(*units))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (
        status == 409
        or code in {"INPUT_INVALID", "REGION_UNKNOWN"}
        or (answer.json()["article"] == "art. 4")
    )


@pytest.mark.article("art. 4")
async def test_18_units_of_1203_mw_stand_in_the_register(office: Office) -> None:
    assert (await office.told("units"))["remaining"] == {"count": 0, "capacity_mw": NOTHING}
    done = await office.done("unit-registers", a_register())
    assert (done["count"], done["capacity_mw"]) == (18, "1203.000")
    said = await office.told("units", a_reader("auditor"))
    assert said["remaining"] == {"count": 18, "capacity_mw": "1203.000"}
    (first,) = [unit for unit in said["items"] if unit["unit_id"] == "unit-1"]
    assert first == a_unit(1, "66.800") | {"retired_on": None, "shutdown_id": None}
    again = await office.send("unit-registers", a_register())
    assert (again.status_code, again.json()["code"]) == (409, "UNIT_REGISTER_STANDS")


async def test_a_county_sees_its_own_units(office: Office) -> None:
    whole = a_register()["units"]
    whole[0]["region_code"] = OTHER_COUNTY
    await office.done("unit-registers", {"units": whole})
    own = await office.told("units", a_reader("county_officer", region_code=OTHER_COUNTY))
    assert [unit["unit_id"] for unit in own["items"]] == ["unit-1"]
    assert own["remaining"] == {"count": 1, "capacity_mw": "66.800"}
    assert (await office.ask("units", a_reader("enterprise", uscc=a_uscc()))).status_code == 403
