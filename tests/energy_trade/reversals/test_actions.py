"""An issue that was wrong is taken back by two people, while it lies where it was issued."""

import asyncio
from typing import Any

import pytest

from builders import COUNTY, a_booking
from databases import rows
from energy_office import FIRST, SECOND, Claims, Office, an_issue, pool_terms
from energy_trade.accounts.rules import POOL
from marketkit.holds import hold

FORM = {"document_no": "鲁发改冲〔2022〕2号", "reason": "数量有误"}
STORE = "province:370000"


async def ask(office: Office, lot: str) -> str:
    asked = await office.done(f"issues/{lot}/reversals/requests", FORM)
    return f"issues/{lot}/reversals/requests/{asked['request_id']}"


async def code(office: Office, path: str, form: Any = None, who: Claims | None = SECOND) -> str:
    answer = await office.send(path, form, who=who)
    return str(answer.json().get("code", ""))


async def test_an_issue_is_taken_back_by_its_opposite(office: Office) -> None:
    kept = await office.issue(quantity="100.000")
    issued = await office.issue(quantity="500.000")
    path = await ask(office, issued["lot"])
    done = await office.send(f"{path}/confirmations", who=SECOND)
    assert (done.status_code, done.json()["quantity"]) == (200, "500.000")
    assert await office.holding(STORE) == "100.000"
    told = (await office.events())[-1]
    assert told["type"] == "yaosu.energy.quota.issue_reversed.v1"
    assert told["partitionkey"] == issued["lot"]
    said = {name: told["data"][name] for name in ("account", "quantity", "article", *FORM)}
    assert said == {"account": STORE, "quantity": "500.000", "article": "art. 5"} | FORM
    assert [(one["account"], one["posted"]) for one in told["data"]["movements"]] == [
        ("issuance:ENERGY", "500.000"),
        (STORE, "-500.000"),
    ]
    await office.assert_conserved()
    assert await code(office, f"{path}/confirmations") == "ALREADY_CONFIRMED"
    assert await code(office, f"issues/{issued['lot']}/reversals/requests", FORM) == (
        "ALREADY_REVERSED"
    )
    assert kept["lot"] != issued["lot"]


async def test_one_person_one_county_or_another_role_take_nothing_back(office: Office) -> None:
    issued = await office.issue()
    path = await ask(office, issued["lot"])
    told = len(await office.events())
    assert await code(office, f"{path}/confirmations", who=FIRST) == "SAME_PERSON"
    requests = f"issues/{issued['lot']}/reversals/requests"
    county = SECOND | {"region_code": COUNTY}
    for who, refusal in (
        (None, "UNAUTHENTICATED"),
        (SECOND | {"roles": ["trading_center"]}, "ROLE_NOT_ALLOWED"),
        (SECOND | {"department": "land"}, "ROLE_NOT_ALLOWED"),
        (county, "CITY_OFFICER_REQUIRED"),
    ):
        assert await code(office, requests, FORM, who) == refusal
        assert await code(office, f"{path}/confirmations", None, who) == refusal
    assert (await office.ask(path, county)).status_code == 403
    assert (await office.told(path, SECOND))["document_no"] == FORM["document_no"]
    assert await code(office, f"issues/{issued['lot']}x/reversals/requests", FORM) == (
        "ISSUE_UNKNOWN"
    )
    assert await code(office, f"issues/{issued['lot']}/reversals/requests/x/confirmations") == (
        "REQUEST_UNKNOWN"
    )
    assert len(await office.events()) == told
    assert await office.holding(STORE) == "1000.000"


async def test_two_requests_take_back_once_even_at_once(office: Office) -> None:
    issued = await office.issue()
    paths = [f"{await ask(office, issued['lot'])}/confirmations" for _ in range(5)]
    answers = await asyncio.gather(*(office.send(path, who=SECOND) for path in paths))
    codes = sorted(answer.json().get("code", "") for answer in answers)
    assert codes == ["", *["ALREADY_REVERSED"] * 4]
    assert await office.holding(STORE) == "0.000"
    await office.assert_conserved()


async def test_what_is_held_or_gone_is_not_taken_back(office: Office) -> None:
    issued = await office.issue()
    path = await ask(office, issued["lot"])
    await office.house.run(lambda s: hold(s, a_booking("SALE", "sale-1"), STORE, "ENERGY", 1))
    assert await code(office, f"{path}/confirmations") == "INSUFFICIENT_FREE_QUANTITY"
    assert await office.holding(STORE) == "999.999"
    await office.assert_conserved()


@pytest.mark.article("art. 3")
async def test_an_issue_into_the_pool_gives_its_room_back(office: Office) -> None:
    issued = await office.issue(**pool_terms("780000.000"))
    again = an_issue(**pool_terms("1.000"))
    asked = await office.done("issues/requests", again)
    confirm = f"issues/requests/{asked['request_id']}/confirmations"
    assert await code(office, confirm) == "ENERGY_POOL_EXCEEDED"
    path = await ask(office, issued["lot"])
    assert (await office.send(f"{path}/confirmations", who=SECOND)).status_code == 200
    (pool,) = await rows(office.house, "SELECT issued_kgce FROM pool")
    assert pool.issued_kgce == 0
    assert (await office.send(confirm, who=SECOND)).status_code == 201
    assert await office.holding(POOL.account) == "1.000"
    await office.assert_conserved()
