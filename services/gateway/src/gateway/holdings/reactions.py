"""What holdings make of each fact that moves quota; the fold of `movements` and nothing else.

Every reaction of the board is registered in `REACTIONS`, whatever feature it stands in.
"""

from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import col

from contracts import energy, holdings
from gateway.holdings.tables import BoardAccount, BoardLot, Change, Holding
from marketkit.db import Session, sql
from marketkit.facts import Fact
from marketkit.inbox import Reactions, Told
from marketkit.movements import Movement, fold

F = TypeVar("F", bound=Fact)

CHANNEL = "board"
REACTIONS = Reactions("projection")
TRADING = ("energy", "emission")


def market_of(told: Told[F]) -> str:
    return told.type.split(".")[1]


async def show(session: Session, told: Told[F], sale_id: str = "") -> None:
    """Fold in the fact's movements, and let those who watch the board know of it."""
    await fold_in(session, told)
    session.add(
        Change(
            source=told.source,
            partition=told.partition,
            sequence=told.sequence,
            market=market_of(told),
            kind=told.fact.kind,
            sale_id=sale_id,
            changed_at=told.time,
        )
    )
    place = f"{told.source}|{told.partition}|{told.sequence}"
    await sql(session, "SELECT pg_notify(:channel, :place)", channel=CHANNEL, place=place)


async def fold_in(session: Session, told: Told[F]) -> None:
    movements: Sequence[Movement] = getattr(told.fact, "movements", ())
    sums = fold(movement.leg() for movement in movements)
    if not sums:
        return
    rows = [
        {
            "market": market_of(told),
            "account": account,
            "asset": asset,
            "lot": lot,
            "posted_minor": posted,
            "held_minor": held,
            "as_of": told.time,
        }
        for (account, asset, lot), (posted, held) in sorted(sums.items())
    ]
    new = upsert(Holding)
    added = new.on_conflict_do_update(
        index_elements=["market", "account", "asset", "lot"],
        set_={
            "posted_minor": col(Holding.posted_minor) + new.excluded.posted_minor,
            "held_minor": col(Holding.held_minor) + new.excluded.held_minor,
            "as_of": func.greatest(Holding.as_of, new.excluded.as_of),
        },
    )
    await session.exec(added, params=rows)


@REACTIONS.to(holdings.AccountOpened, *TRADING)
async def note_account(session: Session, told: Told[holdings.AccountOpened]) -> None:
    fact = told.fact.model_dump(exclude={"account"})
    session.add(BoardAccount(market=market_of(told), id=told.fact.account, **fact))


@REACTIONS.to(holdings.LotCreated, *TRADING)
async def note_lot(session: Session, told: Told[holdings.LotCreated]) -> None:
    fact = told.fact.model_dump(exclude={"lot"})
    session.add(BoardLot(market=market_of(told), id=told.fact.lot, **fact))


def _only_moves(fact: type[F], *markets: str) -> None:
    async def note_movements(session: Session, told: Told[F]) -> None:
        await show(session, told)

    REACTIONS.to(fact, *markets)(note_movements)


_only_moves(holdings.QuotaIssued, *TRADING)
_only_moves(holdings.IssueReversed, *TRADING)
_only_moves(energy.SplitPosted, "energy")
_only_moves(energy.QuotaAssigned, "energy")
