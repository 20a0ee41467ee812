"""Signed statements of how far each log reaches, so that a later cut or rewrite shows."""

from sqlalchemy import Identity, LargeBinary, insert
from sqlmodel import Field, col, select

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
    """Store a signed checkpoint of the heads.

    Their lock is held, as by the sequencer: no two are signed at once, so that a checkpoint with a
    higher id never says less, and who reads on from an id misses none that was about to commit.
    """
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
