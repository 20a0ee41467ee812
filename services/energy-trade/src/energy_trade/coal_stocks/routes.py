"""HTTP of coal stocks: a county reports for its own plants and sees them, the city sees all."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy import exists
from sqlalchemy.orm import aliased
from sqlmodel import col, func, select

from contracts.energy import CoalStockLevel
from energy_trade.coal_stocks.actions import REPORT, CoalStockIn, CoalStockOut, Report
from energy_trade.coal_stocks.rules import days_of_coal, reporting_county
from energy_trade.coal_stocks.tables import CoalStock
from energy_trade.policy import policy_on
from marketkit.db import Session
from marketkit.doors import AskDep, CommandDep, open_to
from marketkit.units import TONNE, Day, Form, Instant, Quantity

Page = Annotated[int, Query(ge=1, le=100_000)]
PageSize = Annotated[int, Query(ge=1, le=200)]


class CoalStockSeen(Form):
    """A plant's coal on one day, as last said of it."""

    plant_id: str
    name: str
    region_code: str
    effective_on: Day
    revision: int
    stock_t: Quantity
    daily_burn_t: Quantity
    days: Quantity
    level: CoalStockLevel
    reported_at: Instant


class CoalStockPage(Form):
    items: list[CoalStockSeen]
    page: int
    page_size: int
    total: int


def routes() -> APIRouter:
    router = APIRouter(tags=["reports"])
    counties = open_to("county_officer", "county_system")
    readers = open_to("county_officer", "county_system", "bureau_officer", "supervisor", "auditor")

    @router.post("/v1/reports/coal-stock", response_model=CoalStockOut, **counties)
    async def report_coal_stocks(form: CoalStockIn, command: CommandDep) -> Response:
        region = reporting_county(command.caller.region_code)
        report = Report(command.caller.sub, region, form.rows)
        return await command.meet(REPORT, region, report, weight=len(form.rows))

    @router.get("/v1/reports/coal-stock", response_model=CoalStockPage, **readers)
    async def list_coal_stocks(
        ask: AskDep, page: Page = 1, page_size: PageSize = 50
    ) -> CoalStockPage:
        return await ask.run(lambda s: _stocks(s, page, page_size))

    return router


async def _stocks(session: Session, page: int, page_size: int) -> CoalStockPage:
    later = aliased(CoalStock)
    is_superseded = exists().where(
        col(later.region_code) == col(CoalStock.region_code),
        col(later.plant_id) == col(CoalStock.plant_id),
        col(later.effective_on) == col(CoalStock.effective_on),
        col(later.revision) > col(CoalStock.revision),
    )
    last = select(CoalStock).where(~is_superseded)
    newest = last.order_by(
        col(CoalStock.effective_on).desc(), col(CoalStock.region_code), col(CoalStock.plant_id)
    )
    found = (await session.exec(newest.offset((page - 1) * page_size).limit(page_size))).all()
    total = (await session.exec(select(func.count()).select_from(last.subquery()))).one()
    items = [_seen(one) for one in found]
    return CoalStockPage(items=items, page=page, page_size=page_size, total=total)


def _seen(one: CoalStock) -> CoalStockSeen:
    lasting = days_of_coal(one.stock_kg, one.daily_burn_kg, policy_on(one.effective_on))
    return CoalStockSeen(
        plant_id=one.plant_id,
        name=one.name,
        region_code=one.region_code,
        effective_on=one.effective_on,
        revision=one.revision,
        stock_t=TONNE.format(one.stock_kg),
        daily_burn_t=TONNE.format(one.daily_burn_kg),
        days=lasting.days,
        level=lasting.level,
        reported_at=one.reported_at,
    )
