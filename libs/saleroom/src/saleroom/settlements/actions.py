"""After the clearing: confirmed, signed, paid, delivered or defaulted, one participant at a time.

Money comes before quota, both or neither: the treasury's receipt and the credit are one step.
"""

from collections import defaultdict
from datetime import datetime, timedelta

from sqlmodel import col, select

from contracts import sale as facts
from marketkit.db import Session, instant
from marketkit.facts import Fact
from marketkit.holds import void_holds, void_part
from marketkit.identity import Caller
from marketkit.outbox import Telling, tell, tell_all
from marketkit.units import ASSET_UNITS, YUAN, AmountYuan, AmountYuanOrZero, Form, Instant
from saleroom.bookings.actions import (
    Return,
    deposit_bookings,
    order_refunds,
    record_booking,
    require_decided,
)
from saleroom.bookings.rules import BookedIn, check_payer
from saleroom.entries.actions import deposits_of, refund_deposits
from saleroom.entries.tables import Deposit, Registration
from saleroom.markets import Market
from saleroom.notices.actions import SaleRef, booking, locked_sale, note_returned, require
from saleroom.notices.tables import Sale
from saleroom.openings.actions import take_time
from saleroom.results.tables import Award, Result
from saleroom.settlements.rules import (
    SettlementStateNotAllowed,
    SettlementUnknown,
    check_default,
    check_payment,
    check_publicity,
    check_signing,
    converted_fen,
    due_fen,
)
from saleroom.settlements.tables import Settlement

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


class PaymentIn(BookedIn):
    """What a winner still owed, as the bank booked it."""


async def confirm_sale(session: Session, market: Market, sale_id: str) -> SaleRef:
    """Let the result stand: contracts for the winners, deposits back to all others, rest released.

    Raises:
        SaleUnknown: no such sale.
        SaleStateNotAllowed: it is not cleared.
        PublicityNotEnded: the result has not been public for long enough; `notice`.
    """
    sale = await locked_sale(session, sale_id)
    require(sale, "CLEARED")
    at = await instant(session)
    result = await session.get_one(Result, sale.id)
    check_publicity(result.cleared_at, sale.publicity_days, at)
    await take_time(session)
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
    fact = facts.SaleConfirmed(movements=note_returned(sale, legs))
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
        SigningLate: the time to sign and pay is over; `notice`.
    """
    sale, settlement, deposit, at = await settled(session, sale_id, registration_id, caller)
    require_settlement(settlement, "CONFIRMED")
    check_signing(settlement.pay_by, at)
    settlement.state, settlement.signed_at = "SIGNED", at
    await session.flush()
    said = settlement_out(sale, settlement, deposit)
    fact = facts.ContractSigned(
        registration_id=registration_id,
        amount_yuan=YUAN.edge(settlement.amount_fen),
        deposit_yuan=YUAN.edge(deposit.amount_fen),
        due_yuan=YUAN.edge(said.due_yuan),
        pay_by=settlement.pay_by,
    )
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    if said.due_yuan == 0:
        await note_paid(session, sale, settlement, deposit, at)
    return settlement_out(sale, settlement, deposit)


async def record_payment(
    session: Session, sale_id: str, registration_id: str, form: PaymentIn
) -> SettlementOut:
    """Note the bank's booking of what a winner still owed: the full price is in escrow.

    Raises:
        SaleUnknown, SettlementUnknown: no such sale or contract.
        SettlementStateNotAllowed: it is not signed, or paid already.
        PaymentBookedInFuture, PaymentAmountWrong, PaymentLate: `notice`.
        ThirdPartyPayer: it is known who paid, and it is another; `notice`.
        BankSerialUsed: the booking is known, whatever it was for.
    """
    sale, settlement, deposit, at = await settled(session, sale_id, registration_id)
    require_settlement(settlement, "SIGNED")
    check_payment(
        due_fen=due_fen(settlement.amount_fen, deposit.amount_fen),
        amount_fen=form.amount_yuan,
        booked_at=form.booked_at,
        pay_by=settlement.pay_by,
        at=at,
    )
    registration = await session.get_one(Registration, registration_id)
    check_payer(form.payer_name, registration.name)
    await record_booking(session, form.line, "PAYMENT", sale.id, registration_id, at)
    await note_paid(session, sale, settlement, deposit, at)
    return settlement_out(sale, settlement, deposit)


async def note_paid(
    session: Session, sale: Sale, settlement: Settlement, deposit: Deposit, at: datetime
) -> None:
    """The price is whole: the contract is paid, its deposit part of the price."""
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
        excess_fen = deposit.amount_fen - converted
        deposit.refund_due_at = settlement.pay_by
        booked = await deposit_bookings(session, [registration_id])
        excess = Return(booked[registration_id], "EXCESS", excess_fen, sale.deposit_interest_bp)
        (refund,) = await order_refunds(session, [excess], settlement.pay_by, at)
        steps.append(
            facts.DepositRefunded(
                registration_id=registration_id,
                amount_yuan=YUAN.edge(excess_fen),
                interest_yuan=YUAN.edge(refund.interest_fen),
                refund_due_at=settlement.pay_by,
            )
        )
    version = sale.policy_version
    await tell_all(
        session, [Telling(fact, sale.id, policy_version=version, at=at) for fact in steps]
    )


async def declare_default(session: Session, sale_id: str, registration_id: str) -> SettlementOut:
    """A winner did not sign or pay in time: the deposit is forfeited, the quantity released.

    Raises:
        SaleUnknown, SettlementUnknown: no such sale or contract.
        SettlementStateNotAllowed: paid, delivered or defaulted already.
        NotYetDefaulted: there is still time; `notice`.
        BankLinesUnresolved: money of this winner lies undecided: it may have come in time.
    """
    sale, settlement, deposit, at = await settled(session, sale_id, registration_id)
    require_settlement(settlement, "CONFIRMED", "SIGNED")
    check_default(settlement.pay_by, at)
    await require_decided(session, sale.id, registration_id)
    settlement.state, settlement.ended_at = "DEFAULTED", at
    deposit.state = "FORFEITED"
    await session.flush()
    legs = await void_part(session, booking(sale, at), settlement.quantity_minor)
    fact = facts.SaleDefaulted(
        registration_id=registration_id,
        forfeited_yuan=YUAN.edge(deposit.amount_fen),
        movements=note_returned(sale, legs),
    )
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    await settle_if_all_ended(session, sale, at)
    return settlement_out(sale, settlement, deposit)


async def settle_if_all_ended(session: Session, sale: Sale, at: datetime) -> None:
    """Settle the sale once every contract is delivered or defaulted; nothing is held then."""
    query = select(Settlement.state).where(Settlement.sale_id == sale.id)
    if set((await session.exec(query)).all()) <= ENDED:
        assert await void_holds(session, booking(sale, at)) == []
        sale.state = "SETTLED"
        fact = facts.SaleSettled()
        await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)


async def settled(
    session: Session, sale_id: str, registration_id: str, buyer: Caller | None = None
) -> tuple[Sale, Settlement, Deposit, datetime]:
    """A sale, one of its contracts and its deposit, all locked, and the instant.

    Raises:
        SaleUnknown, SettlementUnknown: no such sale or contract, or another's than the buyer's.
    """
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
    return Settlements(items=[settlement_out(*row) for row in found.all()])


def require_settlement(settlement: Settlement, *states: str) -> None:
    """Return if the contract stands in one of the states.

    Raises:
        SettlementStateNotAllowed: it stands elsewhere.
    """
    if settlement.state not in states:
        raise SettlementStateNotAllowed()


def settlement_out(sale: Sale, settlement: Settlement, deposit: Deposit) -> SettlementOut:
    """A contract as its enterprise and the officers see it."""
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
