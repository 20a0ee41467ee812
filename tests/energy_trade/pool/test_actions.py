import asyncio
from typing import Any

import pytest

from builders import COUNTY, OTHER_COUNTY, a_caller
from databases import rows
from energy_office import SECOND, Office, a_batch, an_assignment, enterprise
from energy_trade.pool.actions import IncrementBatchIn, IncrementBatchOut, publish_increment_batch
from energy_trade.pool.rules import AssignmentNotKept, BatchVersionWrong, EnergyPoolExceeded

OFFICER = a_caller("bureau_officer", department="energy")


async def publish(office: Office, form: dict[str, Any]) -> IncrementBatchOut:
    batch = IncrementBatchIn.model_validate(form)
    return await office.house.run(lambda s: publish_increment_batch(s, OFFICER, batch))


async def left(office: Office) -> str:
    return str((await office.told("pool", None))["left_tce"])


@pytest.mark.article("art. 3")
async def test_a_batch_assigns_out_of_the_pool_and_tells_each_project(office: Office) -> None:
    issued = await office.fill_pool()
    before = len(await office.events())
    await publish(office, a_batch(an_assignment(1), an_assignment(2, quantity_tce="0.001")))
    *opened, published, first, second = (await office.events())[before:]
    assert {event["subject"] for event in opened} == {enterprise(1), enterprise(2)}
    assert published["type"] == "yaosu.energy.increment_batch.published.v1"
    assert (published["data"]["batch"], published["data"]["batch_version"]) == ("2022-1", 1)
    assert [one["quantity_tce"] for one in published["data"]["assignments"]] == [
        "1000.000",
        "0.001",
    ]
    # One key for the list and what it assigns: whoever reads hears of the list first.
    assert {event["partitionkey"] for event in (published, first, second)} == {"2022-1"}
    assert (first["subject"], first["regioncode"]) == (enterprise(1), COUNTY)
    assert second["data"] == {
        "account": enterprise(2),
        "quantity_tce": "0.001",
        "movements": [
            {
                "account": account,
                "asset": "ENERGY",
                "lot": issued["lot"],
                "posted": posted,
                "held": "0.000",
            }
            for account, posted in (("pool:370500", "-0.001"), (enterprise(2), "0.001"))
        ],
    }
    await office.assert_conserved()


@pytest.mark.article("art. 3")
async def test_78_wan_pool_1000_tce_of_the_last_1000_then_one_kgce_is_refused(
    office: Office,
) -> None:
    await office.fill_pool("780000")
    await publish(office, a_batch(an_assignment(1, quantity_tce="779000")))
    done = await publish(office, a_batch(an_assignment(2, quantity_tce="1000"), batch="b"))
    assert done.model_dump()["left_tce"] == "0.000"
    with pytest.raises(EnergyPoolExceeded):
        await publish(office, a_batch(an_assignment(3, quantity_tce="0.001"), batch="c"))
    assert (await left(office), await office.holding("pool:370500")) == ("0.000", "0.000")
    await office.assert_conserved()


@pytest.mark.article("art. 3")
async def test_a_pool_not_yet_filled_assigns_what_was_issued_only(office: Office) -> None:
    await office.fill_pool("600")
    with pytest.raises(EnergyPoolExceeded):
        await publish(office, a_batch(an_assignment(quantity_tce="600.001")))
    await office.fill_pool("0.001")
    await publish(office, a_batch(an_assignment(quantity_tce="600.001")))
    lots = (await office.told(f"accounts/{enterprise()}/lots"))["items"]
    assert sorted(lot["posted"] for lot in lots) == ["0.001", "600.000"]


@pytest.mark.article("art. 3")
async def test_versions_of_a_list_follow_each_other_and_all_are_kept(office: Office) -> None:
    await office.fill_pool()
    await publish(office, a_batch(an_assignment(1)))
    for wrong in (1, 3):
        with pytest.raises(BatchVersionWrong):
            await publish(office, a_batch(an_assignment(1), batch_version=wrong))
    with pytest.raises(AssignmentNotKept):
        await publish(office, a_batch(an_assignment(2), batch_version=2))
    grown = [an_assignment(2), an_assignment(1, quantity_tce="1500", name="更名后的项目")]
    await publish(office, a_batch(*grown, batch_version=2))
    assert await office.holding(enterprise(1)) == "1500.000"
    assert await left(office) == "777500.000"
    unchanged = await publish(office, a_batch(*grown, batch_version=3))
    assert unchanged.model_dump()["added_tce"] == "0.000"
    found = await rows(
        office.house,
        "SELECT batch_version, count(*) AS n FROM batch_line GROUP BY 1 ORDER BY 1",
    )
    assert [tuple(row) for row in found] == [(1, 1), (2, 2), (3, 2)]
    assert (await office.kinds()).count("quota.assigned") == 3
    await office.assert_conserved()


async def test_a_refused_version_leaves_no_trace_of_its_batch(office: Office) -> None:
    with pytest.raises(EnergyPoolExceeded):
        await publish(office, a_batch())
    assert await rows(office.house, "SELECT * FROM increment_batch") == []


async def test_a_project_keeps_its_county_across_batches(office: Office) -> None:
    await office.fill_pool()
    await publish(office, a_batch(an_assignment(1)))
    elsewhere = a_batch(an_assignment(1, region_code=OTHER_COUNTY), batch="b")
    assert await office.refused("increment-batches", elsewhere) == (409, "ACCOUNT_ELSEWHERE")


async def test_five_at_once_publish_one_version(office: Office) -> None:
    await office.fill_pool()
    statuses = await office.at_once(5, "increment-batches", a_batch(), key="once")
    assert 201 in statuses
    assert set(statuses) <= {201, 409}
    own_keys = [office.send("increment-batches", a_batch(batch="b"), SECOND) for _ in range(5)]
    answers = await asyncio.gather(*own_keys)
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert await left(office) == "778000.000"
    await office.assert_conserved()


@pytest.mark.article("art. 3")
async def test_sixteen_batches_at_once_never_exceed_the_pool(office: Office) -> None:
    await office.fill_pool()
    batches = [
        a_batch(an_assignment(n, quantity_tce="100000"), batch=f"batch-{n}") for n in range(16)
    ]
    answers = await asyncio.gather(*(office.send("increment-batches", one) for one in batches))
    codes = [answer.json().get("code", "") for answer in answers]
    assert sorted(codes) == [""] * 7 + ["ENERGY_POOL_EXCEEDED"] * 9
    assert await left(office) == await office.holding("pool:370500") == "80000.000"
    await office.assert_conserved()


async def test_the_longest_list_is_published_in_time(office: Office) -> None:
    await office.fill_pool()
    longest = [an_assignment(n, quantity_tce="1") for n in range(200)]
    await office.done("increment-batches", a_batch(*longest))
    assert await left(office) == "779800.000"
    await office.assert_conserved()
