"""What holdings make of each fact that moves quota; the fold of `movements` and nothing else.

Every reaction of the board is registered in `REACTIONS`, whatever feature it stands in.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from contracts import energy, holdings
from gateway.holdings.tables import BoardAccount, BoardLot, Change
from marketkit.db import Session, sql
from marketkit.facts import Fact
from marketkit.movements import Movement, fold
from marketkit.reactions import Reactions, Told
from marketkit.rows import as_json, insert_all, insertion

F = TypeVar("F", bound=Fact)
Place = tuple[str, str, str, str, str]

FOLD_IN = """
INSERT INTO projection.holding AS h
    (source, market, account, asset, lot, posted_minor, held_minor, as_of)
SELECT source, market, account, asset, lot, posted_minor, held_minor, as_of
FROM json_populate_recordset(NULL::projection.holding, CAST(:rows AS json))
ON CONFLICT (market, account, asset, lot) DO UPDATE SET
    posted_minor = h.posted_minor + excluded.posted_minor,
    held_minor = h.held_minor + excluded.held_minor,
    as_of = greatest(h.as_of, excluded.as_of)
"""
CHANGED = ("source", "partition", "sequence", "market", "kind", "sale_id", "changed_at")
COLUMNS = (
    "source", "market", "account", "asset", "lot", "posted_minor", "held_minor", "as_of",
)  # fmt: skip
CHANNEL = "board"
_TOLD = f"""
WITH told AS ({insertion(Change, CHANGED)} RETURNING source, partition, sequence)
SELECT count(pg_notify(:channel, concat_ws('|', source, partition, sequence))) FROM told
"""
REACTIONS = Reactions("projection")
TRADING = ("energy", "emission")


def market_of(told: Told[F]) -> str:
    return told.type.split(".")[1]


async def show(session: Session, facts: Sequence[Told[F]], sale_id: str = "") -> None:
    """Fold in the facts' movements, and let those who watch the board know of them."""
    await fold_in(session, facts)
    changes = [
        {
            "source": told.source,
            "partition": told.partition,
            "sequence": told.sequence,
            "market": market_of(told),
            "kind": told.fact.kind,
            "sale_id": sale_id,
            "changed_at": told.time,
        }
        for told in facts
    ]
    await sql(session, _TOLD, channel=CHANNEL, rows=as_json(changes))


async def fold_in(session: Session, facts: Sequence[Told[F]]) -> None:
    """Add what the facts moved to the holdings they moved it between."""
    sums: dict[Place, tuple[int, int, datetime]] = {}
    for told in facts:
        movements: Sequence[Movement] = getattr(told.fact, "movements", ())
        moved = fold(movement.leg() for movement in movements)
        for (account, asset, lot), (posted, held) in moved.items():
            place = (told.source, market_of(told), account, asset, lot)
            before = sums.get(place, (0, 0, told.time))
            as_of = max(before[2], told.time)
            sums[place] = (before[0] + posted, before[1] + held, as_of)
    if sums:
        # In one order, so that two who fold at once do not wait for each other.
        rows = [dict(zip(COLUMNS, (*place, *sums[place]), strict=True)) for place in sorted(sums)]
        await sql(session, FOLD_IN, rows=as_json(rows))


@REACTIONS.to_many(holdings.AccountOpened, *TRADING)
async def note_accounts(session: Session, facts: Sequence[Told[holdings.AccountOpened]]) -> None:
    rows = [_row(told, told.fact.account, "account") for told in facts]
    await insert_all(session, BoardAccount, rows)


@REACTIONS.to_many(holdings.LotCreated, *TRADING)
async def note_lots(session: Session, facts: Sequence[Told[holdings.LotCreated]]) -> None:
    await insert_all(session, BoardLot, [_row(told, told.fact.lot, "lot") for told in facts])


def _row(told: Told[F], own_id: str, named: str) -> dict[str, object]:
    said = {"source": told.source, "market": market_of(told), "id": own_id}
    return said | told.fact.model_dump(exclude={named})


@REACTIONS.to_many(holdings.QuotaIssued, *TRADING)
@REACTIONS.to_many(holdings.IssueReversed, *TRADING)
@REACTIONS.to_many(energy.SplitPosted, "energy")
@REACTIONS.to_many(energy.QuotaAssigned, "energy")
async def note_movements(session: Session, facts: Sequence[Told[Fact]]) -> None:
    await show(session, facts)


# Who owes whom is not the public's: no change of the board is shown for it.
@REACTIONS.to_many(energy.PledgeRegistered, "energy")
@REACTIONS.to_many(energy.PledgeReleased, "energy")
async def fold_pledges(session: Session, facts: Sequence[Told[Fact]]) -> None:
    await fold_in(session, facts)
