"""Reversals 冲正: a wrong booking is undone by its opposite, once, by a document and two people."""

from datetime import datetime

from sqlmodel import col, select

from marketkit.countersign import Request, RequestOut, RequestUnknown, ask
from marketkit.db import Session, sql
from marketkit.errors import Conflict
from marketkit.ledger import (
    Booking,
    Hold,
    InsufficientFreeQuantity,
    MovementRow,
    Transfer,
    book,
)
from marketkit.movements import Leg
from marketkit.units import Form, Instant, Text


class AlreadyReversed(Conflict):
    title = "该笔变动已经冲正"


class ReversalIn(Form):
    """The document by which a booking is reversed, and what was wrong with it."""

    document_no: Text
    reason: Text


class Reversal(ReversalIn):
    """What one person asked for: that this very transfer be reversed, whatever came after."""

    transfer_id: str


class ReversalRequestOut(ReversalIn):
    """What was asked for, as another must read it before confirming."""

    request_id: str
    asked_at: Instant
    confirmed_at: Instant | None


async def credit_of(session: Session, key: str, account: str | None = None) -> str:
    """The last transfer under a key that brought something, to this account, and that stands.

    Raises:
        AlreadyReversed: there is none any more.
    """
    query = (
        select(Transfer.id)
        .join(MovementRow, col(MovementRow.transfer_id) == col(Transfer.id))
        .where(Transfer.key == key, MovementRow.posted > 0, col(Transfer.reverses).is_(None))
        .where(
            col(Transfer.id).not_in(
                select(Transfer.reverses).where(col(Transfer.reverses).is_not(None))
            )
        )
        .order_by(col(MovementRow.id).desc())
    )
    if account is not None:
        query = query.where(MovementRow.account == account)
    found = (await session.exec(query)).first()
    if found is None:
        raise AlreadyReversed()
    return found


async def ask_to_reverse(
    session: Session, subject: tuple[str, str], form: ReversalIn, transfer_id: str,
    *, asker: str, at: datetime,
) -> RequestOut:  # fmt: skip
    """Note the first person's word; `subject` is the kind of reversal, and of what."""
    content = Reversal(**form.model_dump(), transfer_id=transfer_id)
    return await ask(session, *subject, content, asker=asker, at=at)


async def reversal_asked(
    session: Session, subject: tuple[str, str], request_id: str
) -> ReversalRequestOut:
    """What was asked for.

    Raises:
        RequestUnknown: no such request of this kind and subject.
    """
    request = await session.get(Request, request_id)
    if request is None or (request.kind, request.subject) != subject:
        raise RequestUnknown()
    said = Reversal.model_validate_json(request.content)
    return ReversalRequestOut(
        **said.model_dump(exclude={"transfer_id"}),
        request_id=request.id,
        asked_at=request.asked_at,
        confirmed_at=request.confirmed_at,
    )


async def reverse(session: Session, booking: Booking) -> list[Leg]:
    """Book the opposite of the transfer that `booking.reverses` names; its holds hold again.

    Raises:
        AlreadyReversed: it was, once.
        InsufficientFreeQuantity: what it brought is not free any more where it went.
    """
    assert booking.reverses is not None
    # A transfer is never updated, so there is no row on which two could queue.
    lock = "SELECT pg_advisory_xact_lock(hashtextextended(:id, 0))"
    await sql(session, lock, id=booking.reverses)
    done = await session.exec(select(Transfer.id).where(Transfer.reverses == booking.reverses))
    if done.first() is not None:
        raise AlreadyReversed()
    wrong = await session.get_one(Transfer, booking.reverses)
    found = await session.exec(
        select(MovementRow).where(MovementRow.transfer_id == wrong.id).order_by(col(MovementRow.id))
    )
    legs = [Leg(row.account, row.asset, row.lot, -row.posted, -row.held) for row in found.all()]
    for leg in legs:
        await _hold_again(session, wrong.key, leg)
    await session.flush()
    return await book(session, booking, legs)


async def _hold_again(session: Session, key: str, leg: Leg) -> None:
    found = await session.exec(
        select(Hold)
        .where(Hold.key == key, Hold.account == leg.account, Hold.lot == leg.lot)
        .order_by(col(Hold.id))
        .with_for_update()
    )
    left = leg.held
    for held in found.all():
        # No more than is out of it, and no less than is in it.
        part = max(-held.remaining, min(held.quantity - held.remaining, left))
        held.remaining += part
        left -= part
    if left:
        raise InsufficientFreeQuantity()
