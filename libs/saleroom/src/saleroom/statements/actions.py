"""A bank's file is kept; its lines are applied a batch a transaction, each with its verdict."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import col, select

from contracts import escrow
from marketkit.db import Session, actor, instant, sql
from marketkit.errors import Refusal, titles
from marketkit.outbox import tell, tell_all
from marketkit.rows import insert_all
from marketkit.units import Form, Instant
from saleroom.allocations.actions import Desk, desk_of, give_back, line_in, use_booking
from saleroom.bookings.actions import booking_of
from saleroom.bookings.rules import Line, ThirdPartyPayer, check_payer, is_same
from saleroom.bookings.tables import BankBooking
from saleroom.sheets import address_of
from saleroom.statements.rules import VERDICTS, BankFileUnknown, Fault, SerialContentDiffers
from saleroom.statements.tables import BankFile, BankFileLine

LINES_MAX = 200


class Numbered(NamedTuple):
    """A row of a file, counted as Excel counts it, and what it says."""

    row: int
    line: Line | Fault


class BankFileOut(Form):
    """A file as it was taken in; its verdicts are asked for by its `sm3`."""

    sm3: str
    line_count: int
    kept_at: Instant


class BankFiles(Form):
    items: list[BankFileOut]


class VerdictOut(Form):
    row: int
    bank_serial: str
    code: str
    title: str
    field: str
    cell: str
    reason: str
    booking_id: str | None


class Verdicts(BankFileOut):
    """What was answered to each line so far; all of them once `is_applied`."""

    is_applied: bool
    items: list[VerdictOut]


async def keep_file(session: Session, sm3: str, body: bytes, line_count: int) -> BankFileOut:
    """Keep a file as it came, once."""
    at = await instant(session)
    kept = BankFile(sm3=sm3, body=body, line_count=line_count, kept_by=actor(session), kept_at=at)
    new = await session.exec(
        upsert(BankFile)
        .values(**kept.model_dump())
        .on_conflict_do_nothing()
        .returning(col(BankFile.sm3))
    )
    if new.first() is not None:
        await tell(session, escrow.BankFileKept(sm3=sm3), key=sm3, at=at)
    return await _file(session, sm3)


async def _file(session: Session, sm3: str) -> BankFileOut:
    columns = select(BankFile.sm3, BankFile.line_count, BankFile.kept_at)
    found = (await session.exec(columns.where(BankFile.sm3 == sm3))).first()
    if found is None:
        raise BankFileUnknown()
    return BankFileOut(sm3=found[0], line_count=found[1], kept_at=found[2])


async def apply_lines(session: Session, sm3: str, numbered: Sequence[Numbered]) -> None:
    """Apply the lines of a file that have no verdict yet, at most 200, each with its own.

    The file's name is locked: the same file at once waits, and finds the verdicts.
    """
    assert len(numbered) <= LINES_MAX
    # The file's own row is insert-only, which nobody may lock.
    place = "SELECT pg_advisory_xact_lock(hashtextextended(:sm3, 7370501))"
    await sql(session, place, sm3=sm3)
    rows = [one.row for one in numbered]
    done = await session.exec(
        select(BankFileLine.row).where(BankFileLine.sm3 == sm3, col(BankFileLine.row).in_(rows))
    )
    answered = set(done.all())
    fresh = [one for one in numbered if one.row not in answered]
    desk = await desk_of(session, [one.line for one in fresh if isinstance(one.line, Line)])
    verdicts = [await _judged(session, desk, sm3, one) for one in fresh]
    await session.flush()
    if verdicts:
        await insert_all(session, BankFileLine, verdicts)
    await tell_all(session, desk.tellings)


async def _judged(session: Session, desk: Desk, sm3: str, one: Numbered) -> dict[str, Any]:
    line = one.line
    said = {"sm3": sm3, "row": one.row, "bank_serial": "", "field": "", "cell": "", "reason": ""}
    if isinstance(line, Fault):
        cell = address_of(one.row - 1, line.column)
        fault = {"field": line.field, "cell": cell, "reason": line.reason}
        return said | fault | {"code": "LINE_MALFORMED", "booking_id": None}
    known = desk.known.get(line.bank_serial)
    booking: BankBooking | None
    if known is not None:
        code, booking = _again(desk, known, line), known
    else:
        code, booking = await _new(session, desk, line)
        if booking is not None:
            booking.file_sm3 = sm3
            session.add(booking)
            desk.known[line.bank_serial] = booking
    booking_id = booking.id if booking else None
    return said | {"bank_serial": line.bank_serial, "code": code, "booking_id": booking_id}


def _again(desk: Desk, known: BankBooking, line: Line) -> str:
    is_typed = known.file_sm3 is None
    if not is_same(line_in(known), line, is_typed=is_typed):
        return SerialContentDiffers.code
    if is_typed:
        place = desk.places.get(line.sub_account)
        if place is None or place.registration.id != known.registration_id:
            return SerialContentDiffers.code
        try:
            check_payer(line.other_name, place.registration.name)
        except ThirdPartyPayer as refusal:
            return refusal.code
        # What an officer typed does not say all that the bank does.
        known.other_name, known.other_account = line.other_name, line.other_account
        known.sub_account, known.memo = line.sub_account, line.memo
    return known.verdict


async def _new(session: Session, desk: Desk, line: Line) -> tuple[str, BankBooking | None]:
    if line.booked_at > desk.at:
        return "BOOKED_IN_FUTURE", None
    booking = booking_of(
        line, use="UNALLOCATED", verdict="", recorded_by=actor(session), at=desk.at
    )
    place = desk.places.get(line.sub_account)
    if place is not None:
        booking.sale_id, booking.registration_id = place.sale.id, place.registration.id
    try:
        if line.direction == "OUT":
            booking.verdict = give_back(desk, booking)
        else:
            booking.verdict = await use_booking(session, desk, booking, place)
    except Refusal as refusal:
        # The money is there all the same: it is kept, undecided.
        booking.verdict = refusal.code
    return booking.verdict, booking


async def verdicts_of(session: Session, sm3: str) -> Verdicts:
    """What was answered to a file's lines so far, in the order of its rows.

    Raises:
        BankFileUnknown: no such file was kept.
    """
    kept = await _file(session, sm3)
    found = await session.exec(
        select(BankFileLine).where(BankFileLine.sm3 == sm3).order_by(col(BankFileLine.row))
    )
    names = titles() | VERDICTS
    items = [
        VerdictOut(title=names[line.code], **line.model_dump(exclude={"sm3"}))
        for line in found.all()
    ]
    return Verdicts(
        **kept.model_dump(exclude={"kept_at"}),
        kept_at=kept.kept_at,
        is_applied=len(items) == kept.line_count,
        items=items,
    )


async def files_of(session: Session) -> BankFiles:
    """The last two hundred files taken in, the newest first."""
    columns = select(BankFile.sm3, BankFile.line_count, BankFile.kept_at)
    found = await session.exec(columns.order_by(col(BankFile.kept_at).desc()).limit(200))
    items = [BankFileOut(sm3=one[0], line_count=one[1], kept_at=one[2]) for one in found.all()]
    return BankFiles(items=items)
