"""What a paper of a sale says, found among the rows the caller may see; nothing is changed."""

from datetime import datetime
from typing import Any

from sqlmodel import col, select

from marketkit.codes import CITY, REGION_NAMES
from marketkit.db import Session
from marketkit.signing import b64, sm3
from marketkit.units import ASSET_UNITS, YUAN, day_of
from saleroom.bids.tables import SealedBid
from saleroom.entries.tables import Deposit, Registration
from saleroom.markets import Market
from saleroom.notices.tables import Sale
from saleroom.papers.rules import (
    BidReceipt,
    Deal,
    DealConfirmation,
    DealNotConfirmed,
    DepositNotBooked,
    DepositReceipt,
    Kind,
    PaperUnknown,
    PartyOnPaper,
    PaymentNotice,
    SaleOnPaper,
    in_words,
    paper_no,
)
from saleroom.results.tables import Award
from saleroom.settlements.rules import converted_fen, due_fen
from saleroom.settlements.tables import Settlement

ISSUER = f"{REGION_NAMES[CITY]}公共资源交易中心"
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
