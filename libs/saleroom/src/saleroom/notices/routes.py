"""HTTP of notices: drafts, announcements, suspensions, and what anyone may read of a sale."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlmodel import col, func, select

from contracts.sale import SaleKey, SaleTerms, Timetable
from marketkit.db import Session, house
from marketkit.doors import AskDep, CommandDep, open_to
from marketkit.signing import b64
from marketkit.units import Form, Instant
from saleroom.markets import Market
from saleroom.notices import actions
from saleroom.notices.actions import ReasonIn, SaleRef
from saleroom.notices.rules import RegionNotAllowed, SaleDraftIn, SaleUnknown
from saleroom.notices.tables import Sale


class SaleOut(Form):
    sale_id: str
    state: str
    title: str
    body: str
    terms: SaleTerms
    timetable: Timetable
    key: SaleKey | None
    announced_at: Instant | None
    correction_count: int
    policy_version: str
    receipt_kid: str
    receipt_key: str


class SalePage(Form):
    items: list[SaleOut]
    page: int
    page_size: int
    total: int


def open_at_the_city(*roles: str, department: str = "") -> dict[str, Any]:
    """As `open_to`, for officers of the whole city only: a sale is the city's, not a county's."""

    async def admit(request: Request) -> None:
        if not request.state.caller.is_citywide:
            raise RegionNotAllowed()

    door = open_to(*roles, department=department)
    return door | {"dependencies": [*door["dependencies"], Depends(admit)]}


def routes(market: Market) -> APIRouter:
    router = APIRouter(tags=["sales"])
    center = open_at_the_city("trading_center")

    @router.post("/v1/sales", status_code=201, response_model=SaleRef, **center)
    async def draft_sale(form: SaleDraftIn, command: CommandDep) -> Response:
        return await command.run(
            lambda s: actions.draft_sale(s, market, form),
            status=201,
            location="/v1/sales/{sale_id}",
        )

    @router.post("/v1/sales/{sale_id}/announcements", response_model=SaleRef, **center)
    async def announce_sale(sale_id: str, command: CommandDep) -> Response:
        return await command.run(lambda s: actions.announce_sale(s, market, sale_id))

    @router.post("/v1/sales/{sale_id}/suspensions", response_model=SaleRef, **center)
    async def suspend_sale(sale_id: str, form: ReasonIn, command: CommandDep) -> Response:
        return await command.run(lambda s: actions.suspend_sale(s, sale_id, form))

    @router.post("/v1/sales/{sale_id}/resumptions", response_model=SaleRef, **center)
    async def resume_sale(sale_id: str, command: CommandDep) -> Response:
        return await command.run(lambda s: actions.resume_sale(s, sale_id))

    @router.post("/v1/sales/{sale_id}/archivings", response_model=SaleRef, **center)
    async def archive_sale(sale_id: str, command: CommandDep) -> Response:
        return await command.run(lambda s: actions.archive_sale(s, sale_id))

    _add_reads(router)
    return router


def _add_reads(router: APIRouter) -> None:
    anyone = open_to("anyone")
    officers = open_at_the_city(
        "trading_center", "bureau_officer", "supervisor", "auditor", "witness"
    )

    @router.get("/v1/sales", response_model=SalePage, **anyone)
    async def list_sales(
        ask: AskDep,
        page: Annotated[int, Query(ge=1, le=100_000)] = 1,
        page_size: Annotated[int, Query(ge=1, le=200)] = 20,
    ) -> SalePage:
        return await ask.run(lambda s: _page(s, page, page_size))

    @router.get("/v1/sales/{sale_id}", response_model=SaleOut, **anyone)
    async def show_sale(sale_id: str, ask: AskDep) -> SaleOut:
        return await ask.run(lambda s: _one(s, sale_id, is_draft=False))

    @router.get("/v1/sales/{sale_id}/draft", response_model=SaleOut, **officers)
    async def show_draft(sale_id: str, ask: AskDep) -> SaleOut:
        return await ask.run(lambda s: _one(s, sale_id, is_draft=True))


async def _one(session: Session, sale_id: str, *, is_draft: bool) -> SaleOut:
    sale = await session.get(Sale, sale_id)
    if sale is None or (sale.announced_at is None) != is_draft:
        raise SaleUnknown()
    return _out(session, sale)


async def _page(session: Session, page: int, page_size: int) -> SalePage:
    announced = select(Sale).where(col(Sale.announced_at).is_not(None))
    newest = announced.order_by(col(Sale.announced_at).desc(), col(Sale.id))
    found = await session.exec(newest.offset((page - 1) * page_size).limit(page_size))
    total = (await session.exec(select(func.count()).select_from(announced.subquery()))).one()
    items = [_out(session, sale) for sale in found.all()]
    return SalePage(items=items, page=page, page_size=page_size, total=total)


def _out(session: Session, sale: Sale) -> SaleOut:
    signer = house(session).signer
    return SaleOut(
        sale_id=sale.id,
        state=sale.state,
        title=sale.title,
        body=sale.body,
        terms=actions.terms(sale),
        timetable=actions.timetable(sale),
        key=actions.sale_key(sale),
        announced_at=sale.announced_at,
        correction_count=sale.correction_count,
        policy_version=sale.policy_version,
        receipt_kid=signer.kid,
        receipt_key=b64(signer.public),
    )
