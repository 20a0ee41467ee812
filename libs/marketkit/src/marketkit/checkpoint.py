"""Signed statements of how far each log reaches, so that a later cut or rewrite shows.

With them the public keys that signed, for as long as anybody may want to check.
"""

import json
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Identity, LargeBinary, insert
from sqlmodel import Field, col, func, select

from marketkit.db import House, KitTable, Minor, Session, UtcInstant, house, instant
from marketkit.outbox import epoch_of, heads_of
from marketkit.signing import b64, canonical
from marketkit.units import format_instant


class Checkpoint(KitTable, table=True):
    """Epoch, heads and chains at an instant, in canonical JSON, under the service's signature."""

    id: int | None = Field(
        default=None, primary_key=True, sa_type=Minor, sa_column_args=[Identity()]
    )
    body: bytes = Field(sa_type=LargeBinary)
    kid: str
    signature: bytes = Field(sa_type=LargeBinary)


class Statement(NamedTuple):
    """What a checkpoint says: by partition, the last sequence and the chain there."""

    source: str
    epoch: int
    heads: dict[int, tuple[int, bytes]]

    def follows(self, earlier: "Statement") -> bool:
        """Whether an owner may say this after that: within a life its log only grows."""
        return self.epoch > earlier.epoch or (
            self.epoch == earlier.epoch
            and all(
                number in self.heads and self.heads[number][0] >= sequence
                for number, (sequence, _) in earlier.heads.items()
            )
        )


def statement_of(body: bytes) -> Statement:
    said = json.loads(body)
    heads = {h["partition"]: (h["sequence"], bytes.fromhex(h["chain"])) for h in said["heads"]}
    return Statement(said["source"], said["epoch"], heads)


class SigningKey(KitTable, table=True):
    """A public key this service signs with, or signed with until another took its place."""

    kid: str = Field(primary_key=True)
    public: bytes = Field(sa_type=LargeBinary)
    valid_from: datetime = Field(sa_type=UtcInstant)
    valid_until: datetime | None = Field(default=None, sa_type=UtcInstant)


class KeyRetired(Exception):
    """This process signs with a key whose place another has taken."""


async def note_key(session: Session) -> None:
    """Remember the key this process signs with; it takes the place of the one before.

    Raises:
        KeyRetired: another took its own place; it never comes back.
    """
    signer = house(session).signer
    # Shared until the commit: nobody retires a key while something is signed with it.
    known = await session.get(SigningKey, signer.kid, with_for_update={"read": True})
    if known is None:
        # One at a time: two processes begin together after a change of keys.
        await session.get_one(House, 1, with_for_update=True)
        known = await session.get(SigningKey, signer.kid)
    if known is None:
        query = select(SigningKey).where(col(SigningKey.valid_until).is_(None))
        before = (await session.exec(query.with_for_update())).first()
        at = await instant(session)
        if before is not None:
            before.valid_until = at
        session.add(SigningKey(kid=signer.kid, public=signer.public, valid_from=at))
        await session.flush()
    elif known.valid_until is not None:
        raise KeyRetired(signer.kid)


async def keys_document(session: Session) -> dict[str, Any]:
    """Every key that signed for this service, oldest first, under the signature of today's."""
    await note_key(session)
    query = select(SigningKey).order_by(col(SigningKey.valid_from), col(SigningKey.kid))
    keys = [
        {
            "kid": key.kid,
            "alg": "Ed25519",
            "x": b64(key.public),
            "valid_from": format_instant(key.valid_from),
            "valid_until": format_instant(key.valid_until) if key.valid_until else None,
        }
        for key in (await session.exec(query)).all()
    ]
    signer = house(session).signer
    return {"keys": keys, "kid": signer.kid, "signature": signer.sign(canonical(keys)).hex()}


async def sign_checkpoint(session: Session) -> None:
    """Store a signed checkpoint of the heads, locked: checkpoints grow as their ids do.

    Raises:
        KeyRetired: as `note_key`.
    """
    await note_key(session)
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
