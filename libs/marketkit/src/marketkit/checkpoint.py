"""Signed statements of how far each log reaches, so that a later cut or rewrite shows."""

import json

from sqlalchemy import Identity, LargeBinary, insert
from sqlmodel import Field, col, func, select

from marketkit.db import KitTable, Minor, Session, house, instant
from marketkit.outbox import epoch_of, heads_of
from marketkit.signing import canonical
from marketkit.units import format_instant


class Checkpoint(KitTable, table=True):
    """Epoch, heads and chains at an instant, in canonical JSON, under the service's signature."""

    id: int | None = Field(
        default=None, primary_key=True, sa_type=Minor, sa_column_args=[Identity()]
    )
    body: bytes = Field(sa_type=LargeBinary)
    kid: str
    signature: bytes = Field(sa_type=LargeBinary)


async def sign_checkpoint(session: Session) -> None:
    """Store a signed checkpoint of the heads, locked: checkpoints grow as their ids do."""
    heads = await heads_of(session, lock=True)
    signer = house(session).signer
    body = canonical(
        {
            "source": house(session).source,
            "epoch": await epoch_of(session),
            "time": format_instant(await instant(session)),
            "heads": [
                {"partition": number, "sequence": head.sequence, "chain": head.chain.hex()}
                for number, head in heads.items()
            ],
        }
    )
    await session.exec(
        insert(Checkpoint).values(body=body, kid=signer.kid, signature=signer.sign(body))
    )


async def checkpoints_after(session: Session, after: int, limit: int) -> list[Checkpoint]:
    """Up to `limit` checkpoints with a higher id, in order."""
    found = await session.exec(
        select(Checkpoint)
        .where(col(Checkpoint.id) > after)
        .order_by(col(Checkpoint.id))
        .limit(limit)
    )
    return list(found.all())


async def covering(session: Session, partition: int, sequence: int) -> Checkpoint | None:
    """The first checkpoint whose head of the partition has reached this sequence; None yet."""
    low, high = 1, (await session.exec(select(func.max(Checkpoint.id)))).one() or 0
    found = None
    # Heads grow with ids, so halves will do; ids have gaps, so the next one there is looked at.
    while low <= high:
        middle = (low + high) // 2
        (row,) = await checkpoints_after(session, middle - 1, 1)
        if _reached(row, partition) >= sequence:
            found, high = row, middle - 1
        else:
            low = (row.id or 0) + 1
    return found


def _reached(checkpoint: Checkpoint, partition: int) -> int:
    heads = json.loads(checkpoint.body)["heads"]
    return next((int(h["sequence"]) for h in heads if h["partition"] == partition), 0)
