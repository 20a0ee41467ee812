"""An opened sale is cleared: by its terms, its revealed bids and the seed, as anyone can check."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert
from sqlmodel import col, select

from contracts import sale as facts
from marketkit.db import Session, instant
from marketkit.units import ASSET_UNITS
from saleroom.entries.actions import give_all_back
from saleroom.markets import Market
from saleroom.notices.actions import SaleRef, locked_sale, require, terms
from saleroom.notices.tables import Sale
from saleroom.openings.actions import revealed_bids, tell_steps
from saleroom.openings.tables import Opening
from saleroom.recompute import FailureReason, cleared_of, cleared_parts, reason_of
from saleroom.results.tables import Award, RejectedStep, Result


@dataclass(frozen=True)
class Uncleared:
    """All that decides an opened sale's result."""

    sale_id: str
    terms: facts.SaleTerms
    seed: bytes
    bids: Sequence[facts.RevealedBid]

    def cleared(self) -> tuple[facts.SaleCleared, FailureReason | None]:
        """The result, and why there is no deal if there is none."""
        cleared = cleared_of(self.terms, self.seed, self.bids)
        return cleared, reason_of(self.terms, cleared, self.bids)


async def sales_to_clear(session: Session) -> Sequence[str]:
    """Sales that are opened and not cleared, by id."""
    query = select(Sale.id).where(Sale.state == "OPENED").order_by(col(Sale.id))
    return (await session.exec(query)).all()


async def uncleared_sale(session: Session, sale_id: str) -> Uncleared:
    """What the clearing of an opened sale needs; none of it can change any more."""
    sale = await session.get_one(Sale, sale_id)
    opening = (await session.exec(select(Opening).where(Opening.sale_id == sale_id))).one()
    assert opening.seed is not None
    return Uncleared(sale_id, terms(sale), opening.seed, await revealed_bids(session, sale))


async def clear_sale(
    session: Session,
    market: Market,
    sale_id: str,
    cleared: facts.SaleCleared,
    reason: FailureReason | None,
) -> SaleRef:
    """Keep and tell the result; a sale without a deal has failed, and all is given back.

    Raises:
        SaleUnknown: no such sale.
        SaleStateNotAllowed: it is not opened, or cleared already.
    """
    sale = await locked_sale(session, sale_id)
    require(sale, "OPENED")
    at = await instant(session)
    unit = ASSET_UNITS[sale.asset]
    session.add(
        Result(
            sale_id=sale.id,
            outcome=cleared.outcome,
            clearing_price_fen=cleared.clearing_price_yuan,
            sold_minor=unit.parse(cleared.sold),
            unsold_minor=unit.parse(cleared.unsold),
            proceeds_fen=cleared.proceeds_yuan,
            cleared_at=at,
        )
    )
    sale.state = "CLEARED" if reason is None else "FAILED"
    await session.flush()
    await _keep_steps(session, sale, cleared)
    await tell_steps(session, sale, cleared_parts(cleared), at)
    if reason is not None:
        moved = await give_all_back(session, market, sale, at)
        await tell_steps(session, sale, [facts.SaleFailed(reason=reason, movements=moved)], at)
    return SaleRef(sale_id=sale.id, state=sale.state)


async def _keep_steps(session: Session, sale: Sale, cleared: facts.SaleCleared) -> None:
    owners = {bid.receipt_id: bid for bid in await revealed_bids(session, sale)}

    def of(bid_id: str) -> dict[str, Any]:
        bid = owners[bid_id.rpartition("-")[0]]
        return {
            "bid_id": bid_id,
            "sale_id": sale.id,
            "registration_id": bid.registration_id,
            "uscc": bid.bidder,
        }

    unit = ASSET_UNITS[sale.asset]
    awards = [
        {
            **of(award.bid_id),
            "rank": rank,
            "quantity_minor": unit.parse(award.quantity),
            "price_fen": award.price_yuan,
            "amount_fen": award.amount_yuan,
        }
        for rank, award in enumerate(cleared.awards, 1)
    ]
    if awards:
        await session.exec(insert(Award), params=awards)
    rejected = [of(step.bid_id) | {"code": step.code} for step in cleared.rejected]
    if rejected:
        await session.exec(insert(RejectedStep), params=rejected)
