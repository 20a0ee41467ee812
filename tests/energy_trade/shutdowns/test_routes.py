from typing import Any

import pytest

from builders import COUNTY, OTHER_COUNTY, a_uscc
from energy_office import (
    DOCUMENT,
    FIRST,
    Claims,
    Office,
    a_reader,
    a_shutdown,
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
async def test_only_the_city_s_energy_officers_record(
    office: Office, who: Claims | None, status: int, code: str
) -> None:
    assert await office.refused("shutdowns", a_shutdown(), who) == (status, code)


@pytest.mark.article("art. 4")
@pytest.mark.parametrize(
    ("changes", "asset", "shares", "compensated", "is_local"),
    [
        pytest.param(
            {"case": "PROV_DISPATCH_PLANT", "energy_tce": "0", "coal_t": "300000"},
            "COAL",
            ("300000.000", NOTHING, NOTHING),
            ["province"],
            False,
            id="domain 1.9: province-dispatched plant, coal",
        ),
        pytest.param(
            {"case": "PROV_DISPATCH_PLANT", "energy_tce": "90000.001"},
            "ENERGY",
            (NOTHING, "45000.001", "45000.000"),
            [],
            True,
            id="domain 1.9: province-dispatched plant, energy",
        ),
        pytest.param(
            {"case": "CROSS_CITY", "energy_tce": "123456.789", "industry": "焦化"},
            "ENERGY",
            ("61728.395", "30864.197", "30864.197"),
            ["province"],
            True,
            id="domain 1.9: cross-city coking",
        ),
        pytest.param(
            {"energy_tce": "80000"},
            "ENERGY",
            (NOTHING, "40000.000", "40000.000"),
            ["city"],
            True,
            id="domain 1.9: in-city cross-county, energy",
        ),
        pytest.param(
            {"energy_tce": "0", "coal_t": "10.001"},
            "COAL",
            (NOTHING, "5.001", "5.000"),
            ["city"],
            True,
            id="domain 1.9: in-city cross-county, coal",
        ),
    ],
)
async def test_a_shutdown_is_split_by_the_table(
    office: Office,
    changes: dict[str, Any],
    asset: str,
    shares: tuple[str, str, str],
    compensated: list[str],
    is_local: bool,
) -> None:
    done = await office.done("shutdowns", a_shutdown(**changes))
    (split,) = done["splits"]
    assert (split["asset"], split["compensated"]) == (asset, compensated)
    assert split["usable_locally"] is is_local
    assert (split["province"], split["city"], split["county"]) == shares
    tiers = dict(zip(("province", "city", "county"), shares, strict=True))
    assert split["lots"].keys() == {tier for tier, share in tiers.items() if share != NOTHING}
    accounts = {
        "province": "province:370000",
        "city": "city:370500",
        "county": f"county:{COUNTY}",
    }
    for tier in split["lots"]:
        assert await office.holding(accounts[tier], asset) == tiers[tier]
    await office.assert_conserved()


@pytest.mark.article("art. 4")
@pytest.mark.parametrize(
    ("changes", "status", "code", "article"),
    [
        (
            {"region_code": "370602", "case": "SAME_COUNTY", "unit_id": "no"},
            422,
            "REGION_UNKNOWN",
            None,
        ),
        (
            {"case": "SAME_COUNTY", "unit_id": "no", "effective_on": "2022-06-02"},
            422,
            "SPLIT_CASE_UNDEFINED",
            "art. 4",
        ),
        ({"unit_id": "no", "effective_on": "2022-06-02"}, 404, "UNIT_UNKNOWN", "art. 4"),
        ({"effective_on": "2022-06-02"}, 422, "EFFECTIVE_IN_FUTURE", None),
        ({"energy_tce": "0", "coal_t": "0"}, 422, "INPUT_INVALID", None),
        ({"energy_tce": "-1"}, 422, "INPUT_INVALID", None),
        ({"industry": ""}, 422, "INPUT_INVALID", None),
    ],
)
async def test_refusals_come_in_their_order(
    office: Office, changes: dict[str, Any], status: int, code: str, article: str | None
) -> None:
    answer = await office.send("shutdowns", a_shutdown(**changes))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json().get("article") == article
    assert await office.events() == []


async def test_the_largest_quantities_are_split_too(office: Office) -> None:
    largest = "9223372036854775.807"
    done = await office.done("shutdowns", a_shutdown(energy_tce=largest, coal_t=largest))
    assert {split["city"] for split in done["splits"]} == {"4611686018427387.904"}
    await office.assert_conserved()


async def test_a_document_of_today_is_recorded(office: Office) -> None:
    await office.done("shutdowns", a_shutdown(effective_on="2022-06-01"))


@pytest.mark.article("art. 4")
async def test_the_ledger_of_retained_quota_says_industry_time_ratio_and_quantity(
    office: Office,
) -> None:
    first = await office.done("shutdowns", a_shutdown(coal_t="10.001"))
    cross = a_shutdown(
        case="CROSS_CITY", industry="焦化", name="示例焦炉", region_code=OTHER_COUNTY
    )
    await office.done("shutdowns", cross)
    whole = await office.told("retained-quota")
    assert {
        (one["industry"], one["asset"], one["retention_percent"], one["quantity"])
        for one in whole["items"]
    } == {
        ("炼化", "COAL", "50.00", "5.001"),
        ("炼化", "ENERGY", "50.00", "40000.000"),
        ("焦化", "ENERGY", "25.00", "20000.000"),
    }
    assert whole["total"] == len(whole["items"])
    (coal,) = [one for one in whole["items"] if one["asset"] == "COAL"]
    assert coal | {"policy_version": ""} == {
        "shutdown_id": first["shutdown_id"],
        "name": "示例炼化一套装置",
        "industry": "炼化",
        "region_code": COUNTY,
        "case": "IN_CITY",
        "document_no": DOCUMENT,
        "transferred_on": "2022-05-20",
        "asset": "COAL",
        "unit": "t",
        "retention_percent": "50.00",
        "quantity": "5.001",
        "available": "5.001",
        "is_compensated": True,
        "lot": next(one["lots"]["city"] for one in first["splits"] if one["asset"] == "COAL"),
        "policy_version": "",
    }
    page = await office.told("retained-quota?industry=焦化")
    assert (page["total"], [one["is_compensated"] for one in page["items"]]) == (1, [False])
    assert (await office.told("retained-quota?page_size=2&page=2"))["total"] == 3


@pytest.mark.parametrize("who", [FIRST, a_reader("supervisor"), a_reader("auditor")])
async def test_who_reads_the_ledger_of_retained_quota(office: Office, who: Claims) -> None:
    assert (await office.told("retained-quota", who))["items"] == []


@pytest.mark.parametrize("role", ["county_officer", "enterprise", "trading_center"])
async def test_who_does_not(office: Office, role: str) -> None:
    assert (await office.ask("retained-quota", a_reader(role))).status_code == 403
