"""A sale is opened by two people and three key officers' shares, and its bids are told.

What the opener reads and computes between its transactions cannot change any more: the sale is
closed, its deposits are reconciled. Each transaction checks that it still stands there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import col, func, select

from contracts import sale as facts
from marketkit.countersign import RequestOut, ask, confirm
from marketkit.db import Session, instant, new_id, sql
from marketkit.facts import Fact
from marketkit.identity import Caller
from marketkit.outbox import Telling, tell, tell_all
from marketkit.rows import insert_all
from marketkit.signing import b64, unb64
from marketkit.units import ASSET_UNITS, Form, Id, Instant, Unit
from saleroom.bids.actions import standing_bids
from saleroom.bids.tables import SealedBid
from saleroom.entries.tables import Deposit, Registration
from saleroom.notices.actions import SaleRef, advance, locked_sale, require
from saleroom.notices.tables import Sale
from saleroom.officers.actions import officer_of
from saleroom.openings.rules import (
    WRAPPED_SHARE_BYTES,
    OpeningAlreadyConfirmed,
    OpeningUnknown,
    SessionNotLive,
    ShareAlreadyGiven,
    ShareSizeWrong,
    Standing,
    check_openable,
)
from saleroom.openings.tables import (
    Opening,
    OpeningSession,
    RevealedBid,
    SessionShare,
)
from saleroom.sealing import BidPlace
from saleroom.sealing import SealedBid as Sealed

KIND = "sale.opening"


class OpeningRef(Form):
    opening_id: str
    sale_id: str
    confirmed_at: Instant


class NothingMore(Form):
    """An opening is asked for as it is: no reason, no choice."""


class ShareIn(Form):
    """A key officer's share, wrapped to the session's key on the officer's own machine."""

    session_id: Id
    share: Id


class ShareOut(Form):
    session_id: str
    officer_id: str
    given_at: Instant


@dataclass(frozen=True)
class Due:
    """An opening that waits for its session or its shares."""

    opening_id: str
    sale_id: str
    session_id: str | None
    share_count: int


@dataclass(frozen=True)
class Closed:
    """A closed sale as its opening finds it: what its bids are, and what opens them."""

    sale: Sale
    bids: Sequence[Standing]
    commitments: Sequence[bytes]
    shares: Mapping[str, bytes]

    @property
    def unit(self) -> Unit:
        return ASSET_UNITS[self.sale.asset]


@dataclass(frozen=True)
class Opened:
    """What an opening brought to light: all bids, in the parts in which they are told; the draw."""

    session_id: str
    parts: Sequence[list[facts.RevealedBid]]
    draw_secret: bytes
    seed: bytes


async def ask_to_open(session: Session, sale_id: str, caller: Caller) -> RequestOut:
    """One officer's word that a closed sale be opened; another must confirm.

    Raises:
        SaleUnknown: no such sale.
        SaleStateNotAllowed: it is not closed.
        DepositsNotReconciled, OpeningTooLate: `notice`.
        OpeningAlreadyConfirmed: two people have said so.
    """
    sale, at = await _openable(session, sale_id)
    return await ask(session, KIND, sale.id, NothingMore(), asker=caller.sub, at=at)


async def confirm_opening(
    session: Session, sale_id: str, request_id: str, caller: Caller
) -> OpeningRef:
    """The second officer's word: the opener may begin, and key officers look for its key.

    Raises:
        SaleUnknown: no such sale.
        SaleStateNotAllowed: it is not closed.
        DepositsNotReconciled, OpeningTooLate: `notice`.
        OpeningAlreadyConfirmed: two people have said so.
        RequestUnknown, SamePerson, AlreadyConfirmed: as `countersign.confirm`.
    """
    sale, at = await _openable(session, sale_id)
    await confirm(session, KIND, request_id, subject=sale.id, confirmer=caller.sub, at=at)
    opening = Opening(id=new_id(), sale_id=sale.id, state="CONFIRMED", confirmed_at=at)
    session.add(opening)
    await session.flush()
    fact = facts.OpeningConfirmed(opening_id=opening.id)
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    return OpeningRef(opening_id=opening.id, sale_id=sale.id, confirmed_at=at)


async def _openable(session: Session, sale_id: str) -> tuple[Sale, datetime]:
    sale = await locked_sale(session, sale_id)
    at = await instant(session)
    await advance(session, sale, at)
    require(sale, "CLOSED")
    check_openable(reconciled_at=sale.reconciled_at, opens_by=sale.opens_by, at=at)
    found = await session.exec(select(Opening.id).where(Opening.sale_id == sale.id))
    if found.first() is not None:
        raise OpeningAlreadyConfirmed()
    return sale, at


async def give_share(
    session: Session, sale_id: str, opening_id: str, caller: Caller, form: ShareIn
) -> ShareOut:
    """Keep an officer's share, as ciphertext, until the opener has three.

    Whether it is a good one is not told: a session whose shares do not join fails as a whole.

    Raises:
        SaleUnknown: no such sale.
        OpeningUnknown: no such opening, or the caller is none of its key officers.
        SaleStateNotAllowed: the sale is not closed.
        OpeningTooLate: `notice`.
        ShareSizeWrong: not a wrapped share's size.
        SessionNotLive: another session took its place.
        ShareAlreadyGiven: once a session.
    """
    sale = await locked_sale(session, sale_id)
    opening = await session.get(Opening, opening_id)
    officer_id = await officer_of(session, sale_id, caller)
    if opening is None or opening.sale_id != sale_id or officer_id is None:
        raise OpeningUnknown()
    require(sale, "CLOSED")
    at = await instant(session)
    check_openable(reconciled_at=sale.reconciled_at, opens_by=sale.opens_by, at=at)
    wrapped = _share(form.share)
    live = await session.get(OpeningSession, form.session_id)
    if live is None or live.opening_id != opening.id or live.state != "LIVE":
        raise SessionNotLive()
    if await session.get(SessionShare, (live.id, officer_id)) is not None:
        raise ShareAlreadyGiven()
    session.add(
        SessionShare(session_id=live.id, officer_id=officer_id, wrapped_share=wrapped, given_at=at)
    )
    await session.flush()
    return ShareOut(session_id=live.id, officer_id=officer_id, given_at=at)


def _share(text: str) -> bytes:
    try:
        wrapped = unb64(text)
    except ValueError:
        raise ShareSizeWrong() from None
    if len(wrapped) != WRAPPED_SHARE_BYTES:
        raise ShareSizeWrong()
    return wrapped


async def openings_due(session: Session) -> list[Due]:
    """Confirmed openings of sales that are still closed, oldest first, with their live session."""
    at = await instant(session)
    live = (col(OpeningSession.opening_id) == col(Opening.id)) & (
        col(OpeningSession.state) == "LIVE"
    )
    found = await session.exec(
        select(
            Opening.id, Opening.sale_id, OpeningSession.id, func.count(col(SessionShare.officer_id))
        )
        .join(Sale, col(Sale.id) == col(Opening.sale_id))
        .outerjoin(OpeningSession, live)
        .outerjoin(SessionShare, col(SessionShare.session_id) == col(OpeningSession.id))
        .where(Opening.state == "CONFIRMED", Sale.state == "CLOSED", col(Sale.opens_by) > at)
        .group_by(col(Opening.id), col(Opening.sale_id), col(OpeningSession.id))
        .order_by(col(Opening.id))
    )
    return [Due(*row) for row in found.all()]


async def begin_session(session: Session, opening: Due, public_key: bytes) -> str:
    """Make a key of the opener the one officers wrap to; a live one before it has failed.

    Raises:
        SaleStateNotAllowed: the sale is not closed any more.
        OpeningTooLate: `notice`.
    """
    sale = await locked_sale(session, opening.sale_id)
    require(sale, "CLOSED")
    at = await instant(session)
    check_openable(reconciled_at=sale.reconciled_at, opens_by=sale.opens_by, at=at)
    told: list[Fact] = []
    query = select(OpeningSession).where(
        OpeningSession.opening_id == opening.opening_id, OpeningSession.state == "LIVE"
    )
    ids = {"opening_id": opening.opening_id}
    for old in (await session.exec(query)).all():
        old.state = "FAILED"
        told.append(facts.OpeningSessionFailed(session_id=old.id, **ids))
    await session.flush()
    begun = OpeningSession(id=new_id(), public_key=public_key, state="LIVE", begun_at=at, **ids)
    session.add(begun)
    await session.flush()
    key = b64(public_key)
    told.append(facts.OpeningSessionBegun(session_id=begun.id, session_key=key, **ids))
    await tell_steps(session, sale, told, at)
    return begun.id


async def closed_sale(session: Session, opening: Due) -> Closed:
    """All that the opener needs to open a sale, read once it is due."""
    await take_time(session)
    sale = await session.get_one(Sale, opening.sale_id)
    shares = await session.exec(
        select(SessionShare).where(SessionShare.session_id == opening.session_id)
    )
    told = (
        select(SealedBid.commitment)
        .where(SealedBid.sale_id == sale.id)
        .order_by(col(SealedBid.submitted_at))
    )
    return Closed(
        sale=sale,
        bids=await _standing(session, sale),
        commitments=(await session.exec(told)).all(),
        shares={share.officer_id: share.wrapped_share for share in shares.all()},
    )


async def _standing(session: Session, sale: Sale) -> list[Standing]:
    found = await session.exec(
        select(Registration, Deposit)
        .join(Deposit, col(Deposit.registration_id) == col(Registration.id))
        .where(Registration.sale_id == sale.id)
    )
    entrants = {registration.id: (registration, deposit) for registration, deposit in found.all()}
    return [
        _stood(sale, bid, *entrants[bid.registration_id])
        for bid in await standing_bids(session, sale.id)
    ]


def _stood(sale: Sale, bid: SealedBid, entrant: Registration, deposit: Deposit) -> Standing:
    return Standing(
        receipt_id=bid.id,
        registration_id=entrant.id,
        bidder_name=entrant.name,
        project_code=entrant.project_code,
        quantity_max_minor=entrant.quantity_max_minor,
        place=BidPlace(bid.sale_id, bid.uscc, bid.version),
        sealed=Sealed(bid.ciphertext, bid.commitment, bid.key_sm3),
        submitted_at=bid.submitted_at,
        registration_state=entrant.state,
        deposit_state=deposit.state,
        booked_at=deposit.booked_at,
        has_accepted=entrant.accepted_correction == sale.correction_count,
    )


async def open_sale(session: Session, opening: Due, opened: Opened) -> SaleRef:
    """Tell all bids that stood at closing, void ones included, with the draw: one transaction.

    Raises:
        SaleStateNotAllowed: the sale is not closed any more.
        OpeningTooLate: `notice`.
        SessionNotLive: another opener's session took this one's place.
    """
    await take_time(session)
    sale = await locked_sale(session, opening.sale_id)
    require(sale, "CLOSED")
    at = await instant(session)
    check_openable(reconciled_at=sale.reconciled_at, opens_by=sale.opens_by, at=at)
    done = await session.get_one(OpeningSession, opened.session_id)
    if done.state != "LIVE":
        raise SessionNotLive()
    kept = await session.get_one(Opening, done.opening_id)
    kept.draw_secret, kept.seed = opened.draw_secret, opened.seed
    kept.state = done.state = "DONE"
    sale.state = "OPENED"
    await session.flush()
    await _keep_revealed(session, sale.id, opened)
    part_count = len(opened.parts)
    told: list[Fact] = [
        facts.BidsRevealed(part=part, part_count=part_count, bids=bids)
        for part, bids in enumerate(opened.parts, 1)
    ]
    told.append(
        facts.SaleOpened(
            opening_id=opening.opening_id,
            part_count=part_count,
            draw_secret=opened.draw_secret.hex(),
            seed=opened.seed.hex(),
        )
    )
    await tell_steps(session, sale, told, at)
    return SaleRef(sale_id=sale.id, state=sale.state)


async def _keep_revealed(session: Session, sale_id: str, opened: Opened) -> None:
    rows = [
        {
            "receipt_id": bid.receipt_id,
            "sale_id": sale_id,
            "registration_id": bid.registration_id,
            "uscc": bid.bidder,
            "plaintext": bid.plaintext,
            "void_code": bid.void_code,
        }
        for part in opened.parts
        for bid in part
    ]
    if rows:
        await insert_all(session, RevealedBid, rows)


async def take_time(session: Session) -> None:
    """Let this transaction's statements take as long as ten thousand bids need on a busy host."""
    for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
        await sql(session, f"SET LOCAL {limit} = '30s'")


async def tell_steps(session: Session, sale: Sale, told: Sequence[Fact], at: datetime) -> None:
    """Tell facts of a sale, in their order, by one statement."""
    version = sale.policy_version
    await tell_all(session, [Telling(f, sale.id, policy_version=version, at=at) for f in told])
