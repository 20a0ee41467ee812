"""Double entry over lots: every unit traced from its origin to its holder, none taken twice.

Movements are append-only; a hold is a pending movement, later posted or voided. Callers put the
legs that come back into the event they tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import CheckConstraint, Date, Identity, insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import Field, col, select

from marketkit.db import KitTable, Minor, Session, UtcInstant, new_id, sql
from marketkit.errors import Conflict
from marketkit.movements import Leg


class InsufficientFreeQuantity(Conflict):
    title = "可用数量不足"


class Account(KitTable, table=True):
    """Who holds: province, city, county, enterprise with a project, creditor, or issuance."""

    id: str = Field(primary_key=True)
    owner_kind: str
    region_code: str
    uscc: str | None = None
    project_code: str | None = None
    is_issuance: bool = False


class Lot(KitTable, table=True):
    """A quantity's origin and what may be done with it; immutable by trigger."""

    id: str = Field(primary_key=True)
    asset: str
    article: str
    document_no: str
    origin_kind: str
    origin_id: str
    origin_region_code: str
    effective_on: date = Field(sa_type=Date)
    is_dual_high_barred: bool
    is_locally_usable: bool
    needs_city_consent: bool
    valid_until_on: date | None = Field(default=None, sa_type=Date)
    parent_lot: str | None = None


class Balance(KitTable, table=True):
    __table_args__ = (
        CheckConstraint(
            "is_issuance OR (posted >= 0 AND held >= 0 AND posted - held >= 0)", name="available"
        ),
    )
    account: str = Field(primary_key=True, foreign_key="account.id")
    lot: str = Field(primary_key=True, foreign_key="lot.id")
    posted: int = Field(default=0, sa_type=Minor)
    held: int = Field(default=0, sa_type=Minor)
    is_issuance: bool = False


class Transfer(KitTable, table=True):
    """One booking: why, by which document, in force from which day; insert-only by trigger."""

    id: str = Field(primary_key=True)
    kind: str
    key: str = Field(index=True)
    document_no: str
    effective_on: date = Field(sa_type=Date)
    booked_at: datetime = Field(sa_type=UtcInstant)
    policy_version: str
    reverses: str | None = Field(default=None, unique=True)


class MovementRow(KitTable, table=True):
    """A leg of a transfer; insert-only by trigger."""

    __tablename__ = "movement"
    id: int | None = Field(
        default=None, primary_key=True, sa_type=Minor, sa_column_args=[Identity()]
    )
    transfer_id: str = Field(foreign_key="transfer.id", index=True)
    account: str = Field(index=True)
    asset: str
    lot: str
    posted: int = Field(sa_type=Minor)
    held: int = Field(sa_type=Minor)


class Hold(KitTable, table=True):
    """A pending movement out of one account's lot, for a purpose; `remaining` is not yet decided.

    An encumbrance (a pledge) is a hold with a creditor.
    """

    __table_args__ = (
        CheckConstraint("remaining >= 0 AND remaining <= quantity", name="remaining"),
    )
    id: str = Field(primary_key=True)
    purpose: str
    key: str = Field(index=True)
    account: str
    asset: str
    lot: str
    quantity: int = Field(sa_type=Minor)
    remaining: int = Field(sa_type=Minor)
    creditor: str | None = None


@dataclass(frozen=True)
class Booking:
    """What every transfer says of itself."""

    kind: str
    key: str
    document_no: str
    effective_on: date
    booked_at: datetime
    policy_version: str
    reverses: str | None = None


class Imbalance(NamedTuple):
    """Per asset, how far the ledger is from conservation, over how many balances."""

    by_asset: dict[str, int]
    row_count: int


async def open_account(session: Session, account: Account) -> bool:
    """Open the account unless it stands; answer whether it is new."""
    opened = await session.exec(
        upsert(Account)
        .values(**account.model_dump())
        .on_conflict_do_nothing()
        .returning(col(Account.id))
    )
    return opened.first() is not None


async def book(session: Session, booking: Booking, legs: Sequence[Leg]) -> list[Leg]:
    """Post the legs of one transfer, all or none; they are answered as booked.

    Balances are made first and touched in one order, (account, lot), so that two transfers never
    wait for each other crosswise.

    Raises:
        InsufficientFreeQuantity: an account's available quantity would fall below zero.
    """
    assert all(sum(leg.posted for leg in legs if leg.lot == lot) == 0 for _, _, lot, *_ in legs)
    transfer_id = new_id()
    await session.exec(insert(Transfer).values(id=transfer_id, **booking.__dict__))
    for leg in sorted(legs):
        await _touch(session, leg)
    await session.exec(
        insert(MovementRow), params=[{"transfer_id": transfer_id, **leg._asdict()} for leg in legs]
    )
    return list(legs)


async def _touch(session: Session, leg: Leg) -> None:
    # An absent row cannot be locked or guarded: make it first.
    await sql(
        session,
        "INSERT INTO balance (account, lot, posted, held, is_issuance) "
        "SELECT id, :lot, 0, 0, is_issuance FROM account WHERE id = :account "
        "ON CONFLICT DO NOTHING",
        account=leg.account,
        lot=leg.lot,
    )
    taken = await sql(
        session,
        "UPDATE balance SET posted = posted + :posted, held = held + :held "
        "WHERE account = :account AND lot = :lot AND (is_issuance OR "
        "(posted + :posted >= held + :held AND held + :held >= 0))",
        posted=leg.posted,
        held=leg.held,
        account=leg.account,
        lot=leg.lot,
    )
    if taken.rowcount != 1:
        raise InsufficientFreeQuantity()


async def issue(
    session: Session, booking: Booking, lot: Lot, quantity: int, to_account: str
) -> list[Leg]:
    """Bring a new lot into being on an account, against the asset's issuance account."""
    issuance = f"issuance:{lot.asset}"
    await session.exec(insert(Lot).values(**lot.model_dump()))
    legs = [
        Leg(issuance, lot.asset, lot.id, -quantity, 0),
        Leg(to_account, lot.asset, lot.id, quantity, 0),
    ]
    return await book(session, booking, legs)


async def hold(
    session: Session, booking: Booking, account: str, asset: str, quantity: int
) -> list[Leg]:
    """Hold a quantity on an account, out of lots of equal restrictions, oldest first.

    Raises:
        InsufficientFreeQuantity: the oldest lot and those restricted like it do not hold so much.
    """
    legs: list[Leg] = []
    for lot_id, available in await _oldest_alike(session, account, asset):
        take = min(available, quantity - sum(leg.held for leg in legs))
        if take > 0:
            legs.append(Leg(account, asset, lot_id, 0, take))
    if sum(leg.held for leg in legs) < quantity:
        raise InsufficientFreeQuantity()
    await session.exec(
        insert(Hold),
        params=[
            {
                "id": new_id(),
                "purpose": booking.kind,
                "key": booking.key,
                "account": account,
                "asset": asset,
                "lot": leg.lot,
                "quantity": leg.held,
                "remaining": leg.held,
            }
            for leg in legs
        ],
    )
    return await book(session, booking, legs)


async def _oldest_alike(session: Session, account: str, asset: str) -> list[tuple[str, int]]:
    found = await session.exec(
        select(Lot, Balance)
        .join(Balance, col(Balance.lot) == col(Lot.id))
        .where(Balance.account == account, Lot.asset == asset, Balance.posted > Balance.held)
        # Locked in the order in which transfers touch balances, not by age.
        .order_by(col(Lot.id))
        .with_for_update(of=Balance)
    )
    rows = sorted(found.all(), key=lambda row: (row[0].effective_on, row[0].id))

    def restrictions(lot: Lot) -> tuple[object, ...]:
        return (
            lot.is_dual_high_barred,
            lot.is_locally_usable,
            lot.needs_city_consent,
            lot.valid_until_on,
        )

    return [
        (lot.id, balance.posted - balance.held)
        for lot, balance in rows
        if restrictions(lot) == restrictions(rows[0][0])
    ]


async def post_holds(
    session: Session, booking: Booking, to_account: str, quantity: int
) -> list[Leg]:
    """Post a quantity out of the holds of `booking.key`, in their order, to an account.

    Raises:
        InsufficientFreeQuantity: less remains held than is to be posted.
    """
    legs = []
    left = quantity
    for held in await _open_holds(session, booking.key):
        take = min(held.remaining, left)
        held.remaining -= take
        left -= take
        if take:
            legs.append(Leg(held.account, held.asset, held.lot, -take, -take))
            legs.append(Leg(to_account, held.asset, held.lot, take, 0))
    if left:
        raise InsufficientFreeQuantity()
    await session.flush()
    return await book(session, booking, legs)


async def void_holds(session: Session, booking: Booking) -> list[Leg]:
    """Give back all that is still held under `booking.key`; no legs if nothing is."""
    held = sum(one.remaining for one in await _open_holds(session, booking.key))
    return await void_part(session, booking, held)


async def void_part(session: Session, booking: Booking, quantity: int) -> list[Leg]:
    """Give back a quantity of what is held under `booking.key`, newest hold first.

    Raises:
        InsufficientFreeQuantity: less remains held than is to be given back.
    """
    legs = []
    left = quantity
    for held in reversed(await _open_holds(session, booking.key)):
        take = min(held.remaining, left)
        held.remaining -= take
        left -= take
        if take:
            legs.append(Leg(held.account, held.asset, held.lot, 0, -take))
    if left:
        raise InsufficientFreeQuantity()
    await session.flush()
    return await book(session, booking, legs) if legs else []


async def _open_holds(session: Session, key: str) -> Sequence[Hold]:
    found = await session.exec(
        select(Hold)
        .where(Hold.key == key, Hold.remaining > 0)
        .order_by(col(Hold.id))
        .with_for_update()
    )
    return found.all()


async def imbalance(session: Session) -> Imbalance:
    """Conservation recomputed from movements; every figure must be 0.

    Counts, per asset, what was posted of a lot from nowhere, and by what balances and open holds
    differ from the movements, whichever of the three has a row.
    """
    found = await sql(
        session,
        "WITH moved AS (SELECT account, lot, sum(posted) AS posted, sum(held) AS held "
        "               FROM movement GROUP BY 1, 2), "
        "open_hold AS (SELECT account, lot, sum(remaining) AS held FROM hold GROUP BY 1, 2), "
        "by_lot AS (SELECT lot, count(*) AS balance_count, abs(sum(coalesce(m.posted, 0))) + "
        "  sum(abs(coalesce(m.posted, 0) - coalesce(b.posted, 0)) "
        "    + abs(coalesce(m.held, 0) - coalesce(b.held, 0)) "
        "    + abs(coalesce(m.held, 0) - coalesce(h.held, 0))) AS amount "
        "  FROM moved m FULL JOIN balance b USING (account, lot) "
        "  FULL JOIN open_hold h USING (account, lot) GROUP BY lot) "
        "SELECT coalesce(lot.asset, 'UNKNOWN') AS asset, sum(amount) AS amount, "
        "sum(balance_count) AS balance_count "
        "FROM by_lot LEFT JOIN lot ON lot.id = by_lot.lot GROUP BY 1",
    )
    rows = found.all()
    return Imbalance(
        {row.asset: int(row.amount) for row in rows}, sum(int(row.balance_count) for row in rows)
    )
