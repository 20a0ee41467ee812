"""Double entry over lots: every unit traced from its origin to its holder, none taken twice.

Movements are append-only. Callers put the legs that come back into the event they tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import CheckConstraint, Date, Identity, Index, insert, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import Field, col

from marketkit.db import KitTable, Minor, Session, UtcInstant, new_id, sql
from marketkit.errors import Conflict
from marketkit.movements import Leg, fold
from marketkit.rows import insert_all


class InsufficientFreeQuantity(Conflict):
    title = "可用数量不足"


class PledgedQuantity(Conflict):
    title = "所需数量已抵质押，解除质押前不得使用、出让或再次质押"
    article = "art. 19"


class RightExpired(Conflict):
    title = "所需数量已过有效期，不得使用、出让或质押"


def shortage(*, is_pledged: bool) -> Conflict:
    return PledgedQuantity() if is_pledged else InsufficientFreeQuantity()


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
        Index("ix_hold_open", "account", "lot", postgresql_where=text("remaining > 0")),
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

    Raises:
        PledgedQuantity: art. 19, an account's quota would do, were it not pledged.
        InsufficientFreeQuantity: an account's available quantity would fall below zero.
    """
    await book_each(session, [(booking, legs)])
    return list(legs)


async def book_each(session: Session, bookings: Sequence[tuple[Booking, Sequence[Leg]]]) -> None:
    """Post several transfers, all or none, by as many statements as one takes."""
    transfers = [(new_id(), booking, legs) for booking, legs in bookings]
    for _, _, legs in transfers:
        assert all(sum(leg.posted for leg in legs if leg.lot == lot) == 0 for _, _, lot, *_ in legs)
    await _move(session, [leg for _, _, legs in transfers for leg in legs])
    rows = [{"id": transfer_id, **booking.__dict__} for transfer_id, booking, _ in transfers]
    await insert_all(session, Transfer, rows)
    moved = [{"transfer_id": one, **leg._asdict()} for one, _, legs in transfers for leg in legs]
    await insert_all(session, MovementRow, moved)


_MOVED = (
    "unnest(CAST(:accounts AS text[]), CAST(:lots AS text[]), CAST(:posted AS bigint[]), "
    "CAST(:held AS bigint[])) AS moved(account, lot, posted, held)"
)
PLEDGED = (
    "coalesce((SELECT sum(remaining) FROM hold WHERE hold.account = b.account "
    "AND hold.lot = b.lot AND remaining > 0 AND creditor IS NOT NULL), 0)"
)


async def _move(session: Session, legs: Sequence[Leg]) -> None:
    # Touched in one order, (account, lot): no two transfers wait for each other crosswise.
    sums = fold(legs)
    moved = {
        "accounts": [account for account, _, _ in sums],
        "lots": [lot for _, _, lot in sums],
        "posted": [posted for posted, _ in sums.values()],
        "held": [held for _, held in sums.values()],
    }
    # An absent row cannot be locked or guarded: make it first.
    await sql(
        session,
        "INSERT INTO balance (account, lot, posted, held, is_issuance) "
        f"SELECT account.id, lot, 0, 0, is_issuance FROM {_MOVED} "
        "JOIN account ON account.id = moved.account ORDER BY 1, 2 ON CONFLICT DO NOTHING",
        **moved,
    )
    await sql(
        session,
        f"SELECT 1 FROM balance b JOIN {_MOVED} USING (account, lot) "
        "ORDER BY account, lot FOR UPDATE OF b",
        **moved,
    )
    taken = await sql(
        session,
        "UPDATE balance b SET posted = b.posted + moved.posted, held = b.held + moved.held "
        f"FROM {_MOVED} WHERE b.account = moved.account AND b.lot = moved.lot AND (is_issuance OR "
        "(b.posted + moved.posted >= b.held + moved.held AND b.held + moved.held >= 0))",
        **moved,
    )
    if taken.rowcount != len(sums):
        would_do = await sql(
            session,
            f"SELECT count(*) FROM balance b JOIN {_MOVED} USING (account, lot) WHERE is_issuance "
            "OR (b.held + moved.held >= 0 AND "
            f"b.posted + moved.posted >= b.held + moved.held - {PLEDGED})",
            **moved,
        )
        raise shortage(is_pledged=would_do.scalar_one() == len(sums))


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


MOVED = "SELECT account, lot, sum(posted) AS posted, sum(held) AS held FROM movement GROUP BY 1, 2"


async def imbalance(session: Session, moved: str = MOVED) -> Imbalance:
    """Conservation recomputed from movements; every figure must be 0.

    Counts, per asset, what was posted of a lot from nowhere, and by what balances and open holds
    differ from the movements, whichever of the three has a row.

    Args:
        session: A transaction that may see them all.
        moved: A query for the sums of the movements by account and lot, if not out of them all.
    """
    found = await sql(
        session,
        f"WITH moved AS ({moved}), "
        "open_hold AS (SELECT account, lot, sum(remaining) AS held FROM hold "
        "               WHERE remaining > 0 GROUP BY 1, 2), "
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
