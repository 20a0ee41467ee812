import asyncio

import pytest

from builders import NOON, a_caller
from energy_office import DOCUMENT, SECOND, Office, an_issue, pool_terms
from energy_trade.issues.actions import IssueIn, confirm_issue, request_issue
from energy_trade.policy import policy_on
from energy_trade.pool.rules import EnergyPoolExceeded
from marketkit.countersign import AlreadyConfirmed, SamePerson
from marketkit.db import Session
from marketkit.units import day_of

VERSION = policy_on(day_of(NOON)).version
ASKER = a_caller("bureau_officer", sub="asker", department="energy")
OTHER = a_caller("bureau_officer", sub="other", department="energy")


async def test_an_issue_comes_into_being_by_two_people_and_is_told(office: Office) -> None:
    issued = await office.issue(quantity="1000000.000")
    opened, other, lot, quota = await office.events()
    assert [event["subject"] for event in (opened, other)] == ["issuance:ENERGY", "province:370000"]
    assert (lot["type"], quota["type"]) == (
        "yaosu.energy.lot.created.v1",
        "yaosu.energy.quota.issued.v1",
    )
    assert lot["partitionkey"] == quota["partitionkey"] == issued["lot"]
    assert {event["policyversion"] for event in await office.events()} == {VERSION}
    assert quota["data"] == {
        "account": "province:370000",
        "asset": "ENERGY",
        "quantity": "1000000.000",
        "document_no": DOCUMENT,
        "effective_on": "2022-06-01",
        "movements": [
            {
                "account": account,
                "asset": "ENERGY",
                "lot": issued["lot"],
                "posted": posted,
                "held": "0.000",
            }
            for account, posted in (
                ("issuance:ENERGY", "-1000000.000"),
                ("province:370000", "1000000.000"),
            )
        ],
    }
    assert issued["policy_version"] == VERSION
    await office.assert_conserved()


async def test_until_the_second_person_s_word_nothing_is_told(office: Office) -> None:
    await office.done("issues/requests", an_issue())
    assert await office.events() == []


async def test_who_asked_may_not_confirm_and_once_is_enough(office: Office) -> None:
    async def asked(session: Session) -> str:
        form = IssueIn.model_validate(an_issue())
        return (await request_issue(session, ASKER, form)).request_id

    request_id = await office.house.run(asked)
    with pytest.raises(SamePerson):
        await office.house.run(lambda s: confirm_issue(s, ASKER, request_id))
    await office.house.run(lambda s: confirm_issue(s, OTHER, request_id))
    with pytest.raises(AlreadyConfirmed):
        await office.house.run(lambda s: confirm_issue(s, OTHER, request_id))
    assert await office.holding("province:370000") == "1000.000"


async def test_five_confirmations_at_once_issue_once(office: Office) -> None:
    asked = await office.done("issues/requests", an_issue())
    path = f"issues/requests/{asked['request_id']}/confirmations"
    one_key = await office.at_once(5, path, key="once")
    assert 201 in one_key
    assert set(one_key) <= {201, 409}
    other_keys = await asyncio.gather(*(office.send(path, who=SECOND) for _ in range(5)))
    assert {answer.json()["code"] for answer in other_keys} == {"ALREADY_CONFIRMED"}
    assert await office.holding("province:370000") == "1000.000"
    assert (await office.kinds()).count("quota.issued") == 1
    await office.assert_conserved()


async def test_five_confirmations_with_keys_of_their_own_issue_once(office: Office) -> None:
    asked = await office.done("issues/requests", an_issue())
    path = f"issues/requests/{asked['request_id']}/confirmations"
    answers = await asyncio.gather(*(office.send(path, who=SECOND) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert await office.holding("province:370000") == "1000.000"


@pytest.mark.article("art. 3")
async def test_the_pool_is_filled_to_78_wan_tce_and_not_beyond(office: Office) -> None:
    await office.fill_pool("780000")
    form = IssueIn.model_validate(an_issue(**pool_terms("0.001")))
    asked = await office.house.run(lambda s: request_issue(s, ASKER, form))
    with pytest.raises(EnergyPoolExceeded):
        await office.house.run(lambda s: confirm_issue(s, OTHER, asked.request_id))
    assert await office.holding("pool:370500") == "780000.000"
    await office.assert_conserved()


@pytest.mark.article("art. 3")
async def test_eight_issues_at_once_never_overfill_the_pool(office: Office) -> None:
    asked = [
        await office.done("issues/requests", an_issue(**pool_terms("100000"))) for _ in range(8)
    ]
    paths = [f"issues/requests/{one['request_id']}/confirmations" for one in asked]
    answers = await asyncio.gather(*(office.send(path, who=SECOND) for path in paths))
    assert sorted(answer.status_code for answer in answers) == [201] * 7 + [409]
    assert await office.holding("pool:370500") == "700000.000"
