"""What the board answers, out of its own rows: each look-up in one transaction."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from sqlmodel import col, func, select

from gateway.board.rules import (
    SEALED_STATES,
    STEPS_UNSEEN,
    AnnouncementOut,
    AnnouncementsOut,
    AwardOut,
    AwardsOut,
    BidOut,
    BidsOut,
    BidStepOut,
    HoldingLine,
    HoldingsOut,
    ResultOut,
    SaleLine,
    SaleOut,
    SalesOut,
    SettlementOut,
    SettlementsOut,
    SourceStaleness,
    StepOut,
    announcement_title,
    lag_events,
    steps_in,
)
from gateway.board.tables import (
    Announcement,
    BoardAward,
    BoardBid,
    BoardRejection,
    BoardSale,
    BoardSettlement,
    BoardStep,
)
from gateway.holdings.rules import unit_of
from marketkit.codes import REGION_NAMES
from marketkit.db import Session, sql
from marketkit.errors import NotFound
from marketkit.units import YUAN

R = TypeVar("R", BoardAward, BoardBid, BoardSettlement)


class BoardSaleUnknown(NotFound):
    title = "没有这宗已公告的交易"


class Page(NamedTuple):
    """Which part of a list is asked for; pages count from 1."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size


async def staleness(session: Session, sources: Mapping[str, str]) -> list[SourceStaleness]:
    """How current each market's facts are; asked in role `worker`, before the facts are read."""
    names = list(sources.values())
    found = await sql(
        session,
        "SELECT source, partition, epoch, sequence, is_forked FROM position "
        "WHERE source = ANY(CAST(:names AS text[]))",
        names=names,
    )
    positions = found.all()
    told = await sql(
        session,
        "SELECT s.source, c.body FROM unnest(CAST(:names AS text[])) s(source) CROSS JOIN LATERAL "
        "(SELECT body FROM source_checkpoint WHERE source = s.source ORDER BY id DESC LIMIT 1) c",
        names=names,
    )
    checkpoints = {row.source: json.loads(row.body) for row in told.all()}
    states = col(BoardSale.state).in_(SEALED_STATES)
    sealed = set((await session.exec(select(BoardSale.market).where(states).distinct())).all())
    return [
        _staleness(
            market,
            source,
            [row for row in positions if row.source == source],
            checkpoints.get(source),
            is_sealed=market in sealed,
        )
        for market, source in sources.items()
    ]


def _staleness(
    market: str,
    source: str,
    positions: Sequence[Any],
    checkpoint: Mapping[str, Any] | None,
    *,
    is_sealed: bool,
) -> SourceStaleness:
    lag = None
    if checkpoint is not None and not is_sealed:
        heads = {head["partition"]: head["sequence"] for head in checkpoint["heads"]}
        epoch = checkpoint["epoch"]
        applied = {row.partition: row.sequence for row in positions if row.epoch == epoch}
        lag = lag_events(heads, applied)
    return SourceStaleness(
        market=market,
        source=source,
        lag_events=lag,
        known_at=None if checkpoint is None else checkpoint["time"],
        is_stopped=any(row.is_forked for row in positions),
    )


def _line(row: BoardSale) -> dict[str, Any]:
    unit = unit_of(row.asset)
    price, sold = row.clearing_price_fen, row.sold_minor
    return {
        "sale_id": row.id,
        "market": row.market,
        "title": row.title,
        "state": row.state,
        "format": row.terms["format"],
        "asset": row.asset,
        "unit": row.terms["unit"],
        "supply": row.terms["supply"],
        "floor_price_yuan": row.terms["floor_price_yuan"],
        "announced_at": row.announced_at,
        "opens_at": row.timetable["opens_at"],
        "closes_at": row.timetable["closes_at"],
        "outcome": row.outcome,
        "clearing_price_yuan": None if price is None else YUAN.format(price),
        "sold": None if sold is None else unit.format(sold),
        "as_of": row.as_of,
    }


async def sales(
    session: Session, page: Page, *, market: str = "", states: Sequence[str] = ()
) -> SalesOut:
    """Announced sales, the latest first; of one market or in some states where these are named."""
    wanted = []
    if market:
        wanted.append(col(BoardSale.market) == market)
    if states:
        wanted.append(col(BoardSale.state).in_(states))
    totals = select(func.count(), func.max(BoardSale.as_of)).where(*wanted)
    total, as_of = (await session.exec(totals)).one()
    found = await session.exec(
        select(BoardSale)
        .where(*wanted)
        .order_by(col(BoardSale.announced_at).desc(), col(BoardSale.id).desc())
        .offset(page.offset)
        .limit(page.size)
    )
    lines = [SaleLine(**_line(row)) for row in found.all()]
    return SalesOut(sales=lines, **_paged(page, total, as_of))


def _paged(page: Page, total: int, as_of: datetime | None) -> dict[str, Any]:
    return {"page": page.number, "page_size": page.size, "total": total, "as_of": as_of}


async def _sale(session: Session, sale_id: str) -> BoardSale:
    found = await session.get(BoardSale, sale_id)
    if found is None:
        raise BoardSaleUnknown()
    return found


async def sale(session: Session, sale_id: str) -> SaleOut:
    """One sale.

    Raises:
        BoardSaleUnknown: none of this id was announced.
    """
    row = await _sale(session, sale_id)
    told = {
        "body": row.body,
        "seller": row.seller,
        "terms": row.terms,
        "timetable": row.timetable,
        "key": row.key,
        "policy_version": row.policy_version,
        "drilled_at": row.drilled_at,
        "follows_sale_id": row.follows_sale_id,
        "followed_by": await _followers(session, sale_id),
        "reason": row.reason,
        "steps": await _steps(session, sale_id, row.state),
        "result": _result(row),
    }
    return SaleOut.model_validate(_line(row) | told)


async def _followers(session: Session, sale_id: str) -> Sequence[str]:
    query = select(BoardSale.id).where(BoardSale.follows_sale_id == sale_id)
    order = (col(BoardSale.announced_at), col(BoardSale.id))
    return (await session.exec(query.order_by(*order))).all()


def _result(row: BoardSale) -> ResultOut | None:
    if row.outcome is None:
        return None
    unit = unit_of(row.asset)
    price = row.clearing_price_fen
    return ResultOut.model_validate(
        {
            "outcome": row.outcome,
            "clearing_price_yuan": None if price is None else YUAN.format(price),
            "sold": unit.format(row.sold_minor or 0),
            "unsold": unit.format(row.unsold_minor or 0),
            "proceeds_yuan": YUAN.format(row.proceeds_fen or 0),
            "draw_secret": row.draw_secret or "",
            "seed": row.seed or "",
        }
    )


async def _steps(session: Session, sale_id: str, state: str) -> list[StepOut]:
    query = select(BoardStep).where(BoardStep.sale_id == sale_id)
    if state in SEALED_STATES:
        query = query.where(col(BoardStep.kind).not_in(STEPS_UNSEEN))
    steps = await session.exec(query.order_by(col(BoardStep.sequence)))
    winners = await session.exec(
        select(BoardSettlement.registration_id, BoardSettlement.bidder_name).where(
            BoardSettlement.sale_id == sale_id
        )
    )
    names = dict(winners.all())
    return [
        StepOut(
            kind=step.kind,
            note=step.note,
            taken_at=step.taken_at,
            registration_id=step.registration_id or None,
            bidder_name=names.get(step.registration_id),
        )
        for step in steps.all()
    ]


async def _part(
    session: Session, rows: type[R], sale_id: str, page: Page, *order: Any
) -> tuple[Sequence[R], int]:
    """The rows of a sale that stand on a page, and how many there are."""
    of_sale = rows.sale_id == sale_id
    total = (await session.exec(select(func.count()).select_from(rows).where(of_sale))).one()
    query = select(rows).where(of_sale).order_by(*order).offset(page.offset).limit(page.size)
    return (await session.exec(query)).all(), total


async def bids(session: Session, sale_id: str, page: Page) -> BidsOut:
    """The bids told at the opening, in the order in which they came; none before it."""
    row = await _sale(session, sale_id)
    order = (col(BoardBid.submitted_at), col(BoardBid.receipt_id))
    found, total = await _part(session, BoardBid, sale_id, page, *order)
    fates = await _fates(session, row, found)
    told = [_bid(bid, row.asset, fates) for bid in found]
    return BidsOut(bids=told, **_paged(page, total, row.as_of))


class Fates(NamedTuple):
    awarded: Mapping[str, str]
    rejected: Mapping[str, str]


async def _fates(session: Session, of: BoardSale, rows: Sequence[BoardBid]) -> Fates:
    ids = [
        f"{bid.receipt_id}-{number}"
        for bid in rows
        for number in range(1, len(steps_in(bid.plaintext)) + 1)
    ]
    unit = unit_of(of.asset)
    awards = await session.exec(
        select(BoardAward.bid_id, BoardAward.quantity_minor).where(
            BoardAward.sale_id == of.id, col(BoardAward.bid_id).in_(ids)
        )
    )
    rejections = await session.exec(
        select(BoardRejection.bid_id, BoardRejection.code).where(
            BoardRejection.sale_id == of.id, col(BoardRejection.bid_id).in_(ids)
        )
    )
    awarded = {bid_id: unit.format(quantity) for bid_id, quantity in awards.all()}
    return Fates(awarded, dict(rejections.all()))


def _bid(bid: BoardBid, asset: str, fates: Fates) -> BidOut:
    ids = {f"{bid.receipt_id}-{n}": step for n, step in enumerate(steps_in(bid.plaintext), 1)}
    steps = [
        BidStepOut(
            bid_id=bid_id,
            **step.model_dump(mode="json"),
            awarded=fates.awarded.get(bid_id),
            rejected_code=fates.rejected.get(bid_id),
        )
        for bid_id, step in ids.items()
    ]
    return BidOut(**_edge(bid, asset), steps=steps)


async def awards(session: Session, sale_id: str, page: Page) -> AwardsOut:
    """What each step of each bid got, the highest price first."""
    row = await _sale(session, sale_id)
    order = (col(BoardAward.price_fen).desc(), col(BoardAward.bid_id))
    found, total = await _part(session, BoardAward, sale_id, page, *order)
    told = [AwardOut.model_validate(_edge(award, row.asset)) for award in found]
    return AwardsOut(awards=told, **_paged(page, total, row.as_of))


async def settlements(session: Session, sale_id: str, page: Page) -> SettlementsOut:
    """How each winner's awards are settled, the largest first."""
    row = await _sale(session, sale_id)
    order = (col(BoardSettlement.amount_fen).desc(), col(BoardSettlement.registration_id))
    found, total = await _part(session, BoardSettlement, sale_id, page, *order)
    told = [SettlementOut.model_validate(_edge(one, row.asset)) for one in found]
    return SettlementsOut(settlements=told, **_paged(page, total, row.as_of))


def _edge(row: BoardAward | BoardBid | BoardSettlement, asset: str) -> dict[str, Any]:
    """A row as it leaves: minor units in people's units, under the names of these."""
    unit = unit_of(asset)
    said: dict[str, Any] = {}
    for name, value in row.model_dump(exclude={"source", "sale_id", "registration_id"}).items():
        if name.endswith("_minor"):
            said[name.removesuffix("_minor")] = unit.format(value)
        elif name.endswith("_fen"):
            amount = None if value is None else YUAN.format(value)
            said[name.removesuffix("_fen") + "_yuan"] = amount
        else:
            said[name] = value
    return said


async def holdings(session: Session) -> HoldingsOut:
    """Totals by market, region and asset; they span all regions, so they are read as `market`."""
    found = await sql(
        session,
        "SELECT h.market, a.region_code, h.asset, sum(h.posted_minor) AS posted, "
        "sum(h.held_minor) AS held, max(h.as_of) AS as_of "
        "FROM projection.holding h "
        "JOIN projection.board_account a ON a.market = h.market AND a.id = h.account "
        "WHERE a.owner_kind <> 'ISSUANCE' "
        "GROUP BY h.market, a.region_code, h.asset ORDER BY h.market, h.asset, a.region_code",
    )
    rows = found.all()
    lines = [
        HoldingLine(
            market=row.market,
            region_code=row.region_code,
            region_name=REGION_NAMES.get(row.region_code, row.region_code),
            asset=row.asset,
            unit=unit_of(row.asset).name,
            posted=unit_of(row.asset).format(int(row.posted)),
            held=unit_of(row.asset).format(int(row.held)),
            available=unit_of(row.asset).format(int(row.posted) - int(row.held)),
        )
        for row in rows
    ]
    return HoldingsOut(holdings=lines, as_of=max((row.as_of for row in rows), default=None))


async def announcements(session: Session, page: Page, *, sale_id: str = "") -> AnnouncementsOut:
    """What the trading centre made public, the latest first; of one sale where it is named."""
    wanted = [col(Announcement.sale_id) == sale_id] if sale_id else []
    totals = select(func.count(), func.max(Announcement.published_at)).where(*wanted)
    total, as_of = (await session.exec(totals)).one()
    found = await session.exec(
        select(Announcement, BoardSale.follows_sale_id)
        .join(BoardSale, col(BoardSale.id) == col(Announcement.sale_id))
        .where(*wanted)
        .order_by(col(Announcement.published_at).desc(), col(Announcement.id).desc())
        .offset(page.offset)
        .limit(page.size)
    )
    told = [
        AnnouncementOut(
            id=row.id,
            market=row.market,
            sale_id=row.sale_id,
            follows_sale_id=follows_sale_id,
            kind=row.kind,
            title=announcement_title(row.kind, row.sale_title),
            body=row.body,
            published_at=row.published_at,
        )
        for row, follows_sale_id in found.all()
    ]
    return AnnouncementsOut(announcements=told, **_paged(page, total, as_of))
