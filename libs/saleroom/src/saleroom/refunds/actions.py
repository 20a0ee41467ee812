"""The refunds the bank has still to pay, and those it has paid."""

from sqlmodel import col, select

from marketkit.db import Session
from marketkit.units import YUAN
from saleroom.bookings.tables import BankBooking, Refund
from saleroom.entries.tables import Registration
from saleroom.refunds.rules import RefundOut, Refunds, Which

REFUNDS_MAX = 20_000


async def refunds_of(session: Session, which: Which) -> Refunds:
    """Refunds to be paid, the earliest due first; or those paid, in the same order."""
    is_open = col(Refund.returned_at).is_(None)
    found = await session.exec(
        select(Refund, BankBooking, Registration)
        .join(BankBooking, col(BankBooking.id) == col(Refund.booking_id))
        .outerjoin(Registration, col(Registration.id) == col(Refund.registration_id))
        .where(is_open if which == "open" else ~is_open)
        .order_by(col(Refund.due_at), col(Refund.id))
        .limit(REFUNDS_MAX)
    )
    return Refunds(items=[_out(*row) for row in found.all()])


def _out(refund: Refund, booking: BankBooking, registration: Registration | None) -> RefundOut:
    registered = registration.name if registration else ""
    return RefundOut(
        refund_no=refund.id,
        cause=refund.cause,
        sale_id=refund.sale_id,
        registration_id=refund.registration_id,
        # Where a person typed the booking nobody knows who paid but by the rule that it is theirs.
        payee_name=booking.other_name or registered,
        payee_account=booking.other_account,
        amount_yuan=YUAN.edge(refund.amount_fen),
        interest_yuan=YUAN.edge(refund.interest_fen),
        total_yuan=YUAN.edge(refund.amount_fen + refund.interest_fen),
        ordered_at=refund.ordered_at,
        due_at=refund.due_at,
        bank_serial=booking.bank_serial,
        returned_at=refund.returned_at,
        bank_serial_out=refund.bank_serial_out,
    )
