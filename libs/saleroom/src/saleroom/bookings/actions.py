"""The bank's bookings are kept, each serial once; what is to go back is ordered."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import col, select

from marketkit.db import Session, actor, new_id
from marketkit.units import day_of
from saleroom.bookings.rules import (
    BankBookingUnknown,
    BankLinesUnresolved,
    BankSerialUsed,
    Line,
    TreasuryReceiptUsed,
    interest_fen,
    with_check_digits,
)
from saleroom.bookings.tables import BankBooking, Refund, TreasuryReceipt


class Return(NamedTuple):
    """Money of a booking that is to go back, and what it bears a year."""

    booking: BankBooking
    cause: str
    amount_fen: int
    rate_bp: int = 0


def new_sub_account() -> str:
    """A sub-account's number (子账号): by chance, so that it tells neither order nor count."""
    return with_check_digits(str(secrets.randbelow(9 * 10**11) + 10**11))


def booking_of(
    line: Line, *, use: str, verdict: str, recorded_by: str, at: datetime
) -> BankBooking:
    """The row of a line that is new."""
    return BankBooking(
        id=new_id(),
        **vars(line),
        use=use,
        verdict=verdict,
        used_at=None if use == "UNALLOCATED" else at,
        recorded_by=recorded_by,
        recorded_at=at,
    )


async def record_booking(
    session: Session, line: Line, use: str, sale_id: str, registration_id: str, at: datetime
) -> BankBooking:
    """Keep a booking that an officer typed, as that participant's money.

    Raises:
        BankSerialUsed: the serial is known, whatever it was for.
    """
    verdict = f"{use}_BOOKED"
    booking = booking_of(line, use=use, verdict=verdict, recorded_by=actor(session), at=at)
    booking.sale_id, booking.registration_id = sale_id, registration_id
    # Two at once with one serial: the later waits for the earlier, and then adds nothing.
    kept = await session.exec(
        upsert(BankBooking)
        .values(**booking.model_dump())
        .on_conflict_do_nothing(index_elements=["bank_serial"])
        .returning(col(BankBooking.id))
    )
    if kept.first() is None:
        raise BankSerialUsed()
    return booking


async def locked_booking(session: Session, booking_id: str) -> BankBooking:
    """One booking, its row locked; the sale's row, if it has one, must be locked before.

    Raises:
        BankBookingUnknown: no such booking.
    """
    query = select(BankBooking).where(BankBooking.id == booking_id).with_for_update()
    found = (await session.exec(query)).first()
    if found is None:
        raise BankBookingUnknown()
    return found


async def require_decided(session: Session, sale_id: str, registration_id: str = "") -> None:
    """Return if no money on a sale's sub-accounts, or on one of them, lies undecided.

    Raises:
        BankLinesUnresolved: some is neither booked nor to go back.
    """
    query = select(BankBooking.id).where(
        BankBooking.sale_id == sale_id, BankBooking.use == "UNALLOCATED"
    )
    if registration_id:
        query = query.where(BankBooking.registration_id == registration_id)
    if (await session.exec(query.limit(1))).first() is not None:
        raise BankLinesUnresolved()


async def deposit_bookings(
    session: Session, registration_ids: Sequence[str]
) -> dict[str, BankBooking]:
    """By registration, the booking that is its deposit."""
    found = await session.exec(
        select(BankBooking).where(
            col(BankBooking.registration_id).in_(registration_ids), BankBooking.use == "DEPOSIT"
        )
    )
    return {str(booking.registration_id): booking for booking in found.all()}


async def order_refunds(
    session: Session, returns: Sequence[Return], due_at: datetime, at: datetime
) -> list[Refund]:
    """Note money that is to go back to where it came from, with its interest."""
    refunds = [
        Refund(
            id=new_id(),
            cause=one.cause,
            booking_id=one.booking.id,
            sale_id=one.booking.sale_id,
            registration_id=one.booking.registration_id,
            amount_fen=one.amount_fen,
            interest_fen=interest_fen(
                one.amount_fen, one.rate_bp, day_of(one.booking.booked_at), day_of(at)
            ),
            ordered_at=at,
            due_at=due_at,
        )
        for one in returns
    ]
    session.add_all(refunds)
    await session.flush()
    return refunds


async def keep_receipt(session: Session, receipt: TreasuryReceipt) -> None:
    """Keep the treasury's receipt of one sum, each number once.

    Raises:
        TreasuryReceiptUsed: the receipt stands elsewhere.
    """
    kept = await session.exec(
        upsert(TreasuryReceipt)
        .values(**receipt.model_dump())
        .on_conflict_do_nothing()
        .returning(col(TreasuryReceipt.receipt_no))
    )
    if kept.first() is None:
        raise TreasuryReceiptUsed()
