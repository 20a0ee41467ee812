"""Quota is delivered once the treasury has the money; two people reverse a wrong delivery.

A reversal holds the quota under the sale again. The money stays where it is: the price stays paid
and the treasury's receipt stays the contract's.
"""

from collections.abc import Sequence
from datetime import datetime

from contracts import sale as facts
from contracts.holdings import AccountOpened
from marketkit.countersign import RequestOut, ask, confirm
from marketkit.db import Session
from marketkit.holds import post_holds
from marketkit.identity import Caller
from marketkit.ledger import Account, Booking, open_account
from marketkit.movements import Leg, Movement
from marketkit.outbox import Telling, tell, tell_all
from marketkit.reversal import (
    Reversal,
    ReversalIn,
    credit_of,
    reversal_asked,
    reverse,
)
from marketkit.units import ASSET_UNITS, YUAN, Form, Text, day_of
from saleroom.bookings.actions import keep_receipt
from saleroom.bookings.tables import TreasuryReceipt
from saleroom.entries.tables import Deposit, Registration
from saleroom.markets import Buyer, Market
from saleroom.notices.actions import booking, require
from saleroom.notices.tables import Sale
from saleroom.settlements.actions import (
    SettlementOut,
    require_settlement,
    settle_if_all_ended,
    settled,
    settlement_out,
)
from saleroom.settlements.rules import check_receipt
from saleroom.settlements.tables import Settlement

KIND = "sale.delivery_reversal"
# An archived sale is taken up again: a wrong credit stays wrong however late it is seen.
REVERSIBLE = ("CONFIRMED", "SETTLED", "ARCHIVED")


class DeliveryIn(Form):
    treasury_receipt_no: Text


async def deliver(
    session: Session, market: Market, sale_id: str, registration_id: str, form: DeliveryIn
) -> SettlementOut:
    """Record the treasury's receipt and credit the quota, in one step.

    Raises:
        SaleUnknown, SettlementUnknown: no such sale or contract.
        SettlementStateNotAllowed: the price is not in escrow.
        TreasuryReceiptUsed: the receipt stands elsewhere.
        TreasuryReceiptDiffers: the price was remitted under another, before a reversal.
        InsufficientFreeQuantity: less is held than was sold.
    """
    sale, settlement, deposit, at = await settled(session, sale_id, registration_id)
    require_settlement(settlement, "PAID")
    remitted = settlement.treasury_receipt_no
    if remitted is None:
        await _remit(session, sale, settlement, form.treasury_receipt_no, at)
    else:
        check_receipt(form.treasury_receipt_no, remitted=remitted)
    settlement.state, settlement.ended_at = "DELIVERED", at
    await session.flush()
    account = await _open_account(session, market, sale, registration_id, at)
    legs = await post_holds(session, booking(sale, at), account, settlement.quantity_minor)
    await _tell_delivery(session, sale, settlement, account, legs, at)
    await settle_if_all_ended(session, sale, at)
    return settlement_out(sale, settlement, deposit)


async def _open_account(
    session: Session, market: Market, sale: Sale, registration_id: str, at: datetime
) -> str:
    registration = await session.get_one(Registration, registration_id)
    buyer = Buyer(registration.uscc, registration.project_code)
    account = Account(
        id=_account_id(buyer),
        owner_kind="ENTERPRISE",
        region_code=await market.region_of(session, buyer),
        uscc=buyer.uscc,
        project_code=buyer.project_code,
    )
    opened = AccountOpened(
        account=account.id,
        owner_kind="ENTERPRISE",
        region_code=account.region_code,
        uscc=account.uscc,
        project_code=account.project_code,
    )
    if await open_account(session, account):
        await tell(session, opened, key=opened.account, policy_version=sale.policy_version, at=at)
    return opened.account


async def _account_of(session: Session, settlement: Settlement) -> str:
    """The account on which what a contract is about is delivered."""
    registration = await session.get_one(Registration, settlement.registration_id)
    return _account_id(Buyer(registration.uscc, registration.project_code))


def _account_id(buyer: Buyer) -> str:
    return f"enterprise:{buyer.uscc}:{buyer.project_code}"


async def _remit(
    session: Session, sale: Sale, settlement: Settlement, receipt_no: str, at: datetime
) -> None:
    receipt = TreasuryReceipt(
        receipt_no=receipt_no,
        registration_id=settlement.registration_id,
        sale_id=sale.id,
        cause="PRICE",
        amount_fen=settlement.amount_fen,
        received_at=at,
    )
    await keep_receipt(session, receipt)
    settlement.treasury_receipt_no = receipt_no
    await session.flush()
    fact = facts.RevenueRemitted(
        registration_id=settlement.registration_id,
        amount_yuan=YUAN.edge(settlement.amount_fen),
        treasury_receipt_no=receipt_no,
    )
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)


async def _tell_delivery(
    session: Session,
    sale: Sale,
    settlement: Settlement,
    account: str,
    legs: Sequence[Leg],
    at: datetime,
) -> None:
    registration_id = settlement.registration_id
    credited = facts.QuotaCredited(
        registration_id=registration_id,
        account=account,
        quantity=ASSET_UNITS[sale.asset].format(settlement.quantity_minor),
        asset=sale.asset,
        movements=[Movement.of(leg) for leg in legs],
    )
    delivered = facts.SaleDelivered(registration_id=registration_id)
    await tell_all(
        session,
        [
            Telling(fact, sale.id, policy_version=sale.policy_version, at=at)
            for fact in (credited, delivered)
        ],
    )


async def ask_to_reverse_delivery(
    session: Session, sale_id: str, registration_id: str, caller: Caller, form: ReversalIn
) -> RequestOut:
    """One officer's word that a delivery was wrong, with the document; another must confirm.

    Raises:
        SaleUnknown, SettlementUnknown: no such sale or contract.
        SaleStateNotAllowed, SettlementStateNotAllowed: nothing is delivered.
    """
    sale, settlement, _, at = await _delivered(session, sale_id, registration_id)
    account = await _account_of(session, settlement)
    transfer_id = await credit_of(session, sale.id, account)
    content = Reversal(**form.model_dump(), transfer_id=transfer_id)
    return await ask(session, KIND, registration_id, content, asker=caller.sub, at=at)


async def show_delivery_reversal_request(
    session: Session, registration_id: str, request_id: str
) -> Reversal:
    """What was asked for.

    Raises:
        RequestUnknown: no such request for this contract.
    """
    return await reversal_asked(session, (KIND, registration_id), request_id)


async def reverse_delivery(
    session: Session, sale_id: str, registration_id: str, request_id: str, caller: Caller
) -> SettlementOut:
    """The second officer's word: the contract is paid and not delivered, the quota held again.

    Raises:
        SaleUnknown, SettlementUnknown: no such sale or contract.
        RequestUnknown, SamePerson, AlreadyConfirmed: as `countersign.confirm`.
        SaleStateNotAllowed, SettlementStateNotAllowed: nothing is delivered.
        AlreadyReversed: the delivery asked about was reversed, and another came after it.
        InsufficientFreeQuantity: the buyer does not hold it free any more.
    """
    sale, settlement, deposit, at = await settled(session, sale_id, registration_id)
    request = await confirm(
        session, KIND, request_id, subject=registration_id, confirmer=caller.sub, at=at
    )
    require(sale, *REVERSIBLE)
    require_settlement(settlement, "DELIVERED")
    asked = Reversal.model_validate_json(request.content)
    account = await _account_of(session, settlement)
    said = (asked.document_no, day_of(at), at, sale.policy_version, asked.transfer_id)
    legs = await reverse(session, Booking("REVERSAL", sale.id, *said))
    settlement.state, settlement.ended_at = "PAID", None
    sale.state = "CONFIRMED"
    await session.flush()
    fact = facts.DeliveryReversed(
        registration_id=registration_id,
        account=account,
        quantity=ASSET_UNITS[sale.asset].format(settlement.quantity_minor),
        asset=sale.asset,
        document_no=asked.document_no,
        reason=asked.reason,
        movements=[Movement.of(leg) for leg in legs],
    )
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    return settlement_out(sale, settlement, deposit)


async def _delivered(
    session: Session, sale_id: str, registration_id: str
) -> tuple[Sale, Settlement, Deposit, datetime]:
    found = await settled(session, sale_id, registration_id)
    require(found[0], *REVERSIBLE)
    require_settlement(found[1], "DELIVERED")
    return found
