"""HTTP of pledges: pledgor and creditor each see theirs, a county its own region's."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlmodel import col, func, select

from energy_trade.pledges import actions
from energy_trade.pledges.actions import (
    PLEDGE,
    Asked,
    PledgeIn,
    PledgeOut,
    ReleaseIn,
    pledge_out,
)
from energy_trade.pledges.rules import PledgeUnknown
from energy_trade.pledges.tables import Pledge, PledgeRelease
from marketkit.db import Session
from marketkit.doors import AskDep, CommandDep, HotRoute, open_to
from marketkit.units import ASSET_UNITS, Day, Form, Instant, Quantity

Page = Annotated[int, Query(ge=1, le=100_000)]
PageSize = Annotated[int, Query(ge=1, le=200)]


class PledgePage(Form):
    items: list[PledgeOut]
    page: int
    page_size: int
    total: int


class ReleaseOut(Form):
    quantity: Quantity
    document_no: str
    effective_on: Day
    released_at: Instant


class PledgeStory(Form):
    """A pledge and what was let go of it, oldest first."""

    pledge: PledgeOut
    releases: list[ReleaseOut]


def routes() -> APIRouter:
    router = APIRouter(tags=["pledges"], route_class=HotRoute)
    readers = open_to(
        "enterprise", "creditor", "county_officer", "bureau_officer", "supervisor", "auditor"
    )

    @router.post("/v1/pledges", status_code=201, response_model=PledgeOut, **open_to("enterprise"))
    async def register_pledge(form: PledgeIn, command: CommandDep) -> Response:
        asked = Asked(command.caller, form)
        return await command.meet(PLEDGE, asked.account, asked, status=201)

    @router.post(
        "/v1/pledges/{pledge_id}/releases",
        status_code=201,
        response_model=PledgeOut,
        **open_to("creditor"),
    )
    async def release_pledge(pledge_id: str, form: ReleaseIn, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(
            lambda s: actions.release_pledge(s, pledge_id, caller, form), status=201
        )

    @router.get("/v1/pledges", response_model=PledgePage, **readers)
    async def list_pledges(ask: AskDep, page: Page = 1, page_size: PageSize = 50) -> PledgePage:
        return await ask.run(lambda s: _pledges(s, page, page_size))

    @router.get("/v1/pledges/{pledge_id}", response_model=PledgeStory, **readers)
    async def show_pledge(pledge_id: str, ask: AskDep) -> PledgeStory:
        return await ask.run(lambda s: _story(s, pledge_id))

    return router


async def _pledges(session: Session, page: int, page_size: int) -> PledgePage:
    newest = select(Pledge).order_by(col(Pledge.registered_at).desc(), col(Pledge.id))
    found = (await session.exec(newest.offset((page - 1) * page_size).limit(page_size))).all()
    total = (await session.exec(select(func.count()).select_from(Pledge))).one()
    items = [pledge_out(one) for one in found]
    return PledgePage(items=items, page=page, page_size=page_size, total=total)


async def _story(session: Session, pledge_id: str) -> PledgeStory:
    pledge = await session.get(Pledge, pledge_id)
    if pledge is None:
        raise PledgeUnknown()
    query = select(PledgeRelease).where(PledgeRelease.pledge_id == pledge_id)
    found = (await session.exec(query.order_by(col(PledgeRelease.released_at)))).all()
    unit = ASSET_UNITS[pledge.asset]
    releases = [
        ReleaseOut(
            quantity=unit.format(one.quantity_minor),
            document_no=one.document_no,
            effective_on=one.effective_on,
            released_at=one.released_at,
        )
        for one in found
    ]
    return PledgeStory(pledge=pledge_out(pledge), releases=releases)
