"""A record of money is taken back (冲正): its booking is undecided again."""

from contracts import escrow
from marketkit.countersign import RequestOut, ask, confirm
from marketkit.db import Session, instant
from marketkit.identity import Caller
from marketkit.outbox import tell
from marketkit.units import YUAN, Form, Id, Instant, Text
from saleroom.allocations.actions import BankBookingOut, Place, booking_out, desk_of
from saleroom.bookings.actions import locked_booking
from saleroom.bookings.rules import BankBookingUnknown
from saleroom.bookings.tables import BankBooking
from saleroom.notices.actions import locked_sale
from saleroom.reversals.rules import (
    ReversalNotAllowed,
    check_deposit_reversal,
    check_payment_reversal,
)

KIND = "money.reversal"


class ReversalIn(Form):
    """Which record is wrong, by which document it is taken back, and why."""

    booking_id: Id
    document_no: Text
    reason: Text


class Reversal(ReversalIn):
    """What was asked for: the record as it stood then."""

    used_at: Instant | None = None


async def ask_to_reverse(
    session: Session, sale_id: str, caller: Caller, form: ReversalIn
) -> RequestOut:
    """One officer's word that a record of money be taken back; another must confirm.

    Raises:
        SaleUnknown, BankBookingUnknown: no such sale, or no such booking of it.
        ReversalNotAllowed: the money has gone on, or was never recorded as somebody's.
    """
    await locked_sale(session, sale_id)
    place, booking = await _recorded(session, sale_id, form.booking_id)
    _check(place, booking)
    at = await instant(session)
    content = Reversal(**form.model_dump(), used_at=booking.used_at)
    return await ask(session, KIND, sale_id, content, asker=caller.sub, at=at)


async def reverse(
    session: Session, sale_id: str, request_id: str, caller: Caller
) -> BankBookingOut:
    """The second officer's word: the booking is undecided again, the deposit or price awaited.

    Raises:
        SaleUnknown: no such sale.
        RequestUnknown, SamePerson, AlreadyConfirmed: as `countersign.confirm`.
        ReversalNotAllowed: the money has gone on since, or is another's record by now.
    """
    await locked_sale(session, sale_id)
    at = await instant(session)
    request = await confirm(session, KIND, request_id, subject=sale_id, confirmer=caller.sub, at=at)
    asked = Reversal.model_validate_json(request.content)
    place, booking = await _recorded(session, sale_id, asked.booking_id)
    _check(place, booking)
    if asked.used_at is not None and booking.used_at != asked.used_at:
        raise ReversalNotAllowed()
    fact = (
        _take_deposit_back(place, asked.document_no)
        if booking.use == "DEPOSIT"
        else _take_payment_back(place, booking, asked.document_no)
    )
    booking.use, booking.used_at = "UNALLOCATED", None
    await session.flush()
    sale = place.sale
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    return booking_out(booking)


async def _recorded(session: Session, sale_id: str, booking_id: str) -> tuple[Place, BankBooking]:
    booking = await locked_booking(session, booking_id)
    if booking.sale_id != sale_id or booking.registration_id is None:
        raise BankBookingUnknown()
    desk = await desk_of(session, [], [booking.registration_id])
    (place,) = desk.places.values()
    return place, booking


def _check(place: Place, booking: BankBooking) -> None:
    sale = place.sale
    if booking.use == "DEPOSIT":
        check_deposit_reversal(
            sale.state, place.deposit.state, is_reconciled=sale.reconciled_at is not None
        )
    elif booking.use == "PAYMENT":
        contract = place.settlement
        check_payment_reversal(
            contract.state if contract else None,
            is_remitted=contract is not None and contract.treasury_receipt_no is not None,
        )
    else:
        raise ReversalNotAllowed()


def _take_deposit_back(place: Place, document_no: str) -> escrow.DepositReversed:
    deposit = place.deposit
    deposit.state, deposit.amount_fen = "PENDING", 0
    deposit.booked_at, deposit.bank_serial = None, None
    return escrow.DepositReversed(registration_id=place.registration.id, document_no=document_no)


def _take_payment_back(
    place: Place, booking: BankBooking, document_no: str
) -> escrow.PaymentReversed:
    settlement = place.settlement
    assert settlement is not None
    settlement.state, settlement.paid_at = "SIGNED", None
    place.deposit.state = "CONFIRMED"
    return escrow.PaymentReversed(
        registration_id=place.registration.id,
        amount_yuan=YUAN.edge(booking.amount_fen),
        document_no=document_no,
    )
