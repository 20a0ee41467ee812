"""What the board makes of each fact. A reaction needs only earlier facts of its own key.

Facts of registrations, deposits and bids before the opening have no reaction here: nothing of
them may show, not even that they came. One alone is kept, and not shown before the opening.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import update
from sqlmodel import col

from contracts import escrow, sale
from gateway.board.rules import FAILURES, Result, deadlines_text, result_text
from gateway.board.tables import (
    Announcement,
    BoardAward,
    BoardBid,
    BoardRejection,
    BoardSale,
    BoardSettlement,
    BoardStep,
)
from gateway.holdings.reactions import REACTIONS, TRADING, fold_in, market_of, show
from gateway.holdings.rules import unit_of
from marketkit.db import Session, sql
from marketkit.facts import Fact
from marketkit.reactions import Told
from marketkit.rows import insert_all

# Whoever takes the reactions from here has registered those of this module, too.
__all__ = ["REACTIONS"]

F = TypeVar("F", bound=Fact)
OfSale = Callable[[Session, Told[F], BoardSale], Awaitable[None]]


def of_sale(fact: type[F]) -> Callable[[OfSale[F]], OfSale[F]]:
    """Register a reaction to a fact of an announced sale, in either market."""

    def register(reaction: OfSale[F]) -> OfSale[F]:
        async def shown(session: Session, told: Told[F]) -> None:
            found = await session.get(BoardSale, told.key)
            if found is None:
                # Given up as a draft: it was never announced, so there is nothing to show.
                await fold_in(session, [told])
                return
            await reaction(session, told, found)
            found.as_of = told.time
            await show(session, [told], found.id)

        REACTIONS.to(fact, *TRADING)(shown)
        return reaction

    return register


def _step(session: Session, told: Told[F], *, registration_id: str = "", note: str = "") -> None:
    session.add(
        BoardStep(
            source=told.source,
            partition=told.partition,
            sequence=told.sequence,
            sale_id=told.key,
            kind=told.fact.kind,
            registration_id=registration_id,
            note=note,
            taken_at=told.time,
        )
    )


def _announce(session: Session, told: Told[F], of: BoardSale, kind: str, body: str) -> None:
    session.add(
        Announcement(
            id=told.id,
            source=told.source,
            market=of.market,
            sale_id=of.id,
            kind=kind,
            sale_title=of.title,
            body=body,
            published_at=told.time,
        )
    )


@REACTIONS.to(sale.SaleAnnounced, *TRADING)
async def note_notice(session: Session, told: Told[sale.SaleAnnounced]) -> None:
    fact = told.fact
    found = BoardSale(
        id=told.key,
        source=told.source,
        market=market_of(told),
        title=fact.title,
        body=fact.body,
        seller=fact.seller,
        state="ANNOUNCED",
        asset=fact.terms.asset,
        terms=fact.terms.model_dump(mode="json"),
        timetable=fact.timetable.model_dump(mode="json"),
        key=fact.key.model_dump(mode="json"),
        policy_version=told.policy_version,
        announced_at=told.time,
        drilled_at=fact.drilled_at,
        follows_sale_id=fact.follows_sale_id,
        as_of=told.time,
    )
    session.add(found)
    kind = "SALE" if fact.follows_sale_id is None else "SALE_AGAIN"
    _announce(session, told, found, kind, fact.body)
    _step(session, told)
    await show(session, [told], found.id)


def _advance_to(fact: type[Fact], state: str) -> None:
    async def advance(session: Session, told: Told[Fact], of: BoardSale) -> None:
        of.state = state
        _step(session, told)

    of_sale(fact)(advance)


_STATES: dict[type[Fact], str] = {
    sale.SaleOpenedForBids: "OPEN",
    sale.SaleClosed: "CLOSED",
    sale.OpeningConfirmed: "CLOSED",
    sale.OpeningSessionBegun: "CLOSED",
    sale.OpeningSessionFailed: "CLOSED",
    sale.SaleSettled: "SETTLED",
    sale.SaleArchived: "ARCHIVED",
}
for _fact, _state in _STATES.items():
    _advance_to(_fact, _state)


@of_sale(sale.SaleSuspended)
async def note_suspension(session: Session, told: Told[sale.SaleSuspended], of: BoardSale) -> None:
    of.state, of.state_before, of.reason = "SUSPENDED", of.state, told.fact.reason
    _announce(session, told, of, "SUSPENSION", told.fact.reason)
    _step(session, told)


@of_sale(sale.SaleResumed)
async def note_resumption(session: Session, told: Told[sale.SaleResumed], of: BoardSale) -> None:
    of.state, of.state_before, of.reason = of.state_before or of.state, None, ""
    of.timetable = told.fact.timetable.model_dump(mode="json")
    _announce(session, told, of, "RESUMPTION", deadlines_text(told.fact.timetable))
    _step(session, told)


@of_sale(sale.SaleCorrected)
async def note_correction(session: Session, told: Told[sale.SaleCorrected], of: BoardSale) -> None:
    fact, timetable = told.fact, told.fact.timetable.model_dump(mode="json")
    deadlines = "" if timetable == of.timetable else f" {deadlines_text(fact.timetable)}"
    of.body, of.timetable = fact.body, timetable
    _announce(session, told, of, "CORRECTION", fact.text + deadlines)
    _step(session, told, note=f"第{told.fact.correction}次")


@of_sale(sale.SaleFailed)
async def note_failure(session: Session, told: Told[sale.SaleFailed], of: BoardSale) -> None:
    of.state, of.reason = "FAILED", FAILURES[told.fact.reason]
    _announce(session, told, of, "FAILURE", of.reason)
    _step(session, told)


@of_sale(sale.SaleCancelled)
async def note_cancellation(
    session: Session, told: Told[sale.SaleCancelled], of: BoardSale
) -> None:
    of.state, of.reason = "CANCELLED", told.fact.reason
    _announce(session, told, of, "CANCELLATION", told.fact.reason)
    _step(session, told)


@of_sale(sale.BidsRevealed)
async def note_bids(session: Session, told: Told[sale.BidsRevealed], of: BoardSale) -> None:
    unit = unit_of(of.asset)
    rows = [
        bid.model_dump(exclude={"quantity_max"})
        | {"source": of.source, "sale_id": of.id}
        | {"quantity_max_minor": unit.parse(bid.quantity_max)}
        for bid in told.fact.bids
    ]
    if rows:
        await insert_all(session, BoardBid, rows)


@of_sale(sale.SaleOpened)
async def note_opening(session: Session, told: Told[sale.SaleOpened], of: BoardSale) -> None:
    of.state = "OPENED"
    of.draw_secret, of.seed = told.fact.draw_secret, told.fact.seed
    _step(session, told)


@of_sale(sale.SaleCleared)
async def note_result(session: Session, told: Told[sale.SaleCleared], of: BoardSale) -> None:
    fact = told.fact
    unit = unit_of(of.asset)
    of.outcome = fact.outcome
    of.clearing_price_fen, of.proceeds_fen = fact.clearing_price_yuan, fact.proceeds_yuan
    of.sold_minor, of.unsold_minor = unit.parse(fact.sold), unit.parse(fact.unsold)
    awards = [
        {
            "source": of.source,
            "sale_id": of.id,
            "bid_id": award.bid_id,
            "registration_id": award.registration_id,
            "bidder": award.bidder,
            "bidder_name": award.bidder_name,
            "project_code": award.project_code,
            "quantity_minor": unit.parse(award.quantity),
            "price_fen": award.price_yuan,
            "amount_fen": award.amount_yuan,
        }
        for award in fact.awards
    ]
    if awards:
        await insert_all(session, BoardAward, awards)
    rejected = [
        {"source": of.source, "sale_id": of.id, "bid_id": one.bid_id, "code": one.code}
        for one in fact.rejected
    ]
    if rejected:
        await insert_all(session, BoardRejection, rejected)
    if fact.part == fact.part_count:
        of.state = "CLEARED"
        _step(session, told)


_SETTLEMENTS = """
INSERT INTO projection.board_settlement
    (source, sale_id, registration_id, bidder, bidder_name, project_code,
     quantity_minor, amount_fen, state)
SELECT source, sale_id, registration_id, bidder, bidder_name, project_code,
    sum(quantity_minor), sum(amount_fen), 'CONFIRMED'
FROM projection.board_award WHERE sale_id = :sale_id
GROUP BY source, sale_id, registration_id, bidder, bidder_name, project_code
"""


@of_sale(sale.SaleConfirmed)
async def note_confirmation(
    session: Session, told: Told[sale.SaleConfirmed], of: BoardSale
) -> None:
    of.state = "CONFIRMED"
    await sql(session, _SETTLEMENTS, sale_id=of.id)
    result = Result(
        of.asset,
        of.clearing_price_fen,
        of.sold_minor or 0,
        of.unsold_minor or 0,
        of.proceeds_fen or 0,
    )
    _announce(session, told, of, "RESULT", result_text(result))
    _step(session, told)


async def _settle(
    session: Session, told: Told[F], registration_id: str, note: str = "", **values: object
) -> None:
    # A winner's row is there since the confirmation, the same key's earlier fact.
    await session.exec(
        update(BoardSettlement)
        .where(
            col(BoardSettlement.sale_id) == told.key,
            col(BoardSettlement.registration_id) == registration_id,
        )
        .values(**values)
    )
    _step(session, told, registration_id=registration_id, note=note)


@of_sale(sale.ContractSigned)
async def note_contract(session: Session, told: Told[sale.ContractSigned], _: BoardSale) -> None:
    fact = told.fact
    await _settle(session, told, fact.registration_id, state="SIGNED", pay_by=fact.pay_by)


@of_sale(sale.SalePaid)
async def note_payment(session: Session, told: Told[sale.SalePaid], _: BoardSale) -> None:
    await _settle(session, told, told.fact.registration_id, state="PAID")


@of_sale(escrow.PaymentReversed)
async def note_payment_reversal(
    session: Session, told: Told[escrow.PaymentReversed], _: BoardSale
) -> None:
    fact = told.fact
    note = f"文号{fact.document_no}"
    await _settle(session, told, fact.registration_id, note=note, state="SIGNED")


@REACTIONS.to(escrow.DepositReversed, *TRADING)
async def note_deposit_reversal(session: Session, told: Told[escrow.DepositReversed]) -> None:
    """Kept for the journal; that there was a deposit shows nowhere before the opening."""
    fact = told.fact
    _step(session, told, registration_id=fact.registration_id, note=f"文号{fact.document_no}")


@of_sale(escrow.ForfeitRemitted)
async def note_forfeit(session: Session, told: Told[escrow.ForfeitRemitted], _: BoardSale) -> None:
    _step(session, told, registration_id=told.fact.registration_id)


@of_sale(sale.QuotaCredited)
async def note_credit(session: Session, told: Told[sale.QuotaCredited], _: BoardSale) -> None:
    """The buyer's holding grows; the delivery itself is told by the next fact."""


@of_sale(sale.SaleDelivered)
async def note_delivery(session: Session, told: Told[sale.SaleDelivered], _: BoardSale) -> None:
    await _settle(session, told, told.fact.registration_id, state="DELIVERED")


@of_sale(sale.DeliveryReversed)
async def note_reversal(session: Session, told: Told[sale.DeliveryReversed], of: BoardSale) -> None:
    fact = told.fact
    of.state = "CONFIRMED"
    note = f"{fact.document_no}：{fact.reason}"
    await _settle(session, told, fact.registration_id, note, state="PAID")


@of_sale(sale.SaleDefaulted)
async def note_default(session: Session, told: Told[sale.SaleDefaulted], _: BoardSale) -> None:
    fact = told.fact
    await _settle(
        session,
        told,
        fact.registration_id,
        state="DEFAULTED",
        forfeited_fen=fact.forfeited_yuan,
    )
