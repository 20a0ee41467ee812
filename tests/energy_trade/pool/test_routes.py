from typing import Any

import pytest

from builders import COUNTY, OTHER_COUNTY, a_project_code, a_uscc
from energy_office import Claims, Office, a_batch, a_reader, an_assignment, an_officer

BATCHES = "increment-batches"


async def test_anyone_sees_what_is_left_of_the_pool(office: Office) -> None:
    empty = await office.told("pool", None)
    assert (empty["total_tce"], empty["issued_tce"]) == ("780000.000", "0.000")
    await office.fill_pool("700000")
    await office.done(BATCHES, a_batch(an_assignment(quantity_tce="0.5")))
    said = await office.told("pool", None)
    assert said.pop("policy_version").startswith("2022-01-01+")
    assert said == {
        "total_tce": "780000.000",
        "issued_tce": "700000.000",
        "assigned_tce": "0.500",
        "left_tce": "699999.500",
    }


@pytest.mark.parametrize(
    ("who", "status", "code"),
    [
        (None, 401, "UNAUTHENTICATED"),
        (a_reader("trading_center"), 403, "ROLE_NOT_ALLOWED"),
        (a_reader("county_officer", region_code=COUNTY), 403, "ROLE_NOT_ALLOWED"),
        (a_reader("enterprise", uscc=a_uscc()), 403, "ROLE_NOT_ALLOWED"),
        (an_officer(department="industry"), 403, "ROLE_NOT_ALLOWED"),
        (an_officer(region_code=COUNTY), 403, "CITY_OFFICER_REQUIRED"),
    ],
)
async def test_only_the_city_s_energy_officers_publish(
    office: Office, who: Claims | None, status: int, code: str
) -> None:
    await office.fill_pool()
    assert await office.refused(BATCHES, a_batch(), who) == (status, code)


@pytest.mark.article("art. 3")
@pytest.mark.parametrize(
    ("changes", "status", "code", "article"),
    [
        ({"is_dual_high": True}, 422, "DUAL_HIGH_NOT_ALLOWED", "art. 3"),
        (
            {"is_dual_high": True, "quantity_tce": "780001"},
            422,
            "DUAL_HIGH_NOT_ALLOWED",
            "art. 3",
        ),
        ({"quantity_tce": "780000.001"}, 409, "ENERGY_POOL_EXCEEDED", "art. 3"),
        ({"region_code": "370500"}, 422, "REGION_UNKNOWN", None),
        ({"uscc": a_uscc()[:-1] + "0"}, 422, "USCC_INVALID", None),
        ({"project_code": "2205"}, 422, "PROJECT_CODE_INVALID", None),
        ({"quantity_tce": "0"}, 422, "INPUT_INVALID", None),
    ],
)
async def test_what_the_pool_does_not_give(
    office: Office, changes: dict[str, Any], status: int, code: str, article: str | None
) -> None:
    await office.fill_pool()
    answer = await office.send(BATCHES, a_batch(an_assignment(0, **changes)))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json().get("article") == article
    assert (await office.told("pool", None))["assigned_tce"] == "0.000"


async def test_a_version_that_does_not_follow_is_refused(office: Office) -> None:
    await office.fill_pool()
    assert await office.refused(BATCHES, a_batch(batch_version=2)) == (409, "BATCH_VERSION_WRONG")
    await office.done(BATCHES, a_batch())
    less = a_batch(an_assignment(quantity_tce="999.999"), batch_version=2)
    assert await office.refused(BATCHES, less) == (409, "ASSIGNMENT_NOT_KEPT")


async def test_a_project_stands_once_in_a_list(office: Office) -> None:
    twice = a_batch(an_assignment(), an_assignment(quantity_tce="2"))
    assert await office.refused(BATCHES, twice) == (422, "INPUT_INVALID")
    assert await office.refused(BATCHES, {**a_batch(), "assignments": []}) == (422, "INPUT_INVALID")


async def test_a_list_is_read_as_far_as_one_may_see(office: Office) -> None:
    await office.fill_pool()
    both = [an_assignment(1), an_assignment(2, region_code=OTHER_COUNTY)]
    await office.done(BATCHES, a_batch(*both, batch="2022年第一批"))

    async def seen(who: Claims) -> list[str]:
        said = await office.told(f"{BATCHES}/2022年第一批", who)
        return [line["project_code"] for line in said["assignments"]]

    codes = [a_project_code(1), a_project_code(2)]
    assert sorted(await seen(an_officer())) == codes
    assert await seen(a_reader("county_officer", region_code=COUNTY)) == codes[:1]
    assert await seen(a_reader("enterprise", uscc=a_uscc(2))) == codes[1:]
    strangers = [
        await office.ask(f"{BATCHES}/2022年第一批", a_reader("enterprise", uscc=a_uscc(3))),
        await office.ask(f"{BATCHES}/unknown"),
    ]
    assert {answer.status_code for answer in strangers} == {404}
    assert {answer.json()["code"] for answer in strangers} == {"BATCH_UNKNOWN"}
