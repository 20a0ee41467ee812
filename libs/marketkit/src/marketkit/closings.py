"""Closings 结账: sums over movements that no longer change, so that no check adds them up again.

A closing is known by the last movement it covers, not by a day: a clock says nothing of who has
still to commit, and a service's own may be moved.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar

from prometheus_client import Gauge
from sqlmodel import Field

from marketkit.db import Database, KitTable, Minor, Session, sql
from marketkit.ledger import Imbalance, imbalance
from marketkit.logs import log

T = TypeVar("T")
IMBALANCE = Gauge("yaosu_ledger_imbalance", "Minor units out of conservation", ["asset"])
CHECKED = Gauge("yaosu_ledger_checked_balances", "Balances the last conservation check saw")

CLOSE_EVERY = 50_000
LOCK = 7_370_502


class ClosedTotal(KitTable, table=True):
    """What all movements up to `upto` come to, where that closing moved any; insert-only."""

    account: str = Field(primary_key=True)
    lot: str = Field(primary_key=True)
    upto: int = Field(primary_key=True, index=True, sa_type=Minor)
    posted: int = Field(sa_type=Minor)
    held: int = Field(sa_type=Minor)


class Reach(NamedTuple):
    """How far the movements reached at a moment, and whose transactions were writing more."""

    last_id: int
    writers: frozenset[str]
    server_since: datetime


class Rechecked(NamedTuple):
    """A closing beside the movements it covers: per asset, how far they are from each other."""

    upto: int
    by_asset: dict[str, int]


_NEWEST = (
    "SELECT account, lot, posted, held FROM closed_total t {where} "
    "ORDER BY account DESC, lot DESC, upto DESC LIMIT 1"
)
# Stepped through from place to place, each by its newest total: older ones are never read.
_STANDING = (
    f"WITH RECURSIVE closed AS (({_NEWEST.format(where='')}) "
    "UNION ALL SELECT below.* FROM closed, LATERAL ("
    + _NEWEST.format(where="WHERE (t.account, t.lot) < (closed.account, closed.lot)")
    + ") AS below) "
    "SELECT account, lot, sum(posted) AS posted, sum(held) AS held FROM ("
    "  SELECT account, lot, posted, held FROM closed UNION ALL "
    "  SELECT account, lot, posted, held FROM movement "
    "  WHERE id > coalesce((SELECT max(upto) FROM closed_total), 0)) AS known GROUP BY 1, 2"
)
_MOVED = (
    "moved AS (SELECT account, lot, sum(posted) AS posted, sum(held) AS held FROM movement "
    "WHERE id > coalesce((SELECT max(upto) FROM closed_total WHERE upto < :upto), 0) "
    "AND id <= :upto GROUP BY 1, 2)"
)
_BEFORE = _NEWEST.format(
    where="WHERE t.account = {0}.account AND t.lot = {0}.lot AND t.upto < :upto"
)


async def standing_imbalance(session: Session) -> Imbalance:
    """Conservation by the closed totals and the movements after them; every figure must be 0."""
    return await imbalance(session, _STANDING)


async def reach(session: Session) -> Reach:
    """How far the movements reach now.

    Whoever inserts one locks the table from before its number is drawn until the transaction ends.
    So while a number below `last_id` is out and not committed, its owner is among the writers.
    """
    found = await sql(
        session,
        # The snapshot is older than the look at the locks: nobody commits unseen between them.
        "SELECT coalesce((SELECT max(id) FROM movement), 0) AS last_id, "
        "pg_postmaster_start_time() AS server_since, "
        "array(SELECT virtualtransaction FROM pg_locks WHERE relation = 'movement'::regclass "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        "AND mode <> 'AccessShareLock') AS writers",
    )
    row = found.one()
    return Reach(row.last_id, frozenset(row.writers), row.server_since)


def is_final(then: Reach, now: Reach) -> bool:
    """Whether no movement can come any more at or below the last one of `then`.

    All who were writing then have ended, on the same server: another may have lost commits, and
    would give their numbers again.
    """
    return then.server_since == now.server_since and not then.writers & now.writers


async def close(session: Session, final_id: int, count: int = CLOSE_EVERY) -> bool:
    """Close the next `count` movements if they lie at or below `final_id`; answer whether."""
    mine = await sql(session, "SELECT pg_try_advisory_xact_lock(:lock)", lock=LOCK)
    upto = await sql(
        session,
        "SELECT id FROM movement WHERE id > coalesce((SELECT max(upto) FROM closed_total), 0) "
        "AND id <= :final_id ORDER BY id OFFSET :before LIMIT 1",
        final_id=final_id,
        before=count - 1,
    )
    last_id = upto.scalar()
    if last_id is None or not mine.scalar_one():
        return False
    await sql(
        session,
        f"WITH {_MOVED} INSERT INTO closed_total (account, lot, upto, posted, held) "
        "SELECT m.account, m.lot, :upto, m.posted + coalesce(before.posted, 0), "
        "m.held + coalesce(before.held, 0) "
        f"FROM moved m LEFT JOIN LATERAL ({_BEFORE.format('m')}) AS before ON true",
        upto=last_id,
    )
    return True


async def recheck(session: Session, after: int) -> Rechecked | None:
    """The first closing after a movement, recomputed; None if there is none."""
    found = await sql(session, "SELECT min(upto) FROM closed_total WHERE upto > :id", id=after)
    upto = found.scalar_one()
    if upto is None:
        return None
    differing = await sql(
        session,
        f"WITH {_MOVED}, closed AS (SELECT c.account, c.lot, "
        "c.posted - coalesce(before.posted, 0) AS posted, "
        "c.held - coalesce(before.held, 0) AS held "
        f"FROM closed_total c LEFT JOIN LATERAL ({_BEFORE.format('c')}) AS before ON true "
        "WHERE c.upto = :upto) "
        "SELECT coalesce(lot.asset, 'UNKNOWN') AS asset, "
        "sum(abs(coalesce(m.posted, 0) - coalesce(c.posted, 0)) "
        "+ abs(coalesce(m.held, 0) - coalesce(c.held, 0))) AS amount "
        "FROM moved m FULL JOIN closed c USING (account, lot) "
        "LEFT JOIN lot ON lot.id = lot GROUP BY 1",
        upto=upto,
    )
    return Rechecked(upto, {row.asset: int(row.amount) for row in differing.all()})


@dataclass
class Books:
    """How far one process is with checking and closing; one that begins anew loses nothing."""

    house: Database
    reached: Reach | None = None
    rechecked_upto: int = 0

    async def check(self) -> Imbalance:
        """The standing check, and one closing after another compared with what it covers.

        One that differs is compared again and again, until it does not.
        """
        standing = await self._patiently(standing_imbalance)
        rechecked = await self._patiently(lambda s: recheck(s, self.rechecked_upto))
        off = Counter(rechecked.by_asset if rechecked else {})
        if not any(off.values()):
            self.rechecked_upto = rechecked.upto if rechecked else 0
        amounts = {asset: amount + off[asset] for asset, amount in standing.by_asset.items()}
        return Imbalance(dict(off) | amounts, standing.row_count)

    async def close(self) -> None:
        """Close all that has become final since this was last asked."""
        then, self.reached = self.reached, await self.house.run(reach, "worker")
        if then and is_final(then, self.reached):
            while await self._patiently(lambda s: close(s, then.last_id)):
                pass

    async def _patiently(self, work: Callable[[Session], Awaitable[T]]) -> T:
        async def attempt(session: Session) -> T:
            await sql(session, "SET LOCAL statement_timeout = '30s'")
            return await work(session)

        return await self.house.run(attempt, "worker")


async def check_ledger(books: Books) -> Imbalance:
    """Recompute conservation and show it; a figure other than 0 is an alarm.

    While there is none, what no movement can precede any more is closed.
    """
    found = await books.check()
    CHECKED.set(found.row_count)
    for asset, amount in found.by_asset.items():
        IMBALANCE.labels(asset).set(amount)
        if amount:
            log.error("ledger_imbalance", asset=asset, amount=amount)
    if not any(found.by_asset.values()):
        await books.close()
    return found
