"""Who enters a sale: registration, qualification, withdrawal, deposit, reconciliation, refunds."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from sqlmodel import col, select

from contracts import sale as facts
from marketkit.codes import ProjectCode
from marketkit.db import Session, house, instant, new_id
from marketkit.facts import Fact
from marketkit.holds import void_holds
from marketkit.identity import Caller
from marketkit.movements import Movement
from marketkit.outbox import Telling, tell, tell_all
from marketkit.units import (
    ASSET_UNITS,
    YUAN,
    AmountYuan,
    Form,
    Instant,
    Quantity,
    Text,
    day_of,
)
from saleroom.bookings.actions import (
    Return,
    deposit_bookings,
    new_sub_account,
    order_refunds,
    record_booking,
    require_decided,
)
from saleroom.bookings.rules import BookedIn, check_payer
from saleroom.bookings.tables import BankBooking
from saleroom.entries.rules import (
    AlreadyReconciled,
    AlreadyRegistered,
    DepositAlreadyRecorded,
    ReconciliationTooEarly,
    RegistrationStateNotAllowed,
    RegistrationUnknown,
    check_deposit,
    check_quantity,
    check_registration_time,
    check_verdict,
    deposit_due_fen,
)
from saleroom.entries.tables import Deposit, Registration
from saleroom.markets import Buyer, Market
from saleroom.notices.actions import SaleRef, advance, booking, locked_sale, note_returned, require
from saleroom.notices.rules import quantity_minor
from saleroom.notices.tables import Sale


class RegistrationIn(Form):
    project_code: ProjectCode
    name: Text
    quantity_max: Quantity


class RegistrationOut(Form):
    registration_id: str
    sale_id: str
    uscc: str
    name: str
    project_code: str
    state: str
    quantity_max: Quantity
    deposit_due_yuan: AmountYuan
    deposit_state: str
    deposit_returned_at: Instant | None
    registered_at: Instant
    accepted_correction: int
    # Where to pay: for the participant and for who books money, nobody else.
    sub_account: str | None


class QualificationIn(Form):
    verdict: Literal["QUALIFIED", "REFUSED"]
    reason: Text | None = None


class DepositIn(BookedIn):
    """A participant's deposit, as the bank booked it."""


async def register(
    session: Session, market: Market, sale_id: str, caller: Caller, form: RegistrationIn
) -> RegistrationOut:
    """Enter the caller's enterprise, with one project, for a most quantity; its deposit falls due.

    Raises:
        SaleUnknown: no such sale.
        RegistrationClosed: not before the close of registration; `notice`.
        InputInvalid: a quantity the asset's unit cannot say.
        QuantityNotOffered: no whole lots, or more than one may buy; `notice`.
        AlreadyRegistered: once is enough; `notice`.
        Refusal: the market's own, where the project may not buy.
    """
    sale = await locked_sale(session, sale_id)
    at = await instant(session)
    await advance(session, sale, at)
    check_registration_time(sale.state, sale.registration_closes_at, at)
    most = quantity_minor(sale.asset, form.quantity_max)
    check_quantity(
        most,
        lot_minor=sale.lot_minor,
        supply_minor=sale.supply_minor,
        limit_minor=sale.purchase_limit_minor,
    )
    query = select(Registration).where(
        Registration.sale_id == sale.id, Registration.uscc == caller.uscc
    )
    if (await session.exec(query)).first() is not None:
        raise AlreadyRegistered()
    buyer = Buyer(caller.uscc, form.project_code)
    await market.check_eligible(session, buyer, sale.is_dual_high_barred)
    return await _enter(session, sale, caller.uscc, form, most, at)


async def _enter(
    session: Session, sale: Sale, uscc: str, form: RegistrationIn, most: int, at: datetime
) -> RegistrationOut:
    scale = ASSET_UNITS[sale.asset].scale
    registration = Registration(
        id=new_id(),
        sale_id=sale.id,
        uscc=uscc,
        name=form.name,
        project_code=form.project_code,
        sub_account=new_sub_account(),
        quantity_max_minor=most,
        deposit_due_fen=deposit_due_fen(sale.floor_fen, most, scale, sale.deposit_ratio_bp),
        state="REGISTERED",
        registered_at=at,
        # Whoever enters after a correction enters under it.
        accepted_correction=sale.correction_count,
    )
    session.add(registration)
    await session.flush()
    deposit = Deposit(registration_id=registration.id, uscc=uscc, state="PENDING")
    session.add(deposit)
    await session.flush()
    await tell_unnamed(session, sale, facts.SaleRegistered(registration_id=registration.id), at)
    return out(sale, registration, deposit)


async def tell_unnamed(session: Session, sale: Sale, fact: Fact, at: datetime) -> None:
    """Tell a fact of a participant's own doing, in the house's name: nobody is to be recognised."""
    # A person's `sub` in an earlier sale's contract would name the bidder here.
    speaker = house(session).source
    await tell_all(session, [Telling(fact, sale.id, "", speaker, "", sale.policy_version, at)])


async def withdraw_registration(
    session: Session, market: Market, sale_id: str, registration_id: str, caller: Caller
) -> RegistrationOut:
    """Leave a sale before it closes; a confirmed deposit goes back.

    Raises:
        SaleUnknown, RegistrationUnknown: no such sale, or the registration of another.
        SaleStateNotAllowed: bids are closed.
        RegistrationStateNotAllowed: refused or withdrawn already.
    """
    sale, registration, deposit, at = await entered(session, sale_id, registration_id, caller)
    require(sale, "ANNOUNCED", "OPEN")
    if registration.state not in {"REGISTERED", "QUALIFIED"}:
        raise RegistrationStateNotAllowed()
    registration.state = "WITHDRAWN"
    await session.flush()
    fact = facts.RegistrationWithdrawn(registration_id=registration.id)
    await tell_unnamed(session, sale, fact, at)
    await refund_deposits(session, market, sale, [deposit], at)
    return out(sale, registration, deposit)


async def qualify(
    session: Session, market: Market, sale_id: str, registration_id: str, form: QualificationIn
) -> RegistrationOut:
    """Say whether a participant may bid; refusing returns a confirmed deposit.

    Raises:
        RefusalReasonMissing: refused without a reason.
        SaleUnknown, RegistrationUnknown: no such sale or registration.
        SaleStateNotAllowed: bids are closed.
        RegistrationStateNotAllowed: judged or withdrawn already.
    """
    check_verdict(form.verdict, form.reason)
    sale, registration, deposit, at = await entered(session, sale_id, registration_id)
    require(sale, "ANNOUNCED", "OPEN")
    if registration.state != "REGISTERED":
        raise RegistrationStateNotAllowed()
    registration.state, registration.refusal_reason = form.verdict, form.reason
    await session.flush()
    fact = facts.SaleQualified(registration_id=registration.id, verdict=form.verdict)
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    if form.verdict == "REFUSED":
        await refund_deposits(session, market, sale, [deposit], at)
    return out(sale, registration, deposit, shows_account=False)


async def record_deposit(
    session: Session, sale_id: str, registration_id: str, form: DepositIn
) -> RegistrationOut:
    """Note the bank's booking of a participant's deposit.

    Raises:
        SaleUnknown, RegistrationUnknown: no such sale or registration.
        SaleStateNotAllowed: not announced, open or closed.
        AlreadyReconciled: deposits are settled.
        RegistrationStateNotAllowed: refused or withdrawn.
        DepositAlreadyRecorded: it is confirmed.
        BookedInFuture, DepositEarly, DepositAmountWrong, DepositLate: `notice`.
        ThirdPartyPayer: it is known who paid, and it is another; `notice`.
        BankSerialUsed: the booking is known, whatever it was for.
    """
    sale, registration, deposit, at = await entered(session, sale_id, registration_id)
    require(sale, "ANNOUNCED", "OPEN", "CLOSED")
    if sale.reconciled_at is not None:
        raise AlreadyReconciled()
    if registration.state not in {"REGISTERED", "QUALIFIED"}:
        raise RegistrationStateNotAllowed()
    if deposit.state != "PENDING":
        raise DepositAlreadyRecorded()
    check_deposit(
        due_fen=registration.deposit_due_fen,
        amount_fen=form.amount_yuan,
        booked_at=form.booked_at,
        registered_at=registration.registered_at,
        due_at=sale.deposit_due_at,
        at=at,
    )
    check_payer(form.payer_name, registration.name)
    booking = await record_booking(session, form.line, "DEPOSIT", sale.id, registration.id, at)
    fact = confirm_deposit(deposit, booking)
    await session.flush()
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    return out(sale, registration, deposit)


def confirm_deposit(deposit: Deposit, booking: BankBooking) -> facts.DepositConfirmed:
    """Let a booking be a participant's deposit; the caller tells the fact."""
    deposit.state, deposit.amount_fen = "CONFIRMED", booking.amount_fen
    deposit.booked_at, deposit.bank_serial = booking.booked_at, booking.bank_serial
    return facts.DepositConfirmed(registration_id=deposit.registration_id)


async def reconcile_deposits(session: Session, sale_id: str) -> SaleRef:
    """Decide that every deposit that came in time is recorded; the opening waits for this.

    Raises:
        SaleUnknown: no such sale.
        SaleStateNotAllowed: it is not closed.
        AlreadyReconciled: decided before.
        ReconciliationTooEarly: deposits may still come; `notice`.
        BankLinesUnresolved: money on this sale's sub-accounts is neither booked nor to go back.
    """
    sale = await locked_sale(session, sale_id)
    at = await instant(session)
    await advance(session, sale, at)
    require(sale, "CLOSED")
    if sale.reconciled_at is not None:
        raise AlreadyReconciled()
    if at < sale.deposit_due_at:
        raise ReconciliationTooEarly()
    await require_decided(session, sale.id)
    sale.reconciled_at = at
    fact = facts.DepositsReconciled()
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    return SaleRef(sale_id=sale.id, state=sale.state)


async def refund_deposits(
    session: Session, market: Market, sale: Sale, deposits: Sequence[Deposit], at: datetime
) -> None:
    """Return those deposits that are confirmed, within the days the rules give."""
    policy = market.policy_on(day_of(sale.announced_at or at))
    due_at = at + timedelta(days=policy.sale.deposit_refund_days.value)
    returned = [deposit for deposit in deposits if deposit.state == "CONFIRMED"]
    for deposit in returned:
        deposit.state, deposit.refund_due_at = "REFUNDED", due_at
    booked = await deposit_bookings(session, [deposit.registration_id for deposit in returned])
    returns = [
        Return(booking, "DEPOSIT", booking.amount_fen, sale.deposit_interest_bp)
        for booking in booked.values()
    ]
    refunds = await order_refunds(session, returns, due_at, at)
    interest = {refund.registration_id: refund.interest_fen for refund in refunds}
    # Before the opening an amount would tell a quantity, and a withdrawer's `sub` a name.
    is_opened = sale.state in {"OPENED", "CLEARED", "CONFIRMED"}
    actor = "" if is_opened else house(session).source
    tellings = [
        Telling(
            facts.DepositRefunded(
                registration_id=deposit.registration_id,
                amount_yuan=YUAN.edge(deposit.amount_fen) if is_opened else None,
                interest_yuan=YUAN.edge(interest[deposit.registration_id]) if is_opened else None,
                refund_due_at=due_at,
            ),
            key=sale.id,
            actor=actor,
            policy_version=sale.policy_version,
            at=at,
        )
        for deposit in returned
    ]
    await tell_all(session, tellings)


async def give_all_back(
    session: Session, market: Market, sale: Sale, at: datetime
) -> list[Movement]:
    """Undo what a sale holds when it ends without a deal: supply released, deposits returned."""
    legs = await void_holds(session, booking(sale, at))
    await refund_deposits(session, market, sale, await deposits_of(session, sale.id), at)
    return note_returned(sale, legs)


async def deposits_of(session: Session, sale_id: str) -> Sequence[Deposit]:
    """Every deposit of a sale, locked, in order of registration."""
    found = await session.exec(
        select(Deposit)
        .join(Registration, col(Registration.id) == col(Deposit.registration_id))
        .where(Registration.sale_id == sale_id)
        .order_by(col(Deposit.registration_id))
        .with_for_update(of=Deposit)
    )
    return found.all()


async def entered(
    session: Session, sale_id: str, registration_id: str, participant: Caller | None = None
) -> tuple[Sale, Registration, Deposit, datetime]:
    """The sale, one of its registrations and its deposit, all locked, and the instant.

    Raises:
        SaleUnknown, RegistrationUnknown: no such sale or registration, or not the participant's.
    """
    sale = await locked_sale(session, sale_id)
    query = select(Registration).where(
        Registration.id == registration_id, Registration.sale_id == sale_id
    )
    if participant is not None:
        # Asked of the database: another's must take as long as one that never was.
        query = query.where(Registration.uscc == participant.uscc)
    registration = (await session.exec(query.with_for_update())).first()
    if registration is None:
        raise RegistrationUnknown()
    at = await instant(session)
    await advance(session, sale, at)
    deposit = await session.get_one(Deposit, registration.id, with_for_update=True)
    return sale, registration, deposit, at


def out(
    sale: Sale, registration: Registration, deposit: Deposit, *, shows_account: bool = True
) -> RegistrationOut:
    """A registration as its enterprise and the officers see it."""
    unit = ASSET_UNITS[sale.asset]
    return RegistrationOut(
        registration_id=registration.id,
        sale_id=sale.id,
        uscc=registration.uscc,
        name=registration.name,
        project_code=registration.project_code,
        state=registration.state,
        quantity_max=unit.format(registration.quantity_max_minor),
        deposit_due_yuan=YUAN.edge(registration.deposit_due_fen),
        deposit_state=deposit.state,
        deposit_returned_at=deposit.returned_at,
        registered_at=registration.registered_at,
        accepted_correction=registration.accepted_correction,
        sub_account=registration.sub_account if shows_account else None,
    )
