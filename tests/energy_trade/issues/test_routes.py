from typing import Any

import pytest

from builders import COUNTY
from energy_office import (
    FIRST,
    SECOND,
    Claims,
    Office,
    a_reader,
    an_issue,
    an_officer,
    pool_terms,
)

REQUESTS = "issues/requests"
STRANGERS = [
    (None, 401, "UNAUTHENTICATED"),
    (a_reader("trading_center"), 403, "ROLE_NOT_ALLOWED"),
    (a_reader("county_officer", region_code=COUNTY), 403, "ROLE_NOT_ALLOWED"),
    (a_reader("auditor"), 403, "ROLE_NOT_ALLOWED"),
    (an_officer(department="land"), 403, "ROLE_NOT_ALLOWED"),
    (an_officer(region_code=COUNTY), 403, "CITY_OFFICER_REQUIRED"),
]


@pytest.mark.parametrize(("who", "status", "code"), STRANGERS)
async def test_only_the_city_s_energy_officers_issue(
    office: Office, who: Claims | None, status: int, code: str
) -> None:
    assert await office.refused(REQUESTS, an_issue(), who) == (status, code)
    asked = await office.done(REQUESTS, an_issue())
    path = f"{REQUESTS}/{asked['request_id']}/confirmations"
    assert await office.refused(path, None, who) == (status, code)


async def test_who_asked_may_not_confirm(office: Office) -> None:
    asked = await office.done(REQUESTS, an_issue())
    path = f"{REQUESTS}/{asked['request_id']}/confirmations"
    assert await office.refused(path, None, FIRST) == (403, "SAME_PERSON")
    await office.done(path, None, SECOND)
    assert await office.refused(path, None, an_officer("third")) == (409, "ALREADY_CONFIRMED")
    assert await office.refused(f"{REQUESTS}/no/confirmations") == (404, "REQUEST_UNKNOWN")


async def test_the_second_person_reads_what_the_first_asked_for(office: Office) -> None:
    answer = await office.send(REQUESTS, an_issue())
    shown = await office.told(answer.headers["location"].removeprefix("/v1/"), SECOND)
    assert shown["issue"] == an_issue(
        quantity="1000.000",
        restrictions={
            "is_dual_high_barred": False,
            "is_locally_usable": True,
            "needs_city_consent": False,
            "valid_until_on": None,
        },
    )
    assert shown["confirmed_at"] is None
    assert (await office.ask(f"{REQUESTS}/no", SECOND)).status_code == 404
    of_a_county = an_officer(region_code=COUNTY)
    assert (await office.ask(f"{REQUESTS}/{shown['request_id']}", of_a_county)).status_code == 403


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"region_code": "370500"}, 422, "REGION_UNKNOWN"),
        ({"account_kind": "COUNTY", "region_code": "370500"}, 422, "REGION_UNKNOWN"),
        ({"effective_on": "2022-06-02"}, 422, "EFFECTIVE_IN_FUTURE"),
        (pool_terms("1") | {"asset": "COAL"}, 422, "QUOTA_KIND_MISMATCH"),
        (
            pool_terms("1") | {"restrictions": {"is_dual_high_barred": False}},
            422,
            "POOL_TERMS_NOT_ALLOWED",
        ),
        (
            pool_terms("1")
            | {"restrictions": {"is_dual_high_barred": True, "valid_until_on": "2022-12-31"}},
            422,
            "POOL_TERMS_NOT_ALLOWED",
        ),
        ({"quantity": "0"}, 422, "INPUT_INVALID"),
        ({"quantity": "1.0001"}, 422, "INPUT_INVALID"),
        ({"quantity": 1}, 422, "INPUT_INVALID"),
        ({"asset": "WATER"}, 422, "INPUT_INVALID"),
        ({"more": 1}, 422, "INPUT_INVALID"),
    ],
)
async def test_what_may_not_be_asked_for(
    office: Office, changes: dict[str, Any], status: int, code: str
) -> None:
    assert await office.refused(REQUESTS, an_issue(**changes)) == (status, code)


@pytest.mark.article("art. 3")
async def test_more_than_the_pool_s_size_is_refused_with_its_article(office: Office) -> None:
    await office.fill_pool("779999.999")
    asked = await office.done(REQUESTS, an_issue(**pool_terms("0.002")))
    path = f"{REQUESTS}/{asked['request_id']}/confirmations"
    answer = await office.send(path, None, SECOND)
    assert (answer.status_code, answer.json()["code"]) == (409, "ENERGY_POOL_EXCEEDED")
    assert answer.json()["article"] == "art. 3"
    await office.fill_pool("0.001")


@pytest.mark.parametrize(
    ("changes", "account", "asset", "quantity"),
    [
        ({"quantity": "1000000"}, "province:370000", "ENERGY", "1000000.000"),
        ({"quantity": "9000000000000000"}, "province:370000", "ENERGY", "9000000000000000.000"),
        (
            {"account_kind": "CITY", "region_code": "370500", "asset": "COAL"},
            "city:370500",
            "COAL",
            "1000.000",
        ),
        (
            {"account_kind": "COUNTY", "region_code": "370521"},
            "county:370505",
            "ENERGY",
            "1000.000",
        ),
    ],
)
async def test_whom_quota_is_issued_to(
    office: Office, changes: dict[str, Any], account: str, asset: str, quantity: str
) -> None:
    issued = await office.issue(**changes)
    assert (issued["account"], issued["quantity"]) == (account, quantity)
    assert issued["unit"] == {"ENERGY": "tce", "COAL": "t"}[asset]
    assert await office.holding(account, asset) == quantity
