"""What each page shows, looked up in the board's rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlmodel import col, func, select

from gateway.board.rules import ENDED_STATES
from gateway.board.tables import (
    Announcement,
    BoardAward,
    BoardBid,
    BoardRejection,
    BoardSale,
    BoardSettlement,
    BoardStep,
)
from marketkit.db import Session, sql

HOME_SALES_MAX = 20
HOME_ANNOUNCEMENTS_MAX = 6
ROWS_MAX = 50

T = TypeVar("T")

_REGIONS = """
SELECT h.market, h.asset, coalesce(a.region_code, '') AS region_code, max(h.as_of) AS as_of,
    sum(h.posted_minor) AS posted_minor, sum(h.held_minor) AS held_minor
FROM projection.holding h
LEFT JOIN projection.board_account a ON a.market = h.market AND a.id = h.account
WHERE coalesce(a.owner_kind, '') <> 'ISSUANCE'
GROUP BY 1, 2, 3
HAVING sum(h.posted_minor) <> 0 OR sum(h.held_minor) <> 0
ORDER BY h.asset, region_code
"""


@dataclass(frozen=True)
class Page:
    """One page of rows, and how many there are in all."""

    rows: Sequence[Any]
    page: int
    page_size: int
    total: int


@dataclass(frozen=True)
class SaleFile:
    """A sale with everything that was told of it."""

    sale: BoardSale
    steps: Sequence[BoardStep]
    announcements: Sequence[Announcement]
    bids: Page
    rejections: dict[str, str]
    awards: Sequence[BoardAward]
    settlements: dict[str, BoardSettlement]


async def running_sales(session: Session) -> Sequence[BoardSale]:
    """Sales that have not ended, the newest first."""
    query = select(BoardSale).where(col(BoardSale.state).not_in(ENDED_STATES))
    return await _newest(session, query)


async def ended_sales(session: Session) -> Sequence[BoardSale]:
    query = select(BoardSale).where(col(BoardSale.state).in_(ENDED_STATES))
    return await _newest(session, query)


async def _newest(session: Session, query: Any) -> Sequence[BoardSale]:
    ordered = query.order_by(col(BoardSale.announced_at).desc(), col(BoardSale.id))
    found: Sequence[BoardSale] = (await session.exec(ordered.limit(HOME_SALES_MAX))).all()
    return found


async def regional_totals(session: Session) -> Sequence[Any]:
    """What all owners of a region hold together, by asset; what issuance owes is left out."""
    return (await sql(session, _REGIONS)).all()


async def announcements(session: Session, page: int, page_size: int) -> Page:
    """Announcements, the newest first."""
    newest = select(Announcement).order_by(
        col(Announcement.published_at).desc(), col(Announcement.id)
    )
    rows = (await session.exec(newest.offset((page - 1) * page_size).limit(page_size))).all()
    total = (await session.exec(select(func.count()).select_from(Announcement))).one()
    return Page(rows, page, page_size, total)


async def sale_file(session: Session, sale_id: str, page: int) -> SaleFile | None:
    """A sale with one page of its bids; None if no such sale was announced."""
    sale = await session.get(BoardSale, sale_id)
    if sale is None:
        return None
    steps = select(BoardStep).where(BoardStep.sale_id == sale_id)
    notices = select(Announcement).where(Announcement.sale_id == sale_id)
    awards = select(BoardAward).where(BoardAward.sale_id == sale_id)
    bids = await _bids(session, sale_id, page)
    return SaleFile(
        sale=sale,
        steps=(await session.exec(steps.order_by(col(BoardStep.sequence)))).all(),
        announcements=(
            await session.exec(notices.order_by(col(Announcement.published_at)))
        ).all(),
        bids=bids,
        rejections=await _rejections(session, sale_id, [bid.receipt_id for bid in bids.rows]),
        awards=(
            await session.exec(
                awards.order_by(col(BoardAward.price_fen).desc(), col(BoardAward.bid_id))
            )
        ).all(),
        settlements=await _settlements(session, sale_id),
    )


async def _bids(session: Session, sale_id: str, page: int) -> Page:
    of_sale = select(BoardBid).where(BoardBid.sale_id == sale_id)
    ordered = of_sale.order_by(col(BoardBid.submitted_at), col(BoardBid.receipt_id))
    rows = (await session.exec(ordered.offset((page - 1) * ROWS_MAX).limit(ROWS_MAX))).all()
    total = (await session.exec(select(func.count()).select_from(of_sale.subquery()))).one()
    return Page(rows, page, ROWS_MAX, total)


async def _rejections(session: Session, sale_id: str, receipts: list[str]) -> dict[str, str]:
    of_bids = func.regexp_replace(BoardRejection.bid_id, "-[0-9]+$", "").in_(receipts)
    query = select(BoardRejection).where(BoardRejection.sale_id == sale_id, of_bids)
    return {row.bid_id: row.code for row in (await session.exec(query)).all()}


async def _settlements(session: Session, sale_id: str) -> dict[str, BoardSettlement]:
    query = select(BoardSettlement).where(BoardSettlement.sale_id == sale_id)
    return {row.registration_id: row for row in (await session.exec(query)).all()}


def latest(*instants: datetime | None) -> datetime | None:
    """The last of those that are known."""
    return max((at for at in instants if at is not None), default=None)
