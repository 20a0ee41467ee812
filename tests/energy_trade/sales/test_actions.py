"""The energy market's own rules of a sale: who may buy, under which county, out of whose store."""

from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any

import pytest

from builders import COUNTY, a_lot, a_project_code, a_uscc, an_issue
from databases import rows
from energy_trade.pool.rules import DualHighNotAllowed
from energy_trade.sales.actions import MARKET, check_eligible, region_of
from energy_trade.screenings.actions import ScreeningIn, screen_project
from energy_trade.screenings.rules import NotScreenedByCounty
from energy_trade.shutdowns.rules import CoalSourceForbidden, PlanNotConsented
from energy_trade.worker import fail_unopened_sales
from marketkit.db import Database, Scope
from marketkit.errors import Refusal
from saleroom.markets import Buyer
from saleroom.notices.actions import advance_due
from stories import events
from toy_market import ANNOUNCED, OPENS_BY, STORE, Room

BUYER = Buyer(a_uscc(1), a_project_code(1))


async def screen(house: Database, number: int, *, is_dual_high: bool = False) -> None:
    form = ScreeningIn(
        uscc=a_uscc(number),
        project_code=a_project_code(number),
        name="示例项目",
        is_dual_high=is_dual_high,
    )
    work = partial(screen_project, form=form, region_code=COUNTY)
    await house.run(work, "scoped", scope=Scope(region_code=COUNTY))


async def check(house: Database, buyer: Buyer = BUYER, *, is_barred: bool = False) -> None:
    await house.run(lambda s: check_eligible(s, buyer, is_barred))


@pytest.fixture
def house(energy_house: Database) -> Database:
    energy_house.fixed_instant = ANNOUNCED
    return energy_house


@pytest.mark.article("art. 5")
async def test_a_screened_project_may_buy_and_its_account_is_its_county_s(house: Database) -> None:
    await screen(house, 1)
    await check(house)
    await check(house, is_barred=True)
    assert await house.run(lambda s: region_of(s, BUYER)) == COUNTY


@pytest.mark.article("art. 5")
@pytest.mark.parametrize(
    "buyer",
    [
        Buyer(a_uscc(2), a_project_code(2)),
        replace(BUYER, uscc=a_uscc(2)),
        replace(BUYER, project_code=a_project_code(2)),
    ],
    ids=["another", "another enterprise's project", "another project"],
)
async def test_no_other_project_may(house: Database, buyer: Buyer) -> None:
    await screen(house, 1)
    with pytest.raises(NotScreenedByCounty):
        await check(house, buyer)
    with pytest.raises(NotScreenedByCounty):
        await house.run(lambda s: region_of(s, buyer))


@pytest.mark.article("art. 5")
async def test_a_dual_high_project_may_buy_only_what_is_not_barred(house: Database) -> None:
    await screen(house, 1, is_dual_high=True)
    await check(house)
    with pytest.raises(DualHighNotAllowed):
        await check(house, is_barred=True)


@pytest.mark.article("art. 5")
async def test_a_sale_of_barred_lots_takes_no_dual_high_project(house: Database) -> None:
    room = Room(house, MARKET)
    await room.draft()
    await rows(house, "UPDATE balance SET posted = 0")
    await house.run(lambda s: an_issue(s, 10_000_000, STORE, lot=a_lot(is_dual_high_barred=True)))
    await room.drill()
    await room.announce_draft()
    await screen(house, 1)
    await screen(house, 2, is_dual_high=True)
    await room.register(1)
    with pytest.raises(DualHighNotAllowed):
        await room.register(2)


@pytest.mark.article("art. 4")
@pytest.mark.parametrize(
    ("bar", "refusal"),
    [({"is_locally_usable": False}, CoalSourceForbidden),
     ({"needs_city_consent": True}, PlanNotConsented)],
    ids=["coal of a province-dispatched plant", "a county's share without consent"],
)  # fmt: skip
async def test_what_no_local_project_may_use_is_not_sold(
    house: Database, bar: dict[str, Any], refusal: type[Refusal]
) -> None:
    room = Room(house, MARKET)
    await room.draft()
    await rows(house, "UPDATE balance SET posted = 0")
    barred = a_lot(effective_on=date(2022, 1, 1), **bar)
    await house.run(lambda s: an_issue(s, 20_000_000, STORE, lot=barred))
    await room.drill()
    before = await events(house)
    with pytest.raises(refusal) as refused:
        await room.announce_draft()
    assert refused.value.article == "art. 4"
    assert (await room.sale()).state == "DRAFT"
    assert await rows(house, "SELECT * FROM hold") == []
    assert await events(house) == before
    # It bars nothing that lies beside it, however much older it is.
    lot = a_lot(effective_on=date(2022, 2, 1))
    await house.run(lambda s: an_issue(s, 10_000_000, STORE, lot=lot))
    await room.announce_draft()
    held = await rows(house, "SELECT lot, quantity FROM hold")
    assert [tuple(row) for row in held] == [(lot.id, 10_000_000)]


async def test_what_is_sold_is_the_province_s_store(house: Database) -> None:
    assert MARKET.source_account("ENERGY") == MARKET.source_account("COAL") == STORE


async def test_the_worker_closes_a_sale_and_fails_one_nobody_opened(house: Database) -> None:
    room = Room(house, MARKET)
    await room.announce()
    room.at(OPENS_BY)
    for tick in (advance_due, fail_unopened_sales):
        await house.run(tick, "worker")
    assert (await room.sale()).state == "FAILED"
