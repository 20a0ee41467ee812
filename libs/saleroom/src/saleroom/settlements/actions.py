"""After the clearing: confirmed, signed, paid, delivered or defaulted, one participant at a time.

Money comes before quota, both or neither: the treasury's receipt and the credit are one step.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlmodel import col, select

from contracts import sale as facts
from contracts.holdings import AccountOpened
from marketkit.db import Session, instant
from marketkit.facts import Fact
from marketkit.identity import Caller
from marketkit.ledger import Account, open_account, post_holds, void_holds, void_part
from marketkit.movements import Leg, Movement
from marketkit.outbox import Telling, tell, tell_all
from marketkit.units import ASSET_UNITS, YUAN, AmountYuan, AmountYuanOrZero, Form, Instant, Text
from saleroom.entries.actions import deposits_of, refund_deposits
from saleroom.entries.tables import Deposit, Registration
from saleroom.markets import Buyer, Market
from saleroom.notices.actions import SaleRef, booking, locked_sale, require
from saleroom.notices.tables import Sale
from saleroom.results.tables import Award
from saleroom.settlements.rules import (
    PaymentSerialUsed,
    SettlementStateNotAllowed,
    SettlementUnknown,
    TreasuryReceiptUsed,
    check_default,
    check_payment,
    converted_fen,
    due_fen,
)
from saleroom.settlements.tables import Payment, Settlement

ENDED = {"DELIVERED", "DEFAULTED"}


class SettlementOut(Form):
    sale_id: str
    registration_id: str
    uscc: str
    state: str
    quantity: str
    amount_yuan: AmountYuan
    deposit_yuan: AmountYuanOrZero
    due_yuan: AmountYuanOrZero
    pay_by: Instant


class Settlements(Form):
    items: list[SettlementOut]


class PaymentIn(Form):
    amount_yuan: AmountYuan
    booked_at: Instant
    bank_serial: Text


class DeliveryIn(Form):
    treasury_receipt_no: Text


async def confirm_sale(session: Session, market: Market, sale_id: str) -> SaleRef:
    """Let the result stand: contracts for the winners, deposits back to all others, rest released.

    Raises:
        SaleUnknown: no such sale.
        SaleStateNotAllowed: it is not cleared.
    """
    sale = await locked_sale(session, sale_id)
    require(sale, "CLEARED")
    at = await instant(session)
    awards = await _awards(session, sale.id)
    pay_by = at + timedelta(days=sale.pay_days)
    sold_minor = 0
    for registration_id, won in awards.items():
        quantity_minor = sum(award.quantity_minor for award in won)
        sold_minor += quantity_minor
        session.add(
            Settlement(
                registration_id=registration_id,
                sale_id=sale.id,
                uscc=won[0].uscc,
                state="CONFIRMED",
                quantity_minor=quantity_minor,
                amount_fen=sum(award.amount_fen for award in won),
                pay_by=pay_by,
            )
        )
    sale.state, sale.confirmed_at = "CONFIRMED", at
    legs = await void_part(session, booking(sale, at), sale.supply_minor - sold_minor)
    fact = facts.SaleConfirmed(movements=[Movement.of(leg) for leg in legs])
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    losers = [
        deposit
        for deposit in await deposits_of(session, sale.id)
        if deposit.registration_id not in awards
    ]
    await refund_deposits(session, market, sale, losers, at)
    return SaleRef(sale_id=sale.id, state=sale.state)


async def _awards(session: Session, sale_id: str) -> dict[str, list[Award]]:
    query = select(Award).where(Award.sale_id == sale_id).order_by(col(Award.rank))
    won: dict[str, list[Award]] = defaultdict(list)
    for award in (await session.exec(query)).all():
        won[award.registration_id].append(award)
    return won


async def sign_contract(
    session: Session, sale_id: str, registration_id: str, caller: Caller
) -> SettlementOut:
    """Sign the contract over all the caller's awards.

    Raises:
        SaleUnknown, SettlementUnknown: no such sale, or another's contract.
        SettlementStateNotAllowed: it is not waiting for a signature.
    """
    sale, settlement, deposit, at = await _settled(session, sale_id, registration_id, caller)
    _require(settlement, "CONFIRMED")
    settlement.state, settlement.signed_at = "SIGNED", at
    await session.flush()
    said = _out(sale, settlement, deposit)
    fact = facts.ContractSigned(
        registration_id=registration_id,
        amount_yuan=YUAN.edge(settlement.amount_fen),
        deposit_yuan=YUAN.edge(deposit.amount_fen),
        due_yuan=YUAN.edge(said.due_yuan),
        pay_by=settlement.pay_by,
    )
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    if said.due_yuan == 0:
        await _note_paid(session, sale, settlement, deposit, at)
    return _out(sale, settlement, deposit)


async def record_payment(
    session: Session, sale_id: str, registration_id: str, form: PaymentIn
) -> SettlementOut:
    """Note the bank's booking of what a winner still owed: the full price is in escrow.

    Raises:
        SaleUnknown, SettlementUnknown: no such sale or contract.
        SettlementStateNotAllowed: it is not signed, or paid already.
        PaymentBookedInFuture, PaymentAmountWrong, PaymentLate: `notice`.
        PaymentSerialUsed: the booking stands elsewhere.
    """
    sale, settlement, deposit, at = await _settled(session, sale_id, registration_id)
    _require(settlement, "SIGNED")
    check_payment(
        due_fen=due_fen(settlement.amount_fen, deposit.amount_fen),
        amount_fen=form.amount_yuan,
        booked_at=form.booked_at,
        pay_by=settlement.pay_by,
        at=at,
    )
    # One booking of the bank is one sum of money: it cannot be a deposit and a payment.
    query = select(Deposit.registration_id).where(Deposit.bank_serial == form.bank_serial)
    is_deposit = (await session.exec(query)).first() is not None
    if is_deposit or await session.get(Payment, form.bank_serial) is not None:
        raise PaymentSerialUsed()
    session.add(
        Payment(
            bank_serial=form.bank_serial,
            registration_id=registration_id,
            uscc=settlement.uscc,
            amount_fen=form.amount_yuan,
            booked_at=form.booked_at,
            recorded_at=at,
        )
    )
    await _note_paid(session, sale, settlement, deposit, at)
    return _out(sale, settlement, deposit)


async def _note_paid(
    session: Session, sale: Sale, settlement: Settlement, deposit: Deposit, at: datetime
) -> None:
    # The full price is in escrow: the deposit is part of it now, and what it exceeds it goes back.
    settlement.state, settlement.paid_at = "PAID", at
    deposit.state = "CONVERTED"
    await session.flush()
    registration_id = settlement.registration_id
    converted = converted_fen(settlement.amount_fen, deposit.amount_fen)
    steps: list[Fact] = [
        facts.PaymentRecorded(
            registration_id=registration_id,
            amount_yuan=YUAN.edge(settlement.amount_fen),
            deposit_converted_yuan=YUAN.edge(converted),
        ),
        facts.SalePaid(registration_id=registration_id),
    ]
    if deposit.amount_fen > converted:
        excess = YUAN.edge(deposit.amount_fen - converted)
        deposit.refund_due_at = settlement.pay_by
        steps.append(
            facts.DepositRefunded(
                registration_id=registration_id,
                amount_yuan=excess,
                refund_due_at=settlement.pay_by,
            )
        )
    version = sale.policy_version
    await tell_all(
        session, [Telling(fact, sale.id, policy_version=version, at=at) for fact in steps]
    )


async def deliver(
    session: Session, market: Market, sale_id: str, registration_id: str, form: DeliveryIn
) -> SettlementOut:
    """Record the treasury's receipt and credit the quota, in one step.

    Raises:
        SaleUnknown, SettlementUnknown: no such sale or contract.
        SettlementStateNotAllowed: the price is not in escrow.
        TreasuryReceiptUsed: the receipt stands elsewhere.
        InsufficientFreeQuantity: less is held than was sold.
    """
    sale, settlement, deposit, at = await _settled(session, sale_id, registration_id)
    _require(settlement, "PAID")
    used = await session.exec(
        select(Settlement).where(Settlement.treasury_receipt_no == form.treasury_receipt_no)
    )
    if used.first() is not None:
        raise TreasuryReceiptUsed()
    settlement.state, settlement.ended_at = "DELIVERED", at
    settlement.treasury_receipt_no = form.treasury_receipt_no
    await session.flush()
    account = await _open_account(session, market, sale, registration_id, at)
    legs = await post_holds(session, booking(sale, at), account, settlement.quantity_minor)
    await _tell_delivery(session, sale, settlement, account, legs, at)
    await _settle_if_all_ended(session, sale, at)
    return _out(sale, settlement, deposit)


async def _open_account(
    session: Session, market: Market, sale: Sale, registration_id: str, at: datetime
) -> str:
    registration = await session.get_one(Registration, registration_id)
    buyer = Buyer(registration.uscc, registration.project_code)
    account = Account(
        id=f"enterprise:{buyer.uscc}:{buyer.project_code}",
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


async def _tell_delivery(
    session: Session,
    sale: Sale,
    settlement: Settlement,
    account: str,
    legs: Sequence[Leg],
    at: datetime,
) -> None:
    registration_id = settlement.registration_id
    remitted = facts.RevenueRemitted(
        registration_id=registration_id,
        amount_yuan=YUAN.edge(settlement.amount_fen),
        treasury_receipt_no=settlement.treasury_receipt_no or "",
    )
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
            for fact in (remitted, credited, delivered)
        ],
    )


async def declare_default(session: Session, sale_id: str, registration_id: str) -> SettlementOut:
    """A winner did not sign or pay in time: the deposit is forfeited, the quantity released.

    Raises:
        SaleUnknown, SettlementUnknown: no such sale or contract.
        SettlementStateNotAllowed: paid, delivered or defaulted already.
        NotYetDefaulted: there is still time; `notice`.
    """
    sale, settlement, deposit, at = await _settled(session, sale_id, registration_id)
    _require(settlement, "CONFIRMED", "SIGNED")
    check_default(settlement.pay_by, at)
    settlement.state, settlement.ended_at = "DEFAULTED", at
    deposit.state = "FORFEITED"
    await session.flush()
    legs = await void_part(session, booking(sale, at), settlement.quantity_minor)
    fact = facts.SaleDefaulted(
        registration_id=registration_id,
        forfeited_yuan=YUAN.edge(deposit.amount_fen),
        movements=[Movement.of(leg) for leg in legs],
    )
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    await _settle_if_all_ended(session, sale, at)
    return _out(sale, settlement, deposit)


async def _settle_if_all_ended(session: Session, sale: Sale, at: datetime) -> None:
    query = select(Settlement.state).where(Settlement.sale_id == sale.id)
    if set((await session.exec(query)).all()) <= ENDED:
        assert await void_holds(session, booking(sale, at)) == []
        sale.state = "SETTLED"
        fact = facts.SaleSettled()
        await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)


async def _settled(
    session: Session, sale_id: str, registration_id: str, buyer: Caller | None = None
) -> tuple[Sale, Settlement, Deposit, datetime]:
    sale = await locked_sale(session, sale_id)
    query = select(Settlement).where(
        Settlement.registration_id == registration_id, Settlement.sale_id == sale_id
    )
    if buyer is not None:
        query = query.where(Settlement.uscc == buyer.uscc)
    settlement = (await session.exec(query.with_for_update())).first()
    if settlement is None:
        raise SettlementUnknown()
    deposit = await session.get_one(Deposit, registration_id, with_for_update=True)
    return sale, settlement, deposit, await instant(session)


async def settlements_of(session: Session, sale_id: str) -> Settlements:
    """The contracts of a sale that the caller may see."""
    found = await session.exec(
        select(Sale, Settlement, Deposit)
        .join(Settlement, col(Settlement.sale_id) == col(Sale.id))
        .join(Deposit, col(Deposit.registration_id) == col(Settlement.registration_id))
        .where(Sale.id == sale_id)
        .order_by(col(Settlement.registration_id))
    )
    return Settlements(items=[_out(*row) for row in found.all()])


def _require(settlement: Settlement, *states: str) -> None:
    if settlement.state not in states:
        raise SettlementStateNotAllowed()


def _out(sale: Sale, settlement: Settlement, deposit: Deposit) -> SettlementOut:
    left_fen = due_fen(settlement.amount_fen, deposit.amount_fen)
    return SettlementOut(
        sale_id=sale.id,
        registration_id=settlement.registration_id,
        uscc=settlement.uscc,
        state=settlement.state,
        quantity=ASSET_UNITS[sale.asset].format(settlement.quantity_minor),
        amount_yuan=YUAN.edge(settlement.amount_fen),
        deposit_yuan=YUAN.edge(deposit.amount_fen),
        due_yuan=YUAN.edge(left_fen),
        pay_by=settlement.pay_by,
    )
