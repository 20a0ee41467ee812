import asyncio

import pytest

from builders import COUNTY, NOON, OTHER_COUNTY, a_project_code, a_uscc
from energy_office import Office, enterprise
from energy_trade.accounts.actions import ensure_account, ensure_accounts
from energy_trade.accounts.rules import (
    PROVINCE_STORE,
    AccountElsewhere,
    county_holder,
    enterprise_holder,
)
from marketkit.db import Session

VERSION = "2022-01-01+00000000"


async def open_enterprise(session: Session, region_code: str = COUNTY) -> str:
    holder = enterprise_holder(a_uscc(), a_project_code(), region_code)
    return await ensure_account(session, holder, policy_version=VERSION, at=NOON)


async def test_an_account_is_opened_and_told_under_its_own_id(office: Office) -> None:
    assert await office.house.run(open_enterprise) == enterprise()
    (event,) = await office.events()
    assert event["type"] == "yaosu.energy.account.opened.v1"
    assert event["partitionkey"] == event["subject"] == enterprise()
    assert (event["regioncode"], event["policyversion"]) == (COUNTY, VERSION)
    assert event["data"] == {
        "account": enterprise(),
        "owner_kind": "ENTERPRISE",
        "region_code": COUNTY,
        "uscc": a_uscc(),
        "project_code": a_project_code(),
    }


async def test_five_at_once_open_one_account(office: Office) -> None:
    await asyncio.gather(*(office.house.run(open_enterprise) for _ in range(5)))
    assert await office.kinds() == ["account.opened"]


async def test_an_account_that_stands_in_another_region_is_refused(office: Office) -> None:
    await office.house.run(open_enterprise)
    with pytest.raises(AccountElsewhere):
        await office.house.run(lambda s: open_enterprise(s, OTHER_COUNTY))


async def test_of_several_only_the_new_are_told_in_the_order_of_their_ids(office: Office) -> None:
    holders = [PROVINCE_STORE, county_holder(OTHER_COUNTY), county_holder(COUNTY)]

    async def open_all(session: Session) -> None:
        await ensure_accounts(session, holders[:1], policy_version=VERSION, at=NOON)
        await ensure_accounts(session, holders, policy_version=VERSION, at=NOON)

    await office.house.run(open_all)
    told = [event["subject"] for event in await office.events()]
    assert told == ["province:370000", f"county:{COUNTY}", f"county:{OTHER_COUNTY}"]
