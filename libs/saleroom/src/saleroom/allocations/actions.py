"""Money on the escrow account becomes a deposit, a payment, a refund paid; or it goes back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlmodel import col, or_, select

from contracts import escrow
from contracts import sale as facts
from marketkit.db import Session, instant
from marketkit.outbox import Telling, tell, tell_all
from marketkit.units import YUAN, AmountYuan, Form, Id, Instant, day_of
from saleroom.allocations.rules import (
    MoneyDecided,
    Owed,
    Payee,
    RefundUnknown,
    check_refund,
    refund_no,
    use_of,
)
from saleroom.bookings.actions import Return, locked_booking, order_refunds
from saleroom.bookings.rules import Line
from saleroom.bookings.tables import BankBooking, Refund
from saleroom.entries.actions import confirm_deposit
from saleroom.entries.rules import RegistrationUnknown
from saleroom.entries.tables import Deposit, Registration
from saleroom.markets import Market
from saleroom.notices.actions import advance
from saleroom.notices.tables import Sale
from saleroom.settlements.actions import note_paid
from saleroom.settlements.rules import due_fen
from saleroom.settlements.tables import Settlement


class AllocationIn(Form):
    """Whose the money is, as an officer has found out."""

    registration_id: Id


class BankBookingOut(Form):
    """One booking of the bank, and what its money is now."""

    booking_id: str
    bank_serial: str
    direction: str
    amount_yuan: AmountYuan
    booked_at: Instant
    other_name: str | None
    other_account: str | None
    sub_account: str
    memo: str
    use: str
    code: str
    sale_id: str | None
    registration_id: str | None
    recorded_at: Instant


class BankBookings(Form):
    items: list[BankBookingOut]


@dataclass
class Place:
    """All that hangs on one sub-account, its rows locked."""

    sale: Sale
    registration: Registration
    deposit: Deposit
    settlement: Settlement | None

    @property
    def payee(self) -> Payee:
        settlement = self.settlement
        return Payee(
            name=self.registration.name,
            sale_state=self.sale.state,
            is_reconciled=self.sale.reconciled_at is not None,
            deposit_due_at=self.sale.deposit_due_at,
            registration_state=self.registration.state,
            registered_at=self.registration.registered_at,
            deposit_state=self.deposit.state,
            deposit_due_fen=self.registration.deposit_due_fen,
            settlement_state=settlement.state if settlement else None,
            due_fen=due_fen(settlement.amount_fen, self.deposit.amount_fen) if settlement else 0,
            pay_by=settlement.pay_by if settlement else None,
        )


class Going(NamedTuple):
    """A refund, the booking it goes back for, and the participant it is due to, if any."""

    refund: Refund
    booking: BankBooking
    place: Place | None

    @property
    def owed(self) -> Owed:
        name = self.booking.other_name
        return Owed(
            self.refund.amount_fen + self.refund.interest_fen,
            name if name is not None else self.place.registration.name if self.place else "",
            self.booking.other_account,
            self.refund.returned_at is not None,
        )


@dataclass
class Desk:
    """What one batch of lines is judged against, and what it tells."""

    at: datetime
    known: dict[str, BankBooking]
    places: dict[str, Place]
    going: dict[str, Going]
    tellings: list[Telling] = field(default_factory=list)


def line_in(booking: BankBooking) -> Line:
    """A booking as the line it was."""
    names = Line.__dataclass_fields__
    return Line(**{name: getattr(booking, name) for name in names})


async def use_booking(
    session: Session, desk: Desk, booking: BankBooking, place: Place | None
) -> str:
    """Let money that came in be a participant's deposit or payment; answer the verdict.

    Raises:
        Refusal: as `use_of`.
    """
    use = use_of(line_in(booking), place.payee if place else None, desk.at)
    assert place is not None
    booking.use, booking.used_at = use, desk.at
    booking.sale_id, booking.registration_id = place.sale.id, place.registration.id
    session.add(booking)
    if use == "DEPOSIT":
        fact = confirm_deposit(place.deposit, booking)
        desk.tellings.append(_of_sale(place.sale, fact, desk.at))
    else:
        assert place.settlement is not None
        await note_paid(session, place.sale, place.settlement, place.deposit, desk.at)
    return f"{use}_BOOKED"


def give_back(desk: Desk, booking: BankBooking) -> str:
    going = desk.going.get(refund_no(booking.memo))
    check_refund(line_in(booking), going.owed if going else None, desk.at)
    if going is None:
        raise RefundUnknown()
    refund, place = going.refund, going.place
    refund.returned_at, refund.bank_serial_out = booking.booked_at, booking.bank_serial
    booking.use, booking.used_at = "REFUND", desk.at
    booking.sale_id, booking.registration_id = refund.sale_id, refund.registration_id
    if place is None or refund.cause == "STRAY":
        back = escrow.StrayReturned(booking_id=refund.booking_id)
        desk.tellings.append(Telling(back, refund.booking_id, at=desk.at))
    else:
        place.deposit.returned_at = booking.booked_at
        fact = escrow.DepositReturned(registration_id=place.registration.id)
        desk.tellings.append(_of_sale(place.sale, fact, desk.at))
    return "REFUND_CONFIRMED"


def _of_sale(
    sale: Sale, fact: facts.DepositConfirmed | escrow.DepositReturned, at: datetime
) -> Telling:
    return Telling(fact, sale.id, policy_version=sale.policy_version, at=at)


async def desk_of(
    session: Session, lines: Sequence[Line], registration_ids: Iterable[str] = ()
) -> Desk:
    """All that lines may touch, locked: sales by id, then what hangs on them, then refunds."""
    numbers = [refund_no(line.memo) for line in lines if line.direction == "OUT"]
    refunds = await _refunds(session, numbers)
    owners = {refund.registration_id for refund, _ in refunds if refund.registration_id}
    places = await _places(
        session, {line.sub_account for line in lines}, owners | set(registration_ids)
    )
    by_registration = {place.registration.id: place for place in places}
    serials = [line.bank_serial for line in lines]
    known = await session.exec(
        select(BankBooking).where(col(BankBooking.bank_serial).in_(serials)).with_for_update()
    )
    return Desk(
        at=await instant(session),
        known={booking.bank_serial: booking for booking in known.all()},
        places={place.registration.sub_account: place for place in places},
        going={
            refund.id: Going(refund, booking, by_registration.get(refund.registration_id or ""))
            for refund, booking in refunds
        },
    )


async def _refunds(session: Session, numbers: Sequence[str]) -> list[tuple[Refund, BankBooking]]:
    if not numbers:
        return []
    found = await session.exec(
        select(Refund, BankBooking)
        .join(BankBooking, col(BankBooking.id) == col(Refund.booking_id))
        .where(col(Refund.id).in_(numbers))
        .order_by(col(Refund.id))
        .with_for_update(of=Refund)
    )
    return [(refund, booking) for refund, booking in found.all()]


async def _places(session: Session, numbers: set[str], ids: set[str]) -> list[Place]:
    wanted = or_(col(Registration.sub_account).in_(numbers), col(Registration.id).in_(ids))
    sales = await _locked_sales(session, select(Registration.sale_id).where(wanted).distinct())
    found = await session.exec(
        select(Registration, Deposit)
        .join(Deposit, col(Deposit.registration_id) == col(Registration.id))
        .where(wanted)
        .order_by(col(Registration.id))
        .with_for_update()
    )
    rows = found.all()
    entered = [registration.id for registration, _ in rows]
    contracts = await session.exec(
        select(Settlement)
        .where(col(Settlement.registration_id).in_(entered))
        .order_by(col(Settlement.registration_id))
        .with_for_update()
    )
    settlements = {one.registration_id: one for one in contracts.all()}
    return [
        Place(sales[registration.sale_id], registration, deposit, settlements.get(registration.id))
        for registration, deposit in rows
    ]


async def _locked_sales(session: Session, ids: Any) -> Mapping[str, Sale]:
    query = select(Sale).where(col(Sale.id).in_(ids)).order_by(col(Sale.id))
    sales = {sale.id: sale for sale in (await session.exec(query.with_for_update())).all()}
    at = await instant(session)
    for sale in sales.values():
        await advance(session, sale, at)
    return sales


async def allocate(session: Session, booking_id: str, form: AllocationIn) -> BankBookingOut:
    """Let money that belonged nowhere be that participant's deposit or payment, by the same rules.

    Raises:
        RegistrationUnknown: no such participant.
        BankBookingUnknown: no such booking.
        MoneyDecided: it is booked, or to go back.
        Refusal: as `use_of`.
    """
    desk = await desk_of(session, [], [form.registration_id])
    if not desk.places:
        raise RegistrationUnknown()
    (place,) = desk.places.values()
    booking = await undecided(session, booking_id)
    await use_booking(session, desk, booking, place)
    await session.flush()
    await tell_all(session, desk.tellings)
    return booking_out(booking)


async def return_stray(session: Session, market: Market, booking_id: str) -> BankBookingOut:
    """Decide that money that belongs nowhere goes back to where it came from.

    Raises:
        BankBookingUnknown: no such booking.
        MoneyDecided: it is booked, or to go back.
    """
    booking = await undecided(session, booking_id)
    at = await instant(session)
    policy = market.policy_on(day_of(at))
    due_at = at + timedelta(days=policy.sale.deposit_refund_days.value)
    booking.use, booking.used_at = "RETURN", at
    await order_refunds(session, [Return(booking, "STRAY", booking.amount_fen)], due_at, at)
    fact = escrow.StrayReturnDecided(booking_id=booking.id)
    await tell(session, fact, key=booking.id, policy_version=policy.version, at=at)
    return booking_out(booking)


async def undecided(session: Session, booking_id: str) -> BankBooking:
    """One booking of money that came in and is nobody's yet, locked.

    Raises:
        BankBookingUnknown: no such booking.
        MoneyDecided: it is booked, or to go back.
    """
    booking = await locked_booking(session, booking_id)
    if (booking.direction, booking.use) != ("IN", "UNALLOCATED"):
        raise MoneyDecided()
    return booking


async def strays_of(session: Session) -> BankBookings:
    """All money that is nobody's, in the order of the bank's bookings; at most 1,000 of it."""
    query = select(BankBooking).where(BankBooking.use == "UNALLOCATED")
    ordered = query.order_by(col(BankBooking.booked_at), col(BankBooking.id)).limit(1000)
    return BankBookings(items=[booking_out(one) for one in (await session.exec(ordered)).all()])


def booking_out(booking: BankBooking) -> BankBookingOut:
    """A booking as who books money sees it."""
    names = set(BankBookingOut.model_fields) & set(BankBooking.model_fields)
    return BankBookingOut(
        **{name: getattr(booking, name) for name in names},
        booking_id=booking.id,
        amount_yuan=YUAN.edge(booking.amount_fen),
        code=booking.verdict,
    )
