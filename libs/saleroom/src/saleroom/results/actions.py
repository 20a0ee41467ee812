"""An opened sale is cleared: by its terms, its revealed bids and the seed, as anyone can check.

The clearing itself is computed between two transactions: of what decides it nothing can change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import defer
from sqlmodel import col, select

from contracts import sale as facts
from marketkit.db import Session, instant
from marketkit.rows import insert_all
from marketkit.signing import b64
from marketkit.units import ASSET_UNITS, Unit
from saleroom.bids.tables import SealedBid
from saleroom.entries.actions import deposits_of, give_all_back, refund_deposits
from saleroom.entries.tables import Registration
from saleroom.markets import Market
from saleroom.notices.actions import SaleRef, locked_sale, require, terms
from saleroom.notices.tables import Sale
from saleroom.openings.actions import take_time, tell_steps
from saleroom.openings.tables import Opening, RevealedBid
from saleroom.recompute import FailureReason, cleared_of, cleared_parts, reason_of
from saleroom.results.tables import Award, RejectedStep, Result

Row = dict[str, Any]


@dataclass(frozen=True)
class Revealed:
    """A bid's rows, as it was told."""

    bid: RevealedBid
    sealed: SealedBid
    entrant: Registration

    def told(self, unit: Unit) -> facts.RevealedBid:
        return facts.RevealedBid(
            receipt_id=self.bid.receipt_id,
            registration_id=self.bid.registration_id,
            bidder=self.bid.uscc,
            bidder_name=self.entrant.name,
            project_code=self.entrant.project_code,
            quantity_max=unit.format(self.entrant.quantity_max_minor),
            version=self.sealed.version,
            submitted_at=self.sealed.submitted_at,
            commitment=b64(self.sealed.commitment),
            plaintext=self.bid.plaintext,
            void_code=self.bid.void_code,
        )


@dataclass(frozen=True)
class Cleared:
    """A result ready to be kept and told; `reason` says why there is no deal if there is none."""

    sale_id: str
    parts: Sequence[facts.SaleCleared]
    reason: FailureReason | None
    awards: Sequence[Row]
    rejected: Sequence[Row]


@dataclass(frozen=True)
class Uncleared:
    """All that decides an opened sale's result."""

    sale_id: str
    terms: facts.SaleTerms
    seed: bytes
    bids: Sequence[Revealed]

    def cleared(self) -> Cleared:
        """The result of the sale; no I/O."""
        unit = ASSET_UNITS[self.terms.asset]
        bids = [bid.told(unit) for bid in self.bids]
        result = cleared_of(self.terms, self.seed, bids)
        owners = {bid.receipt_id: bid for bid in bids}

        def of(bid_id: str) -> Row:
            bid = owners[bid_id.rpartition("-")[0]]
            place = {"bid_id": bid_id, "sale_id": self.sale_id}
            return place | {"registration_id": bid.registration_id, "uscc": bid.bidder}

        return Cleared(
            sale_id=self.sale_id,
            parts=cleared_parts(result),
            reason=reason_of(self.terms, result, bids),
            awards=[
                of(award.bid_id)
                | {
                    "rank": rank,
                    "quantity_minor": unit.parse(award.quantity),
                    "price_fen": award.price_yuan,
                    "amount_fen": award.amount_yuan,
                }
                for rank, award in enumerate(result.awards, 1)
            ],
            rejected=[of(step.bid_id) | {"code": step.code} for step in result.rejected],
        )


async def sales_to_clear(session: Session) -> Sequence[str]:
    """Sales that are opened and not cleared, by id."""
    query = select(Sale.id).where(Sale.state == "OPENED").order_by(col(Sale.id))
    return (await session.exec(query)).all()


async def uncleared_sale(session: Session, sale_id: str) -> Uncleared:
    """What the clearing of an opened sale needs."""
    await take_time(session)
    sale = await session.get_one(Sale, sale_id)
    opening = (await session.exec(select(Opening).where(Opening.sale_id == sale_id))).one()
    assert opening.seed is not None
    return Uncleared(sale_id, terms(sale), opening.seed, await revealed_bids(session, sale_id))


async def revealed_bids(
    session: Session, sale_id: str, *, skip: int = 0, limit: int | None = None
) -> list[Revealed]:
    """The bids of an opened sale, in the order in which they were taken in."""
    ciphertext: Any = SealedBid.ciphertext
    found = await session.exec(
        select(RevealedBid, SealedBid, Registration)
        .options(defer(ciphertext, raiseload=True))
        .join(SealedBid, col(SealedBid.id) == col(RevealedBid.receipt_id))
        .join(Registration, col(Registration.id) == col(RevealedBid.registration_id))
        .where(col(RevealedBid.sale_id) == sale_id)
        .order_by(col(SealedBid.submitted_at))
        .offset(skip)
        .limit(limit)
    )
    return [Revealed(*row) for row in found.all()]


async def clear_sale(session: Session, market: Market, cleared: Cleared) -> SaleRef:
    """Keep and tell the result; a sale without a deal has failed, and all is given back.

    Raises:
        SaleUnknown: no such sale.
        SaleStateNotAllowed: it is not opened, or cleared already.
    """
    await take_time(session)
    sale = await locked_sale(session, cleared.sale_id)
    require(sale, "OPENED")
    at = await instant(session)
    unit = ASSET_UNITS[sale.asset]
    said = cleared.parts[0]
    session.add(
        Result(
            sale_id=sale.id,
            outcome=said.outcome,
            clearing_price_fen=said.clearing_price_yuan,
            sold_minor=unit.parse(said.sold),
            unsold_minor=unit.parse(said.unsold),
            proceeds_fen=said.proceeds_yuan,
            cleared_at=at,
        )
    )
    sale.state = "CLEARED" if cleared.reason is None else "FAILED"
    await session.flush()
    if cleared.awards:
        await insert_all(session, Award, cleared.awards)
    if cleared.rejected:
        await insert_all(session, RejectedStep, cleared.rejected)
    await tell_steps(session, sale, cleared.parts, at)
    await _refund_unaccepted(session, market, sale, at)
    if cleared.reason is not None:
        moved = await give_all_back(session, market, sale, at)
        failed = facts.SaleFailed(reason=cleared.reason, movements=moved)
        await tell_steps(session, sale, [failed], at)
    return SaleRef(sale_id=sale.id, state=sale.state)


async def _refund_unaccepted(session: Session, market: Market, sale: Sale, at: datetime) -> None:
    # Whoever did not accept the notice as it was corrected has no more part in the sale; not
    # before the opening, for the number of refunds would tell who still has.
    query = select(Registration.id).where(
        Registration.sale_id == sale.id, Registration.accepted_correction < sale.correction_count
    )
    unaccepted = set((await session.exec(query)).all())
    if unaccepted:
        deposits = await deposits_of(session, sale.id)
        left = [one for one in deposits if one.registration_id in unaccepted]
        await refund_deposits(session, market, sale, left, at)
