"""Sealed bids are taken in by the list, replaced, withdrawn; nothing else of them is told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlmodel import col, func, select

from contracts import sale as facts
from marketkit.batch import Hot, Verdict
from marketkit.db import Session, house, instant, new_id, sql
from marketkit.errors import Refusal
from marketkit.facts import Fact
from marketkit.identity import Caller
from marketkit.outbox import Telling, tell_all
from marketkit.rows import insert_all
from marketkit.signing import b64, canonical, sm3
from marketkit.units import Form, Instant, format_instant
from saleroom.bids.rules import (
    TICK,
    BidNotStanding,
    BidUnknown,
    PlacedBid,
    Window,
    check_sealed_bid,
    check_window,
    instants_of,
)
from saleroom.bids.tables import SealedBid
from saleroom.entries.tables import Registration
from saleroom.notices.actions import advance, locked_sale
from saleroom.notices.tables import Sale


class Receipt(Form):
    """Proof that a bid was taken in, signed by the service over all other fields."""

    sale_id: str
    receipt_id: str
    version: int
    bid_sm3: str
    commitment: str
    received_at: Instant
    kid: str
    signature: str


class OwnBid(Form):
    receipt_id: str
    version: int
    commitment: str
    received_at: Instant
    is_standing: bool


class Prepared(NamedTuple):
    """A bid with the instant it got under the sale's lock."""

    window: Window
    bid: PlacedBid
    at: datetime


async def lock_sale_for_bids(session: Session, bids: Sequence[PlacedBid]) -> list[Prepared]:
    """Lock the sale all these bids are for, and give each its instant, in order of arrival.

    Raises:
        SaleUnknown: no such sale.
    """
    sale = await locked_sale(session, bids[0].sale_id)
    at = await instant(session)
    await advance(session, sale, at)
    await session.flush()
    found = await sql(session, "SELECT last_at FROM bid_clock WHERE sale_id = :id", id=sale.id)
    instants = instants_of(at, found.scalar() or at - TICK, len(bids))
    await sql(
        session,
        "INSERT INTO bid_clock (sale_id, last_at) VALUES (:id, :at) "
        "ON CONFLICT (sale_id) DO UPDATE SET last_at = excluded.last_at",
        id=sale.id,
        at=instants[-1],
    )
    window = window_of(sale)
    return [Prepared(window, bid, at) for bid, at in zip(bids, instants, strict=True)]


def window_of(sale: Sale) -> Window:
    columns = ("state", "opens_at", "closes_at", "key_sm3", "policy_version", "correction_count")
    return Window(sale_id=sale.id, **{name: getattr(sale, name) for name in columns})


async def place_sealed_bids(session: Session, prepared: Sequence[Prepared]) -> list[Verdict]:
    """Take in bids on one sale; each gets its signed receipt or its own refusal.

    Refusals, each a verdict, in order: BidSizeWrong, BiddingClosed, BiddingNotOpen, NotQualified,
    CorrectionNotAccepted, BidKeyWrong, BidVersionWrong.
    """
    sale_id = prepared[0].window.sale_id
    entrants = await _entrants(session, sale_id, {one.bid.uscc for one in prepared})
    verdicts: list[Verdict] = []
    rows = []
    tellings = []
    for window, bid, at in prepared:
        entrant = entrants.get(bid.uscc)
        try:
            check_sealed_bid(
                window,
                bid,
                registration=entrant.state if entrant else None,
                accepted_correction=entrant.accepted_correction if entrant else 0,
                last_version=entrant.last_version if entrant else 0,
                at=at,
            )
        except Refusal as refusal:
            verdicts.append(refusal)
            continue
        assert entrant is not None
        entrant.last_version = bid.version
        row = _row(session, bid, entrant, at)
        rows.append(row)
        verdicts.append(_receipt(session, bid, str(row["id"]), at))
        fact = facts.SealedBidPlaced(receipt_id=str(row["id"]), commitment=b64(bid.commitment))
        tellings.append(_unnamed(session, fact, window, at))
    if rows:
        await insert_all(session, SealedBid, rows)
        await tell_all(session, tellings)
    return verdicts


@dataclass
class _Entrant:
    """What of a registration decides whether its next bid is taken in."""

    registration_id: str
    state: str
    accepted_correction: int
    last_version: int


async def _entrants(session: Session, sale_id: str, usccs: set[str]) -> dict[str, _Entrant]:
    found = await sql(
        session,
        "SELECT uscc, id, state, accepted_correction, coalesce((SELECT max(version) "
        "FROM sealed_bid WHERE registration_id = registration.id), 0) AS last_version "
        "FROM registration WHERE sale_id = :sale_id AND uscc = ANY(:usccs)",
        sale_id=sale_id,
        usccs=list(usccs),
    )
    return {
        row.uscc: _Entrant(row.id, row.state, row.accepted_correction, row.last_version)
        for row in found.all()
    }


def _row(session: Session, bid: PlacedBid, entrant: _Entrant, at: datetime) -> dict[str, object]:
    return {
        "id": new_id(),
        "sale_id": bid.sale_id,
        "registration_id": entrant.registration_id,
        "uscc": bid.uscc,
        "version": bid.version,
        "ciphertext": bid.ciphertext,
        "commitment": bid.commitment,
        "key_sm3": bid.key_sm3,
        "kid": house(session).signer.kid,
        "submitted_at": at,
        "withdrawn_at": None,
    }


def _receipt(session: Session, bid: PlacedBid, receipt_id: str, at: datetime) -> Receipt:
    signer = house(session).signer
    said = {
        "sale_id": bid.sale_id,
        "receipt_id": receipt_id,
        "version": bid.version,
        "bid_sm3": b64(sm3(bid.ciphertext)),
        "commitment": b64(bid.commitment),
        "received_at": format_instant(at),
        "kid": signer.kid,
    }
    return Receipt.model_validate(said | {"signature": b64(signer.sign(canonical(said)))})


def _unnamed(session: Session, fact: Fact, window: Window, at: datetime) -> Telling:
    # A person's `sub` in an earlier sale's contract would name the bidder here.
    speaker = house(session).source
    return Telling(fact, window.sale_id, "", speaker, "", window.policy_version, at)


PLACE = Hot(lock_sale_for_bids, place_sealed_bids)


async def withdraw_sealed_bid(
    session: Session, sale_id: str, receipt_id: str, caller: Caller
) -> OwnBid:
    """Take back the caller's standing bid, as a whole.

    Raises:
        SaleUnknown: no such sale.
        BidUnknown: no such bid, or another's.
        BiddingClosed, BiddingNotOpen: `notice`.
        BidNotStanding: replaced or withdrawn already.
    """
    (prepared,) = await lock_sale_for_bids(
        session, [PlacedBid(sale_id, caller.uscc, 0, b"", b"", b"")]
    )
    own = select(SealedBid).where(
        SealedBid.id == receipt_id, SealedBid.sale_id == sale_id, SealedBid.uscc == caller.uscc
    )
    bid = (await session.exec(own)).first()
    if bid is None:
        raise BidUnknown()
    check_window(prepared.window, prepared.at)
    query = select(func.max(SealedBid.version)).where(
        SealedBid.registration_id == bid.registration_id
    )
    if bid.withdrawn_at is not None or bid.version != (await session.exec(query)).one():
        raise BidNotStanding()
    bid.withdrawn_at = prepared.at
    await session.flush()
    fact = facts.SealedBidWithdrawn(receipt_id=bid.id)
    await tell_all(session, [_unnamed(session, fact, prepared.window, prepared.at)])
    return own_bid(bid, is_standing=False)


def own_bid(bid: SealedBid, *, is_standing: bool) -> OwnBid:
    return OwnBid(
        receipt_id=bid.id,
        version=bid.version,
        commitment=b64(bid.commitment),
        received_at=bid.submitted_at,
        is_standing=is_standing,
    )


async def standing_bids(session: Session, sale_id: str) -> Sequence[SealedBid]:
    """The bids that stand: each participant's last version, oldest first.

    Neither a withdrawn bid nor that of a participant who has left the sale is ever published.
    """
    last = (
        select(SealedBid.registration_id, func.max(SealedBid.version).label("version"))
        .where(SealedBid.sale_id == sale_id)
        .group_by(col(SealedBid.registration_id))
        .subquery()
    )
    query = (
        select(SealedBid)
        .join(
            last,
            (col(SealedBid.registration_id) == last.c.registration_id)
            & (col(SealedBid.version) == last.c.version),
        )
        .join(Registration, col(Registration.id) == col(SealedBid.registration_id))
        .where(col(SealedBid.withdrawn_at).is_(None), Registration.state != "WITHDRAWN")
        .order_by(col(SealedBid.submitted_at))
    )
    return (await session.exec(query)).all()
