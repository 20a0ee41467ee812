import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import COUNTY, NOON, OTHER_COUNTY, a_caller
from databases import rows
from energy_office import (
    DOCUMENT,
    SECOND,
    Office,
    a_register,
    a_shutdown,
)
from energy_trade.policy import policy_on
from energy_trade.shutdowns.actions import (
    ShutdownOut,
    record_shutdown,
)
from energy_trade.shutdowns.rules import (
    ShutdownAlreadyRecorded,
    ShutdownIn,
    SplitCaseUndefined,
)
from energy_trade.units.rules import UnitAlreadyRetired, UnitUnknown
from marketkit.units import TCE, day_of

OFFICER = a_caller("bureau_officer", department="energy")
VERSION = policy_on(day_of(NOON)).version


async def record(office: Office, **changes: Any) -> ShutdownOut:
    form = ShutdownIn.model_validate(a_shutdown(**changes))
    return await office.house.run(lambda s: record_shutdown(s, OFFICER, form))


async def lots_of(office: Office, account: str) -> list[Any]:
    return list((await office.told(f"accounts/{account}/lots"))["items"])


@pytest.mark.article("art. 4")
async def test_a_shutdown_is_told_with_its_split_and_each_lot(office: Office) -> None:
    done = await record(office, coal_t="10.001")
    assert await office.kinds() == [
        "account.opened",
        "account.opened",
        "account.opened",
        "account.opened",
        "lot.created",
        "lot.created",
        "lot.created",
        "lot.created",
        "shutdown.recorded",
        "split.posted",
        "split.posted",
    ]
    events = await office.events()
    assert {event["policyversion"] for event in events} == {VERSION}
    recorded, energy, coal = events[-3:]
    assert {event["partitionkey"] for event in (recorded, energy, coal)} == {done.shutdown_id}
    assert recorded["data"] == {
        "case": "IN_CITY",
        "name": "示例炼化一套装置",
        "industry": "炼化",
        "region_code": COUNTY,
        "document_no": DOCUMENT,
        "effective_on": "2022-05-20",
        "energy_tce": "80000.000",
        "coal_t": "10.001",
    }
    assert energy["data"]["movements"] == [
        {"account": account, "asset": "ENERGY", "lot": lot, "posted": posted, "held": "0.000"}
        for tier, holder in (("city", "city:370500"), ("county", f"county:{COUNTY}"))
        for lot in [done.splits[0].lots[tier]]
        for account, posted in (("issuance:ENERGY", "-40000.000"), (holder, "40000.000"))
    ]
    assert (coal["data"]["city"], coal["data"]["county"]) == ("5.001", "5.000")
    await office.assert_conserved()


@pytest.mark.article("art. 4")
@pytest.mark.parametrize(
    ("account", "is_barred", "is_local", "needs_consent"),
    [
        ("province:370000", False, True, False),
        ("city:370500", True, True, False),
        (f"county:{COUNTY}", True, True, True),
    ],
)
async def test_each_tier_s_lot_says_what_it_may_be_used_for(
    office: Office, account: str, is_barred: bool, is_local: bool, needs_consent: bool
) -> None:
    done = await record(office, case="CROSS_CITY")
    (lot,) = await lots_of(office, account)
    said = (lot["is_dual_high_barred"], lot["is_locally_usable"], lot["needs_city_consent"])
    assert said == (is_barred, is_local, needs_consent)
    assert (lot["article"], lot["origin_kind"], lot["origin_id"], lot["origin_region_code"]) == (
        "art. 4",
        "SHUTDOWN",
        done.shutdown_id,
        COUNTY,
    )


@pytest.mark.article("art. 4")
async def test_coal_of_a_province_dispatched_plant_is_no_local_source(office: Office) -> None:
    await record(office, case="PROV_DISPATCH_PLANT", coal_t="300000")
    by_asset = {lot["asset"]: lot for lot in await lots_of(office, "province:370000")}
    assert by_asset.keys() == {"COAL"}
    assert by_asset["COAL"]["is_locally_usable"] is False
    (energy,) = await lots_of(office, "city:370500")
    assert energy["is_locally_usable"] is True


@pytest.mark.article("art. 4")
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    case=st.sampled_from(["PROV_DISPATCH_PLANT", "CROSS_CITY", "IN_CITY"]),
    kgce=st.integers(1, 2**50),
    number=st.integers(0, 2**40),
)
async def test_what_the_tiers_hold_is_what_was_freed_to_the_last_kgce(
    office: Office, case: str, kgce: int, number: int
) -> None:
    async def held() -> int:
        found = await rows(
            office.house, "SELECT sum(posted)::bigint AS n FROM balance WHERE NOT is_issuance"
        )
        return int(found[0].n or 0)

    before = await held()
    name = f"{number}-{kgce}-{case}-{before}"
    await record(office, case=case, name=name, energy_tce=TCE.format(kgce))
    assert await held() - before == kgce
    await office.assert_conserved()


@pytest.mark.article("art. 4")
async def test_a_case_outside_the_table_waits_for_a_ruling(office: Office) -> None:
    with pytest.raises(SplitCaseUndefined):
        await record(office, case="SAME_COUNTY")
    assert await office.events() == []


async def test_the_same_capacity_by_the_same_document_is_recorded_once(office: Office) -> None:
    await record(office)
    with pytest.raises(ShutdownAlreadyRecorded):
        await record(office, energy_tce="1")
    await record(office, name="示例炼化二套装置")
    await record(office, region_code=OTHER_COUNTY)
    await record(office, document_no="东发改〔2022〕2号")


@pytest.mark.article("art. 4")
async def test_five_at_once_record_one_shutdown(office: Office) -> None:
    statuses = await office.at_once(5, "shutdowns", a_shutdown(), key="once")
    assert 201 in statuses
    assert set(statuses) <= {201, 409}
    other = a_shutdown(name="示例炼化二套装置")
    answers = await asyncio.gather(*(office.send("shutdowns", other, SECOND) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert (await office.kinds()).count("split.posted") == 2
    assert await office.holding("city:370500") == "80000.000"
    await office.assert_conserved()


@pytest.mark.article("art. 4")
async def test_a_shutdown_retires_the_unit_it_names_once(office: Office) -> None:
    await office.done("unit-registers", a_register())
    done = await record(office, case="PROV_DISPATCH_PLANT", unit_id="unit-18")
    told = (await office.events())[-1]
    assert (told["type"], told["partitionkey"]) == ("yaosu.energy.unit.retired.v1", "unit-18")
    assert told["data"] == {
        "unit_id": "unit-18",
        "retired_on": "2022-05-20",
        "shutdown_id": done.shutdown_id,
    }
    with pytest.raises(UnitAlreadyRetired):
        await record(office, name="又一次", unit_id="unit-18")
    for changes in ({"unit_id": "unit-19"}, {"unit_id": "unit-1", "region_code": OTHER_COUNTY}):
        with pytest.raises(UnitUnknown):
            await record(office, name="又一次", **changes)
    assert (await office.told("units"))["remaining"] == {"count": 17, "capacity_mw": "1135.600"}


async def test_of_five_shutdowns_at_once_one_retires_the_unit(office: Office) -> None:
    await office.done("unit-registers", a_register())
    wanted = [a_shutdown(name=f"关停{n}", unit_id="unit-1") for n in range(5)]
    answers = await asyncio.gather(*(office.send("shutdowns", one) for one in wanted))
    codes = [answer.json().get("code", "") for answer in answers]
    assert sorted(codes) == [""] + ["UNIT_ALREADY_RETIRED"] * 4
    assert await office.holding("city:370500") == "40000.000"
