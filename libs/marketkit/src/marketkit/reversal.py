"""Reversals 冲正: a wrong booking is undone by its opposite, once, by a document and two people."""

from sqlmodel import col, select

from marketkit.countersign import Request, RequestUnknown
from marketkit.db import Session, sql
from marketkit.errors import Conflict
from marketkit.ledger import Booking, Hold, InsufficientFreeQuantity, MovementRow, Transfer, book
from marketkit.movements import Leg
from marketkit.units import Form, Text


class AlreadyReversed(Conflict):
    title = "该笔变动已经冲正"


class ReversalIn(Form):
    """The document by which a booking is reversed, and what was wrong with it."""

    document_no: Text
    reason: Text


class Reversal(ReversalIn):
    """What one person asked for: that this very transfer be reversed, whatever came after."""

    transfer_id: str


async def credit_of(session: Session, key: str, account: str = "") -> str:
    """The last transfer under a key that brought something (to this account), and that stands.

    Raises:
        AlreadyReversed: there is none any more.
    """
    found = await sql(
        session,
        "SELECT t.id FROM transfer t JOIN movement m ON m.transfer_id = t.id WHERE t.key = :key "
        "AND m.posted > 0 AND (m.account = :account OR :account = '') AND t.reverses IS NULL "
        "AND NOT EXISTS (SELECT FROM transfer r WHERE r.reverses = t.id) ORDER BY m.id DESC",
        key=key,
        account=account,
    )
    credit: str | None = found.scalars().first()
    if credit is None:
        raise AlreadyReversed()
    return credit


async def reversal_asked(session: Session, subject: tuple[str, str], request_id: str) -> Reversal:
    """What was asked for, as another must read it before confirming.

    Raises:
        RequestUnknown: no such request of this kind and subject.
    """
    request = await session.get(Request, request_id)
    if request is None or (request.kind, request.subject) != subject:
        raise RequestUnknown()
    return Reversal.model_validate_json(request.content)


async def reverse(session: Session, booking: Booking) -> list[Leg]:
    """Book the opposite of the transfer that `booking.reverses` names; its holds hold again.

    Raises:
        AlreadyReversed: it was, once.
        PledgedQuantity, InsufficientFreeQuantity: what it brought is not free where it went.
    """
    # A transfer is never updated, so there is no row on which two could queue.
    lock = "SELECT pg_advisory_xact_lock(hashtextextended(:id, 0))"
    await sql(session, lock, id=booking.reverses)
    done = await session.exec(select(Transfer.id).where(Transfer.reverses == booking.reverses))
    if done.first() is not None:
        raise AlreadyReversed()
    wrong = await session.get_one(Transfer, booking.reverses)
    query = select(MovementRow).where(MovementRow.transfer_id == wrong.id)
    found = await session.exec(query.order_by(col(MovementRow.id)))
    legs = [Leg(row.account, row.asset, row.lot, -row.posted, -row.held) for row in found.all()]
    for leg in legs:
        await _hold_again(session, wrong.key, leg)
    await session.flush()
    return await book(session, booking, legs)


async def _hold_again(session: Session, key: str, leg: Leg) -> None:
    query = select(Hold).where(Hold.key == key, Hold.account == leg.account, Hold.lot == leg.lot)
    left = leg.held
    for held in (await session.exec(query.order_by(col(Hold.id)).with_for_update())).all():
        # No more than is out of it, and no less than is in it.
        part = max(-held.remaining, min(held.quantity - held.remaining, left))
        held.remaining += part
        left -= part
    if left:
        raise InsufficientFreeQuantity()
