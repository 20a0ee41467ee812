"""The doors of pledges: who pledges, who lets go, and who sees what."""

from typing import Any

import pytest

from builders import COUNTY, OTHER_COUNTY, a_project_code, a_uscc
from databases import rows
from energy_office import (
    FIRST,
    Office,
    a_bank,
    a_batch,
    a_pledge,
    a_pledgor,
    a_reader,
    a_release,
    an_assignment,
    enterprise,
)
from marketkit.db import Scope
from marketkit.identity import PEOPLE_ROLES

READERS = {"enterprise", "creditor", "county_officer", "bureau_officer", "supervisor", "auditor"}


@pytest.fixture
async def held(office: Office) -> Office:
    """Two enterprises of two counties that hold 5,000 tce each."""
    await office.fill_pool()
    two = [
        an_assignment(1, quantity_tce="5000"),
        an_assignment(2, quantity_tce="5000", region_code=OTHER_COUNTY),
    ]
    await office.done("increment-batches", a_batch(*two))
    return office


async def pledge(office: Office, number: int = 1, bank: int = 900, **changes: Any) -> str:
    said = a_pledge(number=number, creditor_uscc=a_uscc(bank), **changes)
    return str((await office.done("pledges", said, a_pledgor(number)))["pledge_id"])


@pytest.mark.article("art. 19")
async def test_an_enterprise_pledges_its_quota(held: Office) -> None:
    done = await held.done("pledges", a_pledge(number=1), a_pledgor(1))
    assert done.pop("pledge_id")
    assert done.pop("registered_at").startswith("2022-06-01T12:00:00")
    assert done == {
        "account": enterprise(1),
        "creditor_uscc": a_uscc(900),
        "asset": "ENERGY",
        "unit": "tce",
        "quantity": "3000.000",
        "remaining": "3000.000",
        "document_no": "质押合同1号",
        "effective_on": "2022-05-20",
    }
    (holding,) = (await held.told(f"accounts/{enterprise(1)}", a_pledgor(1)))["holdings"]
    assert (holding["held"], holding["pledged"], holding["available"]) == (
        "3000.000",
        "3000.000",
        "2000.000",
    )


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"quantity": "5000.001"}, (409, "INSUFFICIENT_FREE_QUANTITY")),
        ({"asset": "COAL"}, (409, "INSUFFICIENT_FREE_QUANTITY")),
        ({"project_code": a_project_code(2)}, (404, "ACCOUNT_UNKNOWN")),
        ({"creditor_uscc": a_uscc(1)}, (422, "CREDITOR_IS_HOLDER")),
        ({"effective_on": "2022-06-02"}, (422, "EFFECTIVE_IN_FUTURE")),
        ({"quantity": "0"}, (422, "INPUT_INVALID")),
        ({"creditor_uscc": "91370500MA3TEQT19X"}, (422, "USCC_INVALID")),
        ({"uscc": a_uscc(2)}, (422, "INPUT_INVALID")),
    ],
    ids=str,
)
async def test_what_may_not_be_pledged(
    held: Office, changes: dict[str, Any], refused: tuple[int, str]
) -> None:
    said = a_pledge(number=1, **changes)
    assert await held.refused("pledges", said, a_pledgor(1)) == refused
    assert await rows(held.house, "SELECT 1 FROM pledge") == []


async def test_a_retry_pledges_once(held: Office) -> None:
    first = await held.send("pledges", a_pledge(number=1), a_pledgor(1), "key-1")
    again = await held.send("pledges", a_pledge(number=1), a_pledgor(1), "key-1")
    assert (again.status_code, again.content) == (201, first.content)
    assert await held.refused("pledges", a_pledge(number=1), a_pledgor(1)) == (
        409,
        "PLEDGE_ALREADY_REGISTERED",
    )
    assert (await held.kinds()).count("pledge.registered") == 1


@pytest.mark.article("art. 19")
async def test_only_its_creditor_lets_a_pledge_go(held: Office) -> None:
    path = f"pledges/{await pledge(held)}/releases"
    assert (await held.send(path, a_release(), None)).status_code == 401
    for role in PEOPLE_ROLES - {"creditor"}:
        who = a_reader(role, uscc=a_uscc(1))
        assert await held.refused(path, a_release(), who) == (403, "ROLE_NOT_ALLOWED")
    for other in (a_bank(901), a_reader("creditor", uscc="")):
        assert await held.refused(path, a_release(), other) == (404, "PLEDGE_UNKNOWN")
        unknown = await held.refused("pledges/unknown/releases", a_release(), other)
        assert unknown == (404, "PLEDGE_UNKNOWN")
    tomorrow = a_release(effective_on="2022-06-02")
    assert await held.refused(path, tomorrow, a_bank()) == (422, "EFFECTIVE_IN_FUTURE")
    assert (await held.done(path, a_release("3000"), a_bank()))["remaining"] == "0.000"


async def test_nobody_but_an_enterprise_pledges(held: Office) -> None:
    for role in PEOPLE_ROLES - {"enterprise"}:
        who = a_reader(role, uscc=a_uscc(1))
        assert await held.refused("pledges", a_pledge(number=1), who) == (403, "ROLE_NOT_ALLOWED")


@pytest.mark.article("art. 19")
async def test_pledgor_creditor_and_officers_each_see_theirs(held: Office) -> None:
    one, two = await pledge(held, 1, 900), await pledge(held, 2, 901)

    async def seen(role: str, **claims: Any) -> set[str]:
        found = await held.told("pledges", a_reader(role, **claims))
        assert found["total"] == len(found["items"])
        return {each["pledge_id"] for each in found["items"]}

    assert await seen("enterprise", region_code="", uscc=a_uscc(1)) == {one}
    # A bank is no officer, whatever region its token names.
    for region in ("", COUNTY, "370500"):
        assert await seen("creditor", region_code=region, uscc=a_uscc(901)) == {two}
        assert await seen("creditor", region_code=region, uscc="") == set()
    assert await seen("enterprise", region_code="", uscc=a_uscc(3)) == set()
    assert await seen("county_officer", region_code=COUNTY) == {one}
    assert await seen("bureau_officer", department="energy") == {one, two}
    for role in PEOPLE_ROLES - READERS:
        assert (await held.ask("pledges", a_reader(role))).status_code == 403, role


async def test_a_pledge_s_story_is_seen_by_its_two_sides(held: Office) -> None:
    pledge_id = await pledge(held)
    for number, quantity in enumerate(("1000", "500")):
        released = a_release(quantity, document_no=f"解押{number}")
        await held.done(f"pledges/{pledge_id}/releases", released, a_bank())
    for who in (a_pledgor(1), a_bank(), FIRST):
        story = await held.told(f"pledges/{pledge_id}", who)
        assert story["pledge"]["remaining"] == "1500.000"
        assert [one["quantity"] for one in story["releases"]] == ["1000.000", "500.000"]
    for who in (a_pledgor(2), a_bank(901)):
        answer = await held.ask(f"pledges/{pledge_id}", who)
        assert (answer.status_code, answer.json()["code"]) == (404, "PLEDGE_UNKNOWN")
    unseen = await rows(held.house, "SELECT 1 FROM pledge_release", "scoped", Scope(uscc=a_uscc(2)))
    assert unseen == []
