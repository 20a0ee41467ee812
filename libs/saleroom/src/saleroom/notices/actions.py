"""A sale is drafted, announced with its key and held supply, suspended, resumed, archived."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import col, select

from contracts import sale as facts
from marketkit.db import Session, instant, new_id
from marketkit.holds import hold
from marketkit.ledger import Booking, Lot
from marketkit.movements import Leg, Movement
from marketkit.outbox import tell
from marketkit.signing import b64
from marketkit.units import ASSET_UNITS, YUAN, Form, Text, day_of
from saleroom.markets import Market, SalePolicy
from saleroom.notices.rules import (
    Notice,
    SaleDraftIn,
    SaleStateNotAllowed,
    SaleUnknown,
    check_drill,
    check_follows,
    check_lots,
    check_notice,
    check_order,
    quantity_minor,
    read_fair_review,
)
from saleroom.notices.tables import KeyOfficer, Sale, SaleOfficer
from saleroom.shares import SaleSeal, check_key_officers, seal_sale

INSTANTS = (
    "registration_closes_at",
    "opens_at",
    "closes_at",
    "deposit_due_at",
    "opens_by",
)


class SaleRef(Form):
    """A sale by its id, and where it stands."""

    sale_id: str
    state: str


class ReasonIn(Form):
    reason: Text


async def draft_sale(session: Session, market: Market, form: SaleDraftIn) -> SaleRef:
    """Put a sale on paper; nothing is held and nothing is public yet.

    Raises:
        TimetableWrong: its instants do not follow each other; `notice`.
        InputInvalid: an unknown asset or a quantity its unit cannot say.
        FollowedSaleWrong: the sale it follows was not announced, or is of another asset; `notice`.
        FollowedQuantityExceeded: more than what came back from it and nobody took; `notice`.
    """
    check_order(form)
    at = await instant(session)
    policy = market.policy_on(day_of(at))
    sale = Sale(**_columns(form), **_drafted(market, form, policy, at))
    if form.follows_sale_id is not None:
        await _check_follows(session, sale, form.follows_sale_id)
    session.add(sale)
    await session.flush()
    officers = [
        {"sale_id": sale.id, "officer_id": officer_id, "wrapped_share": None}
        for officer_id in await _known_officers(session, form.key_officers)
    ]
    if officers:
        await session.exec(upsert(SaleOfficer).on_conflict_do_nothing(), params=officers)
    fact = facts.SaleDrafted(title=sale.title, format=form.format)
    await tell(session, fact, key=sale.id, policy_version=policy.version, at=at)
    return SaleRef(sale_id=sale.id, state=sale.state)


def _columns(form: SaleDraftIn) -> dict[str, Any]:
    same = form.model_dump(
        include=set(SaleDraftIn.model_fields) & set(Sale.model_fields) - {"fair_review"}
    )
    instants = {name: getattr(form, name) for name in INSTANTS}
    limit = form.purchase_limit
    return {
        **same,
        **instants,
        "supply_minor": quantity_minor(form.asset, form.supply),
        "lot_minor": quantity_minor(form.asset, form.lot_size),
        "floor_fen": form.floor_price_yuan,
        "purchase_limit_minor": None if limit is None else quantity_minor(form.asset, limit),
        "fair_review": form.fair_review.model_dump_json() if form.fair_review else "",
    }


def _drafted(market: Market, form: SaleDraftIn, policy: SalePolicy, at: datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "market": market.name,
        "state": "DRAFT",
        "source_account": market.source_account(form.asset),
        "is_dual_high_barred": False,
        "steps_max": policy.sale.steps_max.value,
        "policy_version": policy.version,
        "drafted_at": at,
    }


async def _check_follows(session: Session, sale: Sale, follows_sale_id: str) -> None:
    # Its lock makes drafts that follow one sale wait for each other.
    followed = (
        await session.exec(select(Sale).where(Sale.id == follows_sale_id).with_for_update())
    ).first()
    query = select(Sale.supply_minor).where(
        Sale.follows_sale_id == follows_sale_id,
        # A draft given up took nothing; what an announced one gives back follows on that one.
        ~(col(Sale.announced_at).is_(None) & col(Sale.state).in_(("CANCELLED", "ARCHIVED"))),
    )
    taken_minor = sum((await session.exec(query)).all())
    is_known = followed is not None and followed.announced_at is not None
    check_follows(
        sale.supply_minor,
        is_alike=is_known and followed is not None and followed.asset == sale.asset,
        left_minor=(followed.returned_minor if followed else 0) - taken_minor,
    )


async def _known_officers(session: Session, officer_ids: list[str]) -> list[str]:
    found = await session.exec(select(KeyOfficer.id).where(col(KeyOfficer.id).in_(officer_ids)))
    return list(found.all())


async def announce_sale(session: Session, market: Market, sale_id: str) -> SaleRef:
    """Publish the notice: supply held, a key made for this sale alone, its five shares wrapped.

    Raises:
        SaleUnknown: no such sale.
        SaleStateNotAllowed: it is no draft.
        TermsOutOfBounds: art. 5.
        TimetableWrong: art. 5.
        FairReviewMissing: measure 2.
        KeyOfficersWrong: not five key officers with a key each.
        DrillNotPassed: one of them has not answered the last drill with that key; `notice`.
        PledgedQuantity, RightExpired, InsufficientFreeQuantity: the seller's account does not hold
            the supply.
        TooManyLots: more of them make up the supply than one delivery can tell.
        Refusal: the market's own, of a supply that may not be sold.
    """
    sale = await locked_sale(session, sale_id)
    require(sale, "DRAFT")
    at = await instant(session)
    policy = market.policy_on(day_of(at))
    check_notice(_notice(sale), policy.sale, at, day_of(at))
    seal, drilled_at = await _seal(session, sale)
    sale.policy_version, sale.steps_max = policy.version, policy.sale.steps_max.value
    legs = await hold(
        session, booking(sale, at), sale.source_account, sale.asset, sale.supply_minor
    )
    check_lots(len(legs))
    lots = await _lots_of(session, legs)
    market.check_supply(lots, policy)
    sale.is_dual_high_barred = any(lot.is_dual_high_barred for lot in lots)
    sale.state, sale.announced_at = "ANNOUNCED", at
    sale.public_key, sale.key_sm3 = seal.public_key, seal.key_sm3
    sale.draw_secret_sha256, sale.draw_secret_ciphertext = seal.draw_sha256, seal.draw_ciphertext
    await session.flush()
    fact = _announced(sale, market, drilled_at, legs)
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    return SaleRef(sale_id=sale.id, state=sale.state)


async def officers_of(session: Session, sale_id: str) -> Sequence[tuple[SaleOfficer, KeyOfficer]]:
    """The key officers named for a sale, their rows locked, each with the key registered now."""
    found = await session.exec(
        select(SaleOfficer, KeyOfficer)
        .join(KeyOfficer, col(KeyOfficer.id) == col(SaleOfficer.officer_id))
        .where(SaleOfficer.sale_id == sale_id)
        .order_by(col(KeyOfficer.id))
        .with_for_update(of=SaleOfficer)
    )
    return found.all()


async def _seal(session: Session, sale: Sale) -> tuple[SaleSeal, datetime]:
    pairs = await officers_of(session, sale.id)
    check_key_officers([officer.public_key for _, officer in pairs])
    drilled_at = check_drill([row.drilled_with(officer.public_key) for row, officer in pairs])
    seal = seal_sale(sale.id, {officer.id: officer.public_key for _, officer in pairs})
    for row, officer in pairs:
        row.wrapped_share = seal.wrapped_shares[officer.id]
    return seal, drilled_at


async def _lots_of(session: Session, legs: list[Leg]) -> Sequence[Lot]:
    return (await session.exec(select(Lot).where(col(Lot.id).in_(leg.lot for leg in legs)))).all()


async def suspend_sale(session: Session, sale_id: str, form: ReasonIn) -> SaleRef:
    """Stop the clock of an announced or open sale, and say why.

    Raises:
        SaleUnknown: no such sale.
        SaleStateNotAllowed: neither announced nor open.
    """
    sale = await locked_sale(session, sale_id)
    at = await instant(session)
    await advance(session, sale, at)
    require(sale, "ANNOUNCED", "OPEN")
    sale.state_before, sale.state, sale.suspended_at = sale.state, "SUSPENDED", at
    fact = facts.SaleSuspended(reason=form.reason)
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    return SaleRef(sale_id=sale.id, state=sale.state)


async def resume_sale(session: Session, sale_id: str) -> SaleRef:
    """Let the clock run on: every instant still to come at suspension moves by its length.

    Raises:
        SaleUnknown: no such sale.
        SaleStateNotAllowed: it is not suspended.
    """
    sale = await locked_sale(session, sale_id)
    require(sale, "SUSPENDED")
    at = await instant(session)
    assert sale.suspended_at is not None
    assert sale.state_before is not None
    length: timedelta = at - sale.suspended_at
    for name in INSTANTS:
        if getattr(sale, name) > sale.suspended_at:
            setattr(sale, name, getattr(sale, name) + length)
    sale.state, sale.state_before, sale.suspended_at = sale.state_before, None, None
    fact = facts.SaleResumed(timetable=timetable(sale))
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    return SaleRef(sale_id=sale.id, state=sale.state)


async def archive_sale(session: Session, sale_id: str) -> SaleRef:
    """Close the file of a sale that has come to its end.

    Raises:
        SaleUnknown: no such sale.
        SaleStateNotAllowed: it is not settled, failed or cancelled.
    """
    sale = await locked_sale(session, sale_id)
    require(sale, "SETTLED", "FAILED", "CANCELLED")
    at = await instant(session)
    sale.state = "ARCHIVED"
    fact = facts.SaleArchived()
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    return SaleRef(sale_id=sale.id, state=sale.state)


async def locked_sale(session: Session, sale_id: str) -> Sale:
    """The sale, its row locked: whoever changes anything of a sale queues here.

    Raises:
        SaleUnknown: no such sale.
    """
    query = select(Sale).where(Sale.id == sale_id).with_for_update()
    sale = (await session.exec(query)).first()
    if sale is None:
        raise SaleUnknown()
    return sale


def require(sale: Sale, *states: str) -> None:
    """Return if the sale stands in one of the states.

    Raises:
        SaleStateNotAllowed: it stands elsewhere.
    """
    if sale.state not in states:
        raise SaleStateNotAllowed()


async def advance(session: Session, sale: Sale, at: datetime) -> None:
    """Take the steps that are due by `at`: open for bids, close. The sale's row is locked."""
    version = sale.policy_version
    if sale.state == "ANNOUNCED" and at >= sale.opens_at:
        sale.state = "OPEN"
        await tell(session, facts.SaleOpenedForBids(), key=sale.id, policy_version=version, at=at)
    if sale.state == "OPEN" and at >= sale.closes_at:
        sale.state = "CLOSED"
        closed = facts.SaleClosed(closed_at=sale.closes_at)
        await tell(session, closed, key=sale.id, policy_version=version, at=at)


async def advance_due(session: Session) -> None:
    """The clock's turn: tell of sales that opened or closed by now. Bids judge for themselves."""
    at = await instant(session)
    due = (col(Sale.state) == "ANNOUNCED") & (col(Sale.opens_at) <= at)
    closing = (col(Sale.state) == "OPEN") & (col(Sale.closes_at) <= at)
    query = select(Sale).where(due | closing).order_by(col(Sale.id)).limit(50)
    for sale in (await session.exec(query.with_for_update(skip_locked=True))).all():
        await advance(session, sale, await instant(session))


def booking(sale: Sale, at: datetime) -> Booking:
    """How the ledger names what is done for a sale."""
    return Booking("SALE", sale.id, sale.id, day_of(at), at, sale.policy_version)


def note_returned(sale: Sale, legs: Sequence[Leg]) -> list[Movement]:
    """Count what these legs released of the sale's supply; answer them as an event carries them."""
    sale.returned_minor -= sum(leg.held for leg in legs)
    return [Movement.of(leg) for leg in legs]


def timetable(sale: Sale) -> facts.Timetable:
    return facts.Timetable(
        registration_closes_at=sale.registration_closes_at,
        opens_at=sale.opens_at,
        closes_at=sale.closes_at,
        deposit_due_at=sale.deposit_due_at,
        opens_by=sale.opens_by,
        pay_days=sale.pay_days,
        publicity_days=sale.publicity_days,
    )


def terms(sale: Sale) -> facts.SaleTerms:
    """The sale's terms as they are published."""
    unit = ASSET_UNITS[sale.asset]
    limit = sale.purchase_limit_minor
    return facts.SaleTerms.model_validate(
        {
            "asset": sale.asset,
            "unit": unit.name,
            "format": sale.format,
            "supply": unit.format(sale.supply_minor),
            "lot_size": unit.format(sale.lot_minor),
            "floor_price_yuan": YUAN.format(sale.floor_fen),
            "price_rule": sale.price_rule,
            "tie_rule": sale.tie_rule,
            "undersubscribed": sale.undersubscribed,
            "purchase_limit": None if limit is None else unit.format(limit),
            "bidders_min": sale.bidders_min,
            "deposit_ratio_bp": sale.deposit_ratio_bp,
            "deposit_interest_bp": sale.deposit_interest_bp,
            "is_dual_high_barred": sale.is_dual_high_barred,
            "steps_max": sale.steps_max,
        }
    )


def sale_key(sale: Sale) -> facts.SaleKey | None:
    """The key bids are sealed to, once there is one."""
    if sale.public_key is None or sale.key_sm3 is None:
        return None
    assert sale.draw_secret_sha256 is not None
    assert sale.draw_secret_ciphertext is not None
    return facts.SaleKey(
        public_key=b64(sale.public_key),
        key_sm3=b64(sale.key_sm3),
        draw_secret_sha256=sale.draw_secret_sha256.hex(),
        draw_secret_ciphertext=b64(sale.draw_secret_ciphertext),
    )


def _announced(
    sale: Sale, market: Market, drilled_at: datetime, legs: list[Leg]
) -> facts.SaleAnnounced:
    key = sale_key(sale)
    assert key is not None
    return facts.SaleAnnounced(
        title=sale.title,
        body=sale.body,
        seller=market.seller,
        terms=terms(sale),
        timetable=timetable(sale),
        key=key,
        drilled_at=drilled_at,
        follows_sale_id=sale.follows_sale_id,
        movements=[Movement.of(leg) for leg in legs],
    )


def _notice(sale: Sale) -> Notice:
    columns = {name: getattr(sale, name) for name in Notice.__annotations__}
    return Notice(**{**columns, "fair_review": read_fair_review(sale.fair_review)})
