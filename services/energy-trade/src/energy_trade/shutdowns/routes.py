"""HTTP of shutdowns: what was shut, and what the city retained of it."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlmodel import col, func, select

from energy_trade.accounts.rules import CITY_RETAINED
from energy_trade.shutdowns import actions
from energy_trade.shutdowns.actions import (
    ShutdownOut,
)
from energy_trade.shutdowns.rules import ShutdownIn
from energy_trade.shutdowns.tables import Shutdown, SplitShare
from marketkit.db import Session
from marketkit.doors import AskDep, CommandDep, open_to
from marketkit.ledger import Balance
from marketkit.units import ASSET_UNITS, PERCENT, Day, Form, Quantity


class RetainedQuotaOut(Form):
    """One entry of the 台账: what the city retained of a shutdown, and what is left of it."""

    shutdown_id: str
    name: str
    industry: str
    region_code: str
    case: str
    document_no: str
    transferred_on: Day
    asset: str
    unit: str
    retention_percent: Quantity
    quantity: Quantity
    available: Quantity
    is_compensated: bool
    lot: str
    policy_version: str


class RetainedQuotaPage(Form):
    items: list[RetainedQuotaOut]
    page: int
    page_size: int
    total: int


def routes() -> APIRouter:
    router = APIRouter(tags=["shutdowns"])
    bureau = open_to("bureau_officer", department="energy")
    officers = open_to("bureau_officer", "supervisor", "auditor")

    @router.post("/v1/shutdowns", status_code=201, response_model=ShutdownOut, **bureau)
    async def record_shutdown(form: ShutdownIn, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(lambda s: actions.record_shutdown(s, caller, form), status=201)

    @router.get("/v1/retained-quota", response_model=RetainedQuotaPage, **officers)
    async def list_retained_quota(
        ask: AskDep,
        industry: Annotated[str | None, Query(max_length=200)] = None,
        page: Annotated[int, Query(ge=1, le=100_000)] = 1,
        page_size: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> RetainedQuotaPage:
        return await ask.run(lambda s: _retained(s, industry, page, page_size))

    return router


async def _retained(
    session: Session, industry: str | None, page: int, page_size: int
) -> RetainedQuotaPage:
    kept = (
        select(Shutdown, SplitShare, Balance)
        .join(SplitShare, col(SplitShare.shutdown_id) == col(Shutdown.id))
        .join(Balance, col(Balance.lot) == col(SplitShare.lot))
        .where(SplitShare.tier == "city", Balance.account == CITY_RETAINED.account)
    )
    if industry is not None:
        kept = kept.where(Shutdown.industry == industry)
    ordered = kept.order_by(
        col(Shutdown.industry), col(Shutdown.effective_on), col(Shutdown.id), col(SplitShare.asset)
    )
    found = await session.exec(ordered.offset((page - 1) * page_size).limit(page_size))
    items = [_entry(*row) for row in found.all()]
    total = (await session.exec(select(func.count()).select_from(kept.subquery()))).one()
    return RetainedQuotaPage(items=items, page=page, page_size=page_size, total=total)


def _entry(shutdown: Shutdown, share: SplitShare, balance: Balance) -> RetainedQuotaOut:
    unit = ASSET_UNITS[share.asset]
    return RetainedQuotaOut(
        shutdown_id=shutdown.id,
        name=shutdown.name,
        industry=shutdown.industry,
        region_code=shutdown.region_code,
        case=shutdown.split_case,
        document_no=shutdown.document_no,
        transferred_on=shutdown.effective_on,
        asset=share.asset,
        unit=unit.name,
        retention_percent=PERCENT.format(share.share_bp),
        quantity=unit.format(share.quantity_minor),
        available=unit.format(balance.posted - balance.held),
        is_compensated=share.is_compensated,
        lot=balance.lot,
        policy_version=shutdown.policy_version,
    )
