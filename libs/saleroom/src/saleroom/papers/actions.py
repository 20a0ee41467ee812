"""What a paper of a sale says, found among the rows the caller may see; nothing is changed."""

import json
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import Any

from sqlmodel import col, select

from contracts.sale import DepositConfirmed, SaleConfirmed, SealedBidPlaced
from marketkit.checkpoint import covering
from marketkit.codes import CITY, REGION_NAMES
from marketkit.db import Session, house, instant, sql
from marketkit.facts import Fact
from marketkit.signing import b64, same, sm3
from marketkit.units import ASSET_UNITS, YUAN, day_of
from saleroom.bids.tables import SealedBid
from saleroom.bookings.tables import BankBooking
from saleroom.entries.tables import Deposit, Registration
from saleroom.markets import Market
from saleroom.notices.tables import Sale
from saleroom.openings.tables import Opening
from saleroom.papers.rules import (
    BidReceipt,
    Deal,
    DealConfirmation,
    DealNotConfirmed,
    DepositNotBooked,
    DepositReceipt,
    Facts,
    Kind,
    PaperNotProven,
    PaperUnknown,
    PartyOnPaper,
    PaymentNotice,
    Place,
    Proof,
    SaleOnPaper,
    Seal,
    digest,
    in_words,
    paper_no,
)
from saleroom.results.tables import Award
from saleroom.settlements.rules import converted_fen, due_fen
from saleroom.settlements.tables import Settlement

ISSUER = f"{REGION_NAMES[CITY]}公共资源交易中心"
SEALED = ("ANNOUNCED", "OPEN", "CLOSED", "SUSPENDED")
ENDED_UNSOLD = {"FAILED", "CANCELLED", "ARCHIVED"}


async def bid_receipt(session: Session, market: Market, sale_id: str, bid_id: str) -> BidReceipt:
    """The receipt of a sealed bid: when which bytes came in, never what they hide.

    Raises:
        PaperUnknown: no such bid among those the caller may see.
    """
    found = await session.exec(
        select(Sale, Registration, SealedBid)
        .join(Registration, col(Registration.sale_id) == col(Sale.id))
        .join(SealedBid, col(SealedBid.registration_id) == col(Registration.id))
        .where(Sale.id == sale_id, SealedBid.id == bid_id)
    )
    row = found.first()
    if row is None:
        raise PaperUnknown()
    sale, registration, bid = row
    head = _head("bid-receipt", market, sale, registration, bid.submitted_at, of=bid.id)
    return BidReceipt(
        **head,
        version=bid.version,
        received_at=bid.submitted_at,
        commitment=b64(bid.commitment),
        bid_sm3=b64(sm3(bid.ciphertext)),
        kid=bid.kid,
    )


async def deposit_receipt(
    session: Session, market: Market, sale_id: str, registration_id: str
) -> DepositReceipt:
    """The receipt of a deposit, which stays what it was whatever becomes of the money.

    Raises:
        PaperUnknown: no such registration among those the caller may see.
        DepositNotBooked: the bank's booking is not recorded.
    """
    sale, registration, deposit = await _entered(session, sale_id, registration_id)
    if deposit.booked_at is None or deposit.bank_serial is None:
        raise DepositNotBooked()
    return DepositReceipt(
        **_head("deposit-receipt", market, sale, registration, deposit.booked_at),
        amount_yuan=YUAN.edge(deposit.amount_fen),
        amount_in_words=in_words(deposit.amount_fen),
        booked_at=deposit.booked_at,
        bank_serial=deposit.bank_serial,
    )


async def deal_confirmation(
    session: Session, market: Market, sale_id: str, registration_id: str
) -> DealConfirmation:
    """The confirmation of what a participant bought, once the result stands.

    Raises:
        PaperUnknown: no such registration among those the caller may see, or no deal came of it.
        DealNotConfirmed: the result does not stand yet.
    """
    sale, registration, _, settlement = await _won(session, sale_id, registration_id)
    query = select(Award).where(Award.registration_id == registration_id)
    awards = (await session.exec(query.order_by(col(Award.rank)))).all()
    unit = ASSET_UNITS[sale.asset]
    return DealConfirmation(
        **_head("deal-confirmation", market, sale, registration, _confirmed_at(sale)),
        format=sale.format,
        price_rule=sale.price_rule,
        deals=[
            Deal(
                bid_id=award.bid_id,
                quantity=unit.format(award.quantity_minor),
                price_yuan=YUAN.edge(award.price_fen),
                amount_yuan=YUAN.edge(award.amount_fen),
            )
            for award in awards
        ],
        quantity=unit.format(settlement.quantity_minor),
        amount_yuan=YUAN.edge(settlement.amount_fen),
        amount_in_words=in_words(settlement.amount_fen),
        confirmed_at=_confirmed_at(sale),
        pay_by=settlement.pay_by,
    )


async def payment_notice(
    session: Session, market: Market, sale_id: str, registration_id: str
) -> PaymentNotice:
    """The notice to pay what the deposit leaves due of the price.

    Raises:
        PaperUnknown: no such registration among those the caller may see, or no deal came of it.
        DealNotConfirmed: the result does not stand yet.
    """
    sale, registration, deposit, settlement = await _won(session, sale_id, registration_id)
    converted = converted_fen(settlement.amount_fen, deposit.amount_fen)
    due = due_fen(settlement.amount_fen, deposit.amount_fen)
    return PaymentNotice(
        **_head("payment-notice", market, sale, registration, _confirmed_at(sale)),
        quantity=ASSET_UNITS[sale.asset].format(settlement.quantity_minor),
        amount_yuan=YUAN.edge(settlement.amount_fen),
        deposit_yuan=YUAN.edge(deposit.amount_fen),
        converted_yuan=YUAN.edge(converted),
        refund_yuan=YUAN.edge(deposit.amount_fen - converted),
        due_yuan=YUAN.edge(due),
        due_in_words=in_words(due),
        pay_by=settlement.pay_by,
    )


async def _entered(
    session: Session, sale_id: str, registration_id: str
) -> tuple[Sale, Registration, Deposit]:
    found = await session.exec(
        select(Sale, Registration, Deposit)
        .join(Registration, col(Registration.sale_id) == col(Sale.id))
        .join(Deposit, col(Deposit.registration_id) == col(Registration.id))
        .where(Sale.id == sale_id, Registration.id == registration_id)
    )
    row = found.first()
    if row is None:
        raise PaperUnknown()
    return row


async def _won(
    session: Session, sale_id: str, registration_id: str
) -> tuple[Sale, Registration, Deposit, Settlement]:
    sale, registration, deposit = await _entered(session, sale_id, registration_id)
    if sale.confirmed_at is None and sale.state not in ENDED_UNSOLD:
        raise DealNotConfirmed()
    settlement = await session.get(Settlement, registration_id)
    if settlement is None:
        raise PaperUnknown()
    return sale, registration, deposit, settlement


def _confirmed_at(sale: Sale) -> datetime:
    assert sale.confirmed_at is not None
    return sale.confirmed_at


def _head(
    kind: Kind,
    market: Market,
    sale: Sale,
    registration: Registration,
    at: datetime,
    *,
    of: str = "",
) -> dict[str, Any]:
    issued_on = day_of(at)
    return {
        "kind": kind,
        "id": of or registration.id,
        "paper_no": paper_no(kind, of or registration.id, issued_on),
        "issuer": ISSUER,
        "issued_on": issued_on,
        "sale": SaleOnPaper(
            sale_id=sale.id,
            title=sale.title,
            asset=sale.asset,
            unit=ASSET_UNITS[sale.asset].name,
            seller=market.seller,
            policy_version=sale.policy_version,
        ),
        "party": PartyOnPaper(
            name=registration.name,
            uscc=registration.uscc,
            project_code=registration.project_code,
        ),
    }


Finding = Callable[[Session, Market, str, str], Awaitable[Facts]]
# By kind: how its paper is found, the fact it is of, and the field that names the paper in it.
PROVABLE: dict[str, tuple[Finding, type[Fact], str]] = {
    "bid-receipt": (bid_receipt, SealedBidPlaced, "receipt_id"),
    "deposit-receipt": (deposit_receipt, DepositConfirmed, "registration_id"),
    "deal-confirmation": (deal_confirmation, SaleConfirmed, ""),
    "payment-notice": (payment_notice, SaleConfirmed, ""),
}


async def prove(
    session: Session, market: Market, kind: str, sale_id: str, paper_id: str, said_sm3: str
) -> Proof:
    """That a paper with exactly this digest was issued, without its place; names nobody.

    Raises:
        PaperNotProven: there is no such paper, not yet, or it has another digest.
    """
    if kind not in PROVABLE:
        raise PaperNotProven()
    try:
        facts = await PROVABLE[kind][0](session, market, sale_id, paper_id)
    except (PaperUnknown, DepositNotBooked, DealNotConfirmed):
        raise PaperNotProven() from None
    if not same(digest(facts).encode(), said_sm3.encode()):
        raise PaperNotProven()
    return Proof(
        kind=facts.kind,
        paper_no=facts.paper_no,
        issuer=facts.issuer,
        issued_on=facts.issued_on,
        sale_id=sale_id,
        sale_title=facts.sale.title,
        sm3=digest(facts),
        is_sealed=await _is_place_sealed(
            session, sale_id, await _told_on(session, facts, paper_id)
        ),
        place=None,
    )


async def _told_on(session: Session, facts: Facts, paper_id: str) -> date:
    """The day on which the fact of a paper got its place, or a later one."""
    if facts.kind != "deposit-receipt":
        return facts.issued_on
    # It is issued as of the bank's booking; the log has it when that was recorded.
    used = select(BankBooking.used_at).where(
        BankBooking.registration_id == paper_id, BankBooking.use == "DEPOSIT"
    )
    return day_of((await session.exec(used)).first() or await instant(session))


async def _is_place_sealed(session: Session, sale_id: str, told_on: date) -> bool:
    # Places of the same log would count the bids of any sale that was sealed then and is still.
    opened = select(Opening.id).where(Opening.sale_id == sale_id, Opening.state == "DONE")
    others = select(Sale.announced_at).where(col(Sale.state).in_(SEALED))
    return (await session.exec(opened)).first() is None or any(
        announced_at is not None and day_of(announced_at) <= told_on
        for announced_at in (await session.exec(others)).all()
    )


async def place_of(session: Session, kind: Kind, sale_id: str, paper_id: str) -> Place | None:
    """Where the fact of a paper stands; None while it waits for its place in the log."""
    _, fact, field = PROVABLE[kind]
    # Stored bytes have one form, and a quote inside a text is escaped: this finds no other.
    found = await sql(
        session,
        "SELECT partition, sequence, chain, event FROM log WHERE key = :key "
        "AND position(:type IN event) > 0 AND position(:of IN event) > 0 "
        "ORDER BY sequence LIMIT 1",
        key=sale_id,
        type=f'"type":"{fact.type_in(house(session).market)}"'.encode(),
        of=f'"{field}":"{paper_id}"'.encode() if field else b"",
    )
    row = found.first()
    if row is None:
        return None
    event = json.loads(row.event)
    return Place(
        source=event["source"],
        type=event["type"],
        event_id=event["id"],
        partition=row.partition,
        sequence=row.sequence,
        chain=row.chain.hex(),
        checkpoint=await _seal(session, row.partition, row.sequence),
    )


async def _seal(session: Session, partition: int, sequence: int) -> Seal | None:
    checkpoint = await covering(session, partition, sequence)
    if checkpoint is None or checkpoint.id is None:
        return None
    signed_at = json.loads(checkpoint.body)["time"]
    return Seal(id=checkpoint.id, signed_at=signed_at, kid=checkpoint.kid)
