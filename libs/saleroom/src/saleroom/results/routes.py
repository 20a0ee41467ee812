"""HTTP of results: what an opened sale brought to light, for anyone, from the owner."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlmodel import col, func, select

from contracts.sale import AwardedStep, RejectedStep, RevealedBid
from marketkit.db import Session
from marketkit.doors import AskDep, open_to
from marketkit.units import ASSET_UNITS, YUAN, AmountYuanOrZero, Form, Instant, PriceYuan
from saleroom.entries.tables import Registration
from saleroom.markets import Market
from saleroom.notices.tables import Sale
from saleroom.openings.rules import ResultUnknown
from saleroom.openings.tables import Opening
from saleroom.openings.tables import RevealedBid as RevealedRow
from saleroom.results.actions import revealed_bids
from saleroom.results.tables import Award, Result
from saleroom.results.tables import RejectedStep as RejectedRow

Page = Annotated[int, Query(ge=1, le=100_000)]
PageSize = Annotated[int, Query(ge=1, le=200)]


class ResultOut(Form):
    """An opened sale's draw and, once it is cleared, its result."""

    sale_id: str
    state: str
    unit: str
    draw_secret: str
    seed: str
    bid_count: int
    outcome: str | None = None
    clearing_price_yuan: PriceYuan | None = None
    sold: str | None = None
    unsold: str | None = None
    proceeds_yuan: AmountYuanOrZero | None = None
    cleared_at: Instant | None = None


class RevealedBids(Form):
    items: list[RevealedBid]
    page: int
    page_size: int
    total: int


class Awards(Form):
    """Awards in the order served."""

    items: list[AwardedStep]
    page: int
    page_size: int
    total: int


class RejectedSteps(Form):
    items: list[RejectedStep]
    page: int
    page_size: int
    total: int


def routes(market: Market) -> APIRouter:
    router = APIRouter(tags=["results"])
    anyone = open_to("anyone")

    @router.get("/v1/sales/{sale_id}/result", response_model=ResultOut, **anyone)
    async def show_result(sale_id: str, ask: AskDep) -> ResultOut:
        return await ask.run(lambda s: _result(s, sale_id), "market")

    @router.get("/v1/sales/{sale_id}/revealed-bids", response_model=RevealedBids, **anyone)
    async def list_revealed_bids(
        sale_id: str, ask: AskDep, page: Page = 1, page_size: PageSize = 100
    ) -> RevealedBids:
        return await ask.run(lambda s: _bids(s, sale_id, page, page_size), "market")

    @router.get("/v1/sales/{sale_id}/awards", response_model=Awards, **anyone)
    async def list_awards(
        sale_id: str, ask: AskDep, page: Page = 1, page_size: PageSize = 100
    ) -> Awards:
        return await ask.run(lambda s: _awards(s, sale_id, page, page_size), "market")

    @router.get("/v1/sales/{sale_id}/rejected-steps", response_model=RejectedSteps, **anyone)
    async def list_rejected_steps(
        sale_id: str, ask: AskDep, page: Page = 1, page_size: PageSize = 100
    ) -> RejectedSteps:
        return await ask.run(lambda s: _rejected(s, sale_id, page, page_size), "market")

    return router


async def _opened(session: Session, sale_id: str) -> tuple[Sale, Opening]:
    # Before the opening a sale's bids are as unknown as a sale that does not exist.
    query = (
        select(Sale, Opening)
        .join(Opening, col(Opening.sale_id) == col(Sale.id))
        .where(Sale.id == sale_id, Opening.state == "DONE")
    )
    found = (await session.exec(query)).first()
    if found is None:
        raise ResultUnknown()
    return found


async def _count(session: Session, row: type[Any], sale_id: str) -> int:
    query = select(func.count()).select_from(row).where(row.sale_id == sale_id)
    return (await session.exec(query)).one()


async def _result(session: Session, sale_id: str) -> ResultOut:
    sale, opening = await _opened(session, sale_id)
    unit = ASSET_UNITS[sale.asset]
    assert opening.draw_secret is not None
    assert opening.seed is not None
    said = {
        "sale_id": sale.id,
        "state": sale.state,
        "unit": unit.name,
        "draw_secret": opening.draw_secret.hex(),
        "seed": opening.seed.hex(),
        "bid_count": await _count(session, RevealedRow, sale_id),
    }
    result = await session.get(Result, sale_id)
    if result is None:
        return ResultOut.model_validate(said)
    price_fen = result.clearing_price_fen
    cleared = {
        "outcome": result.outcome,
        "clearing_price_yuan": None if price_fen is None else YUAN.format(price_fen),
        "sold": unit.format(result.sold_minor),
        "unsold": unit.format(result.unsold_minor),
        "proceeds_yuan": YUAN.format(result.proceeds_fen),
        "cleared_at": result.cleared_at,
    }
    return ResultOut.model_validate(said | cleared)


async def _bids(session: Session, sale_id: str, page: int, page_size: int) -> RevealedBids:
    sale, _ = await _opened(session, sale_id)
    skip = (page - 1) * page_size
    unit = ASSET_UNITS[sale.asset]
    found = await revealed_bids(session, sale_id, skip=skip, limit=page_size)
    items = [bid.told(unit) for bid in found]
    total = await _count(session, RevealedRow, sale_id)
    return RevealedBids(items=items, page=page, page_size=page_size, total=total)


async def _awards(session: Session, sale_id: str, page: int, page_size: int) -> Awards:
    sale, _ = await _opened(session, sale_id)
    unit = ASSET_UNITS[sale.asset]
    found = await session.exec(
        select(Award, Registration)
        .join(Registration, col(Registration.id) == col(Award.registration_id))
        .where(col(Award.sale_id) == sale_id)
        .order_by(col(Award.rank))
        .offset((page - 1) * page_size)
        .limit(page_size)
    )
    items = [
        AwardedStep(
            bid_id=award.bid_id,
            registration_id=award.registration_id,
            bidder=award.uscc,
            bidder_name=entrant.name,
            project_code=entrant.project_code,
            quantity=unit.format(award.quantity_minor),
            price_yuan=YUAN.edge(award.price_fen),
            amount_yuan=YUAN.edge(award.amount_fen),
        )
        for award, entrant in found.all()
    ]
    total = await _count(session, Award, sale_id)
    return Awards(items=items, page=page, page_size=page_size, total=total)


async def _rejected(session: Session, sale_id: str, page: int, page_size: int) -> RejectedSteps:
    await _opened(session, sale_id)
    query = select(RejectedRow).where(RejectedRow.sale_id == sale_id).order_by(RejectedRow.bid_id)
    found = await session.exec(query.offset((page - 1) * page_size).limit(page_size))
    items = [RejectedStep(bid_id=row.bid_id, code=row.code) for row in found.all()]
    total = await _count(session, RejectedRow, sale_id)
    return RejectedSteps(items=items, page=page, page_size=page_size, total=total)
