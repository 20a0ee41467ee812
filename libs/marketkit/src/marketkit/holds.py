"""Holds: pending movements out of an account's lots, later posted or voided; pledges are such."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import col, select

from marketkit.db import Session, new_id, sql
from marketkit.errors import Conflict
from marketkit.ledger import PLEDGED, Booking, Hold, RightExpired, book, book_each, shortage
from marketkit.movements import Leg
from marketkit.rows import insert_all
from marketkit.units import day_of


@dataclass(frozen=True)
class Take:
    """A quantity of an asset to be held on an account, and how it is booked.

    For a creditor it is a pledge, which binds lots of any restrictions: they stay where they are.
    """

    booking: Booking
    account: str
    asset: str
    quantity: int
    creditor: str | None = None


@dataclass
class _Open:
    """A lot on an account, as the takes before have left it."""

    lot: str
    restrictions: tuple[object, ...]
    is_barred: bool
    is_expired: bool
    free: int
    pledged: int


_Lots = dict[tuple[str, str], list[_Open]]


async def hold(
    session: Session, booking: Booking, account: str, asset: str, quantity: int
) -> list[Leg]:
    """Hold a quantity on an account, out of lots of equal restrictions, oldest first.

    Those that no local project may use now come last: for its market to refuse.

    Raises:
        PledgedQuantity: art. 19, they would hold so much, were it not pledged.
        RightExpired: they would hold so much, were some not past its last day.
        InsufficientFreeQuantity: the first lot and those restricted like it do not hold so much.
    """
    (legs,) = await hold_each(session, [Take(booking, account, asset, quantity)])
    if isinstance(legs, Conflict):
        raise legs
    return legs


async def hold_each(session: Session, takes: Sequence[Take]) -> list[list[Leg] | Conflict]:
    """Hold what can be held, in the order of the takes: the legs of each, or why it cannot be."""
    outcomes = _picked_each(takes, await _lots_of(session, takes, pledged="0"))
    if any(isinstance(outcome, Conflict) for outcome in outcomes):
        # Only a refusal tells what is pledged: nobody else pays for adding it up.
        outcomes = _picked_each(takes, await _lots_of(session, takes, pledged=PLEDGED))
    pairs = zip(takes, outcomes, strict=True)
    held = [(take, legs) for take, legs in pairs if not isinstance(legs, Conflict)]
    rows = [
        {"id": new_id(), "purpose": take.booking.kind, "key": take.booking.key, "lot": leg.lot}
        | {"account": leg.account, "asset": leg.asset, "creditor": take.creditor}
        | {"quantity": leg.held, "remaining": leg.held}
        for take, legs in held
        for leg in legs
    ]
    if rows:
        await insert_all(session, Hold, rows)
        await book_each(session, [(take.booking, legs) for take, legs in held])
    return outcomes


def _picked_each(takes: Sequence[Take], lots: _Lots) -> list[list[Leg] | Conflict]:
    return [_picked(take, lots.get((take.account, take.asset), [])) for take in takes]


def _picked(take: Take, lots: list[_Open]) -> list[Leg] | Conflict:
    usable = [one for one in lots if one.free and not one.is_expired]
    if take.creditor is None:
        usable.sort(key=lambda one: one.is_barred)
        usable = [one for one in usable if one.restrictions == usable[0].restrictions]
    parts: list[tuple[_Open, int]] = []
    left = take.quantity
    for one in usable:
        if part := min(one.free, left):
            parts.append((one, part))
            left -= part
    if left:
        return _shortage(take, lots, usable, left)
    for one, part in parts:
        one.free -= part
        one.pledged += part if take.creditor else 0
    return [Leg(take.account, take.asset, one.lot, 0, part) for one, part in parts]


def _shortage(take: Take, lots: list[_Open], usable: list[_Open], left: int) -> Conflict:
    current = [one for one in lots if not one.is_expired]
    if left <= sum(one.pledged for one in current):
        return shortage(is_pledged=True)
    # To a sale only those are missing that could go with what there is.
    kind = usable[0].restrictions[:3] if usable and take.creditor is None else None
    expired = [one for one in lots if one.is_expired and kind in {None, one.restrictions[:3]}]
    is_expired = left <= sum(one.free for one in expired)
    return RightExpired() if is_expired else shortage(is_pledged=False)


async def _lots_of(session: Session, takes: Sequence[Take], *, pledged: str) -> _Lots:
    found = await sql(
        session,
        # Locked in the order in which transfers touch balances, not by age.
        "SELECT b.account, l.asset, l.id, l.effective_on, b.posted - b.held AS free, "
        "l.is_dual_high_barred, l.is_locally_usable, l.needs_city_consent, l.valid_until_on, "
        f"{pledged} AS pledged FROM balance b JOIN lot l ON l.id = b.lot "
        "WHERE b.account = ANY(:accounts) AND b.posted > 0 ORDER BY b.account, b.lot "
        "FOR UPDATE OF b",
        accounts=[take.account for take in takes],
    )
    lots: _Lots = {}
    today = day_of(takes[0].booking.booked_at)
    for row in sorted(found.all(), key=lambda row: (row.effective_on, row.id)):
        is_barred = row.needs_city_consent or not row.is_locally_usable
        is_expired = row.valid_until_on is not None and row.valid_until_on < today
        opened = _Open(row.id, tuple(row[5:9]), is_barred, is_expired, row.free, int(row.pledged))
        lots.setdefault((row.account, row.asset), []).append(opened)
    return lots


async def post_holds(
    session: Session, booking: Booking, to_account: str, quantity: int
) -> list[Leg]:
    """Post a quantity out of the holds of `booking.key`, in their order, to an account.

    Raises:
        InsufficientFreeQuantity: less remains held than is to be posted.
    """
    legs = []
    for held, part in await _taken(session, await _open_holds(session, booking), quantity):
        legs.append(Leg(held.account, held.asset, held.lot, -part, -part))
        legs.append(Leg(to_account, held.asset, held.lot, part, 0))
    return await book(session, booking, legs)


async def void_holds(session: Session, booking: Booking) -> list[Leg]:
    """Give back all that is still held under `booking.key`; no legs if nothing is."""
    held = sum(one.remaining for one in await _open_holds(session, booking))
    return await void_part(session, booking, held)


async def void_part(session: Session, booking: Booking, quantity: int) -> list[Leg]:
    """Give back a quantity of what is held under `booking.key`, newest hold first.

    Raises:
        InsufficientFreeQuantity: less remains held than is to be given back.
    """
    newest_first = (await _open_holds(session, booking))[::-1]
    legs = [
        Leg(held.account, held.asset, held.lot, 0, -part)
        for held, part in await _taken(session, newest_first, quantity)
    ]
    return await book(session, booking, legs) if legs else []


async def _taken(session: Session, holds: Sequence[Hold], quantity: int) -> list[tuple[Hold, int]]:
    parts = []
    for held in holds:
        if part := min(held.remaining, quantity):
            held.remaining -= part
            quantity -= part
            parts.append((held, part))
    if quantity:
        raise shortage(is_pledged=False)
    await session.flush()
    return parts


async def _open_holds(session: Session, booking: Booking) -> Sequence[Hold]:
    query = select(Hold).where(Hold.key == booking.key, Hold.remaining > 0).order_by(col(Hold.id))
    return (await session.exec(query.with_for_update())).all()
