"""Reads other services' logs: hints from the wire, the sure way by the feed, always compared."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from prometheus_client import Gauge
from sqlalchemy import LargeBinary
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import Field, col, func, select

from marketkit.checkpoint import Statement, statement_of
from marketkit.db import Database, KitTable, Minor, Session, sqlstate
from marketkit.feed import RANGE_MAX, Feed, FeedDown, Heads, SignedBody
from marketkit.inbox import (
    FORKED,
    PARKED,
    POISON,
    Carried,
    Parked,
    Position,
    Taken,
    is_passing,
    mark_forked,
    positions_of,
    rebuild,
    retry_parked,
    take_in,
)
from marketkit.kafka import Hint, listening
from marketkit.logs import log
from marketkit.outbox import Placed
from marketkit.reactions import Reactions
from marketkit.signing import chain_after, verify
from marketkit.worker import Loop, in_hundreds

LAG = Gauge("yaosu_inbox_lag_events", "Hundreds of events not read yet", ["source"])
LOCKED = "55P03"
COMPARE_EVERY_S = 2.0
# The wire, when it brings more at all, brings it within this.
WIRE_PAUSE_S = 1.0
GAP_MAX = 10_000


class SourceCheckpoint(KitTable, table=True):
    """An owner's signed checkpoint, kept so that a later rewrite of its log shows."""

    source: str = Field(primary_key=True)
    id: int = Field(primary_key=True, sa_type=Minor)
    body: bytes = Field(sa_type=LargeBinary)
    kid: str
    signature: bytes = Field(sa_type=LargeBinary)


@dataclass
class Reader:
    """Applies one source's facts. Start, heal and rebuild are one thing: follow the feed."""

    house: Database
    feed: Feed
    reactions: Reactions
    mac_key: bytes
    # By kid, the keys by which the owner's checkpoints are believed.
    trusted: Mapping[str, bytes]
    _former: Mapping[str, bytes] = field(default_factory=dict)
    # One at a time takes a partition's events: two would wait for each other's row and give up.
    _turns: dict[int, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _wire_upto: dict[int, tuple[int, int]] = field(default_factory=dict)
    _brought_s: dict[int, float] = field(default_factory=dict)

    async def on_hints(self, hints: Sequence[Hint]) -> None:
        """Apply what the wire brought if it fits; else ask the owner."""
        events = [found for hint in hints if (found := self._read(hint)) is not None]
        if not events:
            return
        for partition, taken in (await self._take(events)).items():
            if taken.has_hole or taken.is_broken_chain:
                await self._heal(partition)
            elif taken.upto > self._wire_upto.get(partition, (0, 0)):
                # Even if the feed was first: else it would go on, and the wire always come second.
                self._wire_upto[partition] = taken.upto
                self._brought_s[partition] = time.monotonic()

    async def _heal(self, partition: int) -> None:
        try:
            await self.follow(partition)
        except FeedDown as error:
            # What other sources' records bring must not wait for this one; compare() goes on.
            log.warning("hole_left", source=self.feed.source, reason=str(error))

    def _read(self, hint: Hint) -> tuple[Placed, bytes] | None:
        # Values may be missing, whatever their type says.
        headers = {name: value or b"" for name, value in hint.headers}
        try:
            event = Placed(
                self.feed.source,
                hint.partition,
                int(headers["epoch"]),
                int(headers["sequence"]),
                headers["chain"],
                hint.value or b"",
            )
            return event, headers["mac"]
        except (KeyError, ValueError):
            return None

    async def _take(self, events: Carried) -> dict[int, Taken]:
        """What became of each partition's; empty if another process is at these rows."""
        async with AsyncExitStack() as turns:
            for partition in sorted({event.partition for event, _ in events}):
                await turns.enter_async_context(self._turns[partition])
            try:
                return await self._apply(events)
            except POISON as error:
                if sqlstate(error) != LOCKED:
                    raise
                # What it does not bring, our next look will; to fail and rest is to meet again.
                log.info("left_to_another", source=self.feed.source)
                return {}

    async def _apply(self, events: Carried, *, singly: bool = False) -> dict[int, Taken]:
        try:
            return await self.house.run(
                lambda to: take_in(to, self.reactions, events, self.mac_key, singly=singly),
                "worker",
            )
        except POISON as error:
            if singly or is_passing(error):
                raise
            reason = type(error).__name__
        log.warning("batch_taken_singly", source=self.feed.source, reason=reason)
        return await self._apply(events, singly=True)

    async def follow(self, partition: int, *, trusts_wire: bool = False) -> None:
        """Fetch from the position on until there is no more; stop the source if it contradicts."""
        while not (trusts_wire and self._is_brought(partition)):
            positions = await self._positions()
            position = positions[partition]
            events = await self.feed.events(partition, position.sequence + 1)
            if not events or position.is_forked or events[0][0].epoch != position.epoch:
                return  # compare() judges epochs
            taken = (await self._take(events)).get(partition, Taken(0))
            if taken.is_broken_chain:
                await self._fork()
            if not taken.applied_count:
                return

    async def compare(self, *, trusts_wire: bool = False) -> None:
        """Hold the owner's heads against our positions: follow, rebuild, or stop the source.

        Args:
            trusts_wire: Do not fetch what the wire is just bringing; the next time will.
        """
        # Positions first: they are never ahead of heads asked for later.
        positions = await self._positions()
        kept = await self._last_kept()
        heads = await self.feed.heads()
        behind = sum(
            max(0, heads.by_partition[n].sequence - at.sequence) for n, at in positions.items()
        )
        LAG.labels(self.feed.source).set(in_hundreds(behind))
        epoch = positions[0].epoch
        if heads.epoch > epoch:
            log.warning("source_epoch_raised", source=self.feed.source, epoch=heads.epoch)
            await self.house.run(
                lambda session: rebuild(session, self.reactions, self.feed.source, heads.epoch),
                "worker",
            )
        elif (
            heads.epoch < epoch
            or any(_contradicts(heads, number, at) for number, at in positions.items())
            or _is_cut(heads, kept)
        ):
            await self._fork()
        positions = await self._positions()
        FORKED.labels(self.feed.source).set(any(at.is_forked for at in positions.values()))
        for number, at in positions.items():
            is_behind = heads.by_partition[number].sequence > at.sequence
            if is_behind and not at.is_forked:
                await self.follow(number, trusts_wire=trusts_wire)
        if not any(at.is_forked for at in positions.values()):
            await self._keep_checkpoints(kept)

    def _is_brought(self, partition: int) -> bool:
        return time.monotonic() - self._brought_s.get(partition, 0.0) < WIRE_PAUSE_S

    async def _positions(self) -> dict[int, Position]:
        return await self.house.run(
            lambda session: positions_of(session, self.feed.source, lock=False), "worker"
        )

    async def _fork(self) -> None:
        log.error("source_forked", source=self.feed.source)
        await self.house.run(lambda session: mark_forked(session, self.feed.source), "worker")

    async def _last_kept(self) -> SourceCheckpoint | None:
        query = select(SourceCheckpoint).where(SourceCheckpoint.source == self.feed.source)
        query = query.order_by(col(SourceCheckpoint.id).desc()).limit(1)

        async def last(session: Session) -> SourceCheckpoint | None:
            return (await session.exec(query)).first()

        return await self.house.run(last, "worker")

    async def _keep_checkpoints(self, last: SourceCheckpoint | None) -> None:
        """Keep what the owner signed since; stop the source if it contradicts itself or us."""
        first = before = statement_of(last.body) if last else None
        doubt, page = "", list[SignedBody]()
        async for signed in self.feed.checkpoints(last.id if last else 0):
            if doubt := await self._doubt(signed, before):
                break
            before = statement_of(signed.body)
            page.append(signed)
            if len(page) == RANGE_MAX:
                await self._keep(page)
                page.clear()
        await self._keep(page)
        if not doubt and before and before is not first:
            doubt = "" if await self._lies_on_our_chains(before) else "chain"
        if doubt:
            log.error("checkpoint_not_believed", source=self.feed.source, reason=doubt)
            await self._fork()

    async def _keep(self, page: Sequence[SignedBody]) -> None:
        rows = [{"source": self.feed.source, **signed._asdict()} for signed in page]
        keep = upsert(SourceCheckpoint).on_conflict_do_nothing()
        if rows:
            await self.house.run(lambda session: session.exec(keep, params=rows), "worker")

    async def _doubt(self, signed: SignedBody, before: Statement | None) -> str:
        """Why a checkpoint is not believed; empty if it is."""
        if signed.kid not in self.trusted and signed.kid not in self._former:
            self._former = await self.feed.keys(self.trusted)
        public = self.trusted.get(signed.kid) or self._former.get(signed.kid)
        if public is None or not verify(public, signed.body, signed.signature):
            return "signature"
        said = statement_of(signed.body)
        if said.source != self.feed.source:
            return "source"
        return "" if before is None or said.follows(before) else "rolled back"

    async def _lies_on_our_chains(self, signed: Statement) -> bool:
        """Whether what was applied continues what the owner signed; what is ahead of us waits."""
        for number, at in (await self._positions()).items():
            sequence, chain = signed.heads[number]
            gap = at.sequence - sequence
            is_near = at.epoch == signed.epoch and 0 <= gap <= GAP_MAX
            if is_near and not await self._leads_to(number, sequence, chain, at):
                return False
        return True

    async def _leads_to(self, partition: int, sequence: int, chain: bytes, at: Position) -> bool:
        # A digest has one past: if the owner's events lead from there to ours, it lies on ours.
        while sequence < at.sequence:
            events = await self.feed.events(partition, sequence + 1)
            for placed, _ in events[: at.sequence - sequence]:
                chain, sequence = chain_after(chain, placed.event), sequence + 1
            if not events:
                return False
        return chain == at.chain

    async def retry_waiting(self) -> int:
        """Try again what waited for another aggregate; answer how many were applied."""

        async def retry(session: Session) -> tuple[int, int]:
            waiting = func.count().filter(col(Parked.verdict) == "WAITING")
            query = select(func.count(), waiting).where(Parked.source == self.feed.source)
            parked, waiting_count = (await session.exec(query)).one()
            # What is broken waits for a person; to look through it takes the rows that others read.
            if not waiting_count:
                return 0, parked
            done = await retry_parked(session, self.reactions, self.feed.source, "WAITING")
            return done, parked - done

        done, left = await self.house.run(retry, "worker")
        PARKED.labels(self.feed.source).set(left)
        return done

    async def compare_forever(self) -> None:
        while True:
            await self.compare(trusts_wire=True)
            await self.retry_waiting()
            await asyncio.sleep(COMPARE_EVERY_S)


def _contradicts(heads: Heads, partition: int, at: Position) -> bool:
    head = heads.by_partition[partition]
    return head.sequence < at.sequence or (
        head.sequence == at.sequence and head.chain != at.chain and at.sequence > 0
    )


def _is_cut(heads: Heads, kept: SourceCheckpoint | None) -> bool:
    """Whether the owner has less than it once signed in this life."""
    signed = statement_of(kept.body) if kept else None
    if signed is None or signed.epoch != heads.epoch:
        return False
    return any(heads.by_partition[n].sequence < said for n, (said, _) in signed.heads.items())


async def listen_forever(servers: str, readers: Sequence[Reader]) -> None:
    """Bring the wire's records to their readers."""
    by_topic = {reader.feed.topic: reader for reader in readers}
    async with listening(servers, list(by_topic)) as listener:
        while True:
            hints = await listener.hints(1.0)
            for topic, reader in by_topic.items():
                found = [hint for hint in hints if hint.topic == topic]
                if found:
                    await reader.on_hints(found)


def reader_loops(servers: str, readers: Sequence[Reader]) -> list[Loop]:
    """What a worker runs to read other services."""
    looking = [Loop(f"reader {one.feed.source}", one.compare_forever) for one in readers]
    return [Loop("listener", lambda: listen_forever(servers, readers)), *looking]
