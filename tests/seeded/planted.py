"""Faults that real systems had, each put in the place of one of the product's steps.

They are copies of the product's steps with one care left out; with none left out they are right,
which a test shows first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import delete, insert
from sqlmodel import col, select

from builders import MAC_KEY
from marketkit.answers import StoredAnswer
from marketkit.batch import Answer, Command, Hot, Verdict, execute
from marketkit.db import Database, Session, new_id
from marketkit.inbox import Position, Taken, positions_of
from marketkit.outbox import PARTITIONS, Log, Outbox, Placed, heads_of
from marketkit.reactions import Reactions
from marketkit.reader import Reader
from marketkit.signing import chain_after, partition_of, same
from seeded.desk import HOT, Order, OrderRefused, carry_out
from seeded.play import Product, answered

BATCH = 500


@dataclass
class CarelessSequencer:
    """The sequencer; `without` the heads' lock, or by a cursor over ids."""

    without: str = ""
    cursor: int = 0

    async def __call__(self, house: Database) -> int:
        return await house.run(self._turn, "worker")

    async def _turn(self, session: Session) -> int:
        heads = await heads_of(session, lock=self.without != "lock")
        query = select(Outbox).order_by(col(Outbox.id)).limit(BATCH)
        if self.without == "outbox":
            query = query.where(col(Outbox.id) > self.cursor)
        waiting = list((await session.exec(query)).all())
        for told in waiting:
            head = heads[partition_of(told.key, PARTITIONS)]
            head.sequence, head.chain = head.sequence + 1, chain_after(head.chain, told.event)
            place = {"partition": head.partition, "sequence": head.sequence, "chain": head.chain}
            await session.exec(insert(Log).values(key=told.key, event=told.event, **place))
            self.cursor = max(self.cursor, told.id or 0)
        ids = [told.id for told in waiting]
        await session.exec(delete(Outbox).where(col(Outbox.id).in_(ids)))
        return len(waiting)


class CarelessReader(Reader):
    """The reader, `without` one of its checks."""

    without = ""

    async def _take(self, events: Sequence[tuple[Placed, bytes]]) -> dict[int, Taken]:
        numbers = sorted({event.partition for event, _ in events})
        return {
            number: await self._take_of([pair for pair in events if pair[0].partition == number])
            for number in numbers
        }

    async def _take_of(self, events: Sequence[tuple[Placed, bytes]]) -> Taken:
        if self.without == "one transaction":
            nothing = Reactions(self.reactions.projection)
            taken = await self.house.run(lambda s: self._take_in(s, nothing, events), "worker")
            await self.house.run(
                lambda s: self.reactions.apply(
                    s, [event for event, _ in events][: taken.applied_count]
                ),
                "worker",
            )
            return taken
        return await self.house.run(lambda s: self._take_in(s, self.reactions, events), "worker")

    async def _take_in(
        self, session: Session, reactions: Reactions, events: Sequence[tuple[Placed, bytes]]
    ) -> Taken:
        position = await self._position(session, events[0][0])
        applied, upto = 0, (0, 0)
        for event, mac in sorted(events, key=lambda pair: pair[0].sequence):
            if not self._is_believed(position, event, mac):
                continue
            upto = event.epoch, event.sequence
            if self.without != "position" and event.sequence <= position.sequence:
                continue
            if self.without != "hole" and event.sequence > position.sequence + 1:
                return Taken(applied, has_hole=True)
            if not self._continues(position, event):
                return Taken(applied, is_broken_chain=True)
            await reactions.apply(session, [event])
            position.sequence, position.chain = event.sequence, event.chain
            applied += 1
        await session.flush()
        return Taken(applied, upto=upto)

    async def _position(self, session: Session, event: Placed) -> Position:
        is_locked, among = self.without != "lock", [event.partition]
        return (await positions_of(session, event.source, among, lock=is_locked))[event.partition]

    def _is_believed(self, position: Position, event: Placed, mac: bytes) -> bool:
        has_mac = self.without == "mac" or same(mac, event.mac(MAC_KEY))
        return has_mac and (self.without == "epoch" or event.epoch == position.epoch)

    def _continues(self, position: Position, event: Placed) -> bool:
        # Who does not compare places or fills holes by skipping cannot hold the chain either.
        if self.without in {"chain", "position", "hole"}:
            return True
        return chain_after(position.chain, event.event) == event.chain


def careless(without: str) -> type[CarelessReader]:
    return type(f"ReaderWithout{without.title()}", (CarelessReader,), {"without": without})


async def key_apart(
    house: Database, commands: Sequence[Command[Order]], hot: Hot[Order, Order]
) -> list[Answer]:
    """The keys stored after the effect, in a transaction of their own."""
    kept: list[dict[str, Any]] = []

    async def effect(session: Session) -> list[Answer]:
        answers = await execute(session, commands, hot)
        mine = [command.key for command in commands]
        found = await session.exec(select(StoredAnswer).where(col(StoredAnswer.key).in_(mine)))
        kept.extend(row.model_dump() for row in found.all())
        await session.exec(delete(StoredAnswer).where(col(StoredAnswer.key).in_(mine)))
        return answers

    async def keep(session: Session) -> None:
        if kept:
            await session.exec(insert(StoredAnswer), params=kept)

    answers = await house.run(effect)
    await house.run(keep)
    return answers


async def without_keys(
    house: Database, commands: Sequence[Command[Order]], hot: Hot[Order, Order]
) -> list[Answer]:
    """Keys not looked at: whatever comes is carried out."""
    fresh = [replace(command, key=new_id()) for command in commands]
    return await answered(house, fresh, hot)


async def _keeps_what_it_refused(session: Session, orders: Sequence[Order]) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for order in orders:
        done: Verdict
        try:
            done = await carry_out(session, order)
        except OrderRefused as refusal:
            done = refusal
        verdicts.append(done)
    return verdicts


PLANTED: dict[str, Product] = {
    "cursor by id": Product(sequence_once=CarelessSequencer("outbox")),
    "two sequencers without the heads' lock": Product(sequence_once=CarelessSequencer("lock")),
    "position not locked": Product(reader=careless("lock")),
    "position not compared": Product(reader=careless("position")),
    "position moved before its events": Product(reader=careless("one transaction")),
    "a hole skipped": Product(reader=careless("hole")),
    "a forged record believed": Product(reader=careless("mac")),
    "a broken chain believed": Product(reader=careless("chain")),
    "an earlier life believed": Product(reader=careless("epoch")),
    "key stored outside the transaction": Product(answered=key_apart),
    "dedupe removed": Product(answered=without_keys),
    "a refusal that keeps its partial writes": Product(hot=Hot(HOT.lock, _keeps_what_it_refused)),
}
CONTROL = Product(sequence_once=CarelessSequencer(), reader=careless(""))
