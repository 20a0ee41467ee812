"""What holdings make of each fact that moves quota; the fold of `movements` and nothing else.

Every reaction of the board is registered in `REACTIONS`, whatever feature it stands in.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import insert

from contracts import energy, holdings
from gateway.holdings.tables import BoardAccount, BoardLot, Change
from marketkit.db import Session, sql
from marketkit.facts import Fact
from marketkit.movements import Movement, fold
from marketkit.reactions import Reactions, Told

F = TypeVar("F", bound=Fact)
Place = tuple[str, str, str, str, str]

FOLD_IN = """
INSERT INTO projection.holding AS h
    (source, market, account, asset, lot, posted_minor, held_minor, as_of)
SELECT * FROM unnest(
    CAST(:sources AS text[]), CAST(:markets AS text[]), CAST(:accounts AS text[]),
    CAST(:assets AS text[]), CAST(:lots AS text[]), CAST(:posted AS bigint[]),
    CAST(:held AS bigint[]), CAST(:as_of AS timestamptz[]))
ON CONFLICT (market, account, asset, lot) DO UPDATE SET
    posted_minor = h.posted_minor + excluded.posted_minor,
    held_minor = h.held_minor + excluded.held_minor,
    as_of = greatest(h.as_of, excluded.as_of)
"""
CHANNEL = "board"
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
    await session.exec(insert(Change), params=changes)
    places = [f"{told.source}|{told.partition}|{told.sequence}" for told in facts]
    notify = "SELECT pg_notify(:channel, place) FROM unnest(CAST(:places AS text[])) AS place"
    await sql(session, notify, channel=CHANNEL, places=places)


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
        columns = zip(*((*place, *sums[place]) for place in sorted(sums)), strict=True)
        names = ("sources", "markets", "accounts", "assets", "lots", "posted", "held", "as_of")
        await sql(session, FOLD_IN, **dict(zip(names, map(list, columns), strict=True)))


@REACTIONS.to(holdings.AccountOpened, *TRADING)
async def note_account(session: Session, told: Told[holdings.AccountOpened]) -> None:
    fact = told.fact.model_dump(exclude={"account"})
    session.add(
        BoardAccount(source=told.source, market=market_of(told), id=told.fact.account, **fact)
    )


@REACTIONS.to(holdings.LotCreated, *TRADING)
async def note_lot(session: Session, told: Told[holdings.LotCreated]) -> None:
    fact = told.fact.model_dump(exclude={"lot"})
    session.add(BoardLot(source=told.source, market=market_of(told), id=told.fact.lot, **fact))


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
