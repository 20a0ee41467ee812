"""Watches the board's changes once for all who look on: one listening connection a process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from gateway.holdings.reactions import CHANNEL
from gateway.streams.rules import Noticed, Place, Position, Shown
from marketkit.db import Database, Session, sql
from marketkit.errors import Busy
from marketkit.logs import log

T = TypeVar("T")

BACKLOG_MAX = WAITING_MAX = 1000
TURN_MAX = 500
WATCHERS_MAX = 2000
REMEMBERED_MAX = 5000
LOOK_EVERY_S = 0.5


async def here(session: Session, sources: Sequence[str]) -> Position:
    """How far the sources' events are applied now."""
    found = await sql(
        session,
        "SELECT source, partition, epoch, sequence FROM position "
        "WHERE source = ANY(CAST(:sources AS text[]))",
        sources=list(sources),
    )
    rows = found.all()
    return Position(
        {row.source: row.epoch for row in rows},
        {(row.source, row.partition): row.sequence for row in rows},
    )


# Of each partition apart: joined in one, every look would read all that ever changed.
_AFTER = """
SELECT c.source, c.partition, c.sequence, c.market, c.kind, c.sale_id, c.changed_at
FROM unnest(CAST(:sources AS text[])) s(source)
CROSS JOIN generate_series(0, 5) p(partition)
LEFT JOIN unnest(
    CAST(:told_sources AS text[]), CAST(:told_partitions AS int[]), CAST(:told AS bigint[])
) AS t(source, partition, sequence) ON t.source = s.source AND t.partition = p.partition
CROSS JOIN LATERAL (
    SELECT * FROM projection.change o WHERE (o.source, o.partition) = (s.source, p.partition)
    AND o.sequence > coalesce(t.sequence, 0) ORDER BY o.sequence LIMIT :limit) AS c
ORDER BY c.source, c.partition, c.sequence LIMIT :limit
"""
_AT = """
SELECT c.source, c.partition, c.sequence, c.market, c.kind, c.sale_id, c.changed_at
FROM unnest(
    CAST(:sources AS text[]), CAST(:partitions AS int[]), CAST(:sequences AS bigint[])
) AS t(source, partition, sequence)
JOIN projection.change c USING (source, partition, sequence)
ORDER BY c.source, c.partition, c.sequence
"""


async def changes_after(
    session: Session, sources: Sequence[str], position: Position, limit: int
) -> list[Shown]:
    """Changes whose events stand behind the position, each partition in its order."""
    told = list(position.sequences.items())
    found = await sql(
        session,
        _AFTER,
        sources=list(sources),
        told_sources=[source for (source, _), _ in told],
        told_partitions=[partition for (_, partition), _ in told],
        told=[sequence for _, sequence in told],
        limit=limit,
    )
    return [_shown(row) for row in found.all()]


async def changes_at(session: Session, places: Iterable[Place]) -> list[Shown]:
    """The changes of these events."""
    sources, partitions, sequences = map(list, zip(*places, strict=True))
    found = await sql(session, _AT, sources=sources, partitions=partitions, sequences=sequences)
    return [_shown(row) for row in found.all()]


def _shown(row: Any) -> Shown:
    return Shown(Place(*row[:3]), row.market, row.kind, row.sale_id, row.changed_at)


@dataclass(eq=False)
class _Watcher:
    """One who looks on. Who does not keep up is told to look at everything anew."""

    notices: asyncio.Queue[Noticed | None] = field(
        default_factory=lambda: asyncio.Queue(WAITING_MAX)
    )

    def offer(self, noticed: Noticed | None) -> None:
        if self.notices.full():
            while not self.notices.empty():
                self.notices.get_nowait()
            noticed = noticed and Noticed("reset", noticed.position)
        self.notices.put_nowait(noticed)


async def _waited(watcher: _Watcher, at: Position, pause_s: float) -> AsyncIterator[Noticed]:
    while True:
        try:
            noticed = await asyncio.wait_for(watcher.notices.get(), pause_s)
        except TimeoutError:
            noticed = Noticed("pause", at)
        if noticed is None:
            return
        at = noticed.position
        yield noticed


@dataclass
class Hub:
    """Looks at the database for all watchers; does nothing while there is none."""

    house: Database
    sources: Sequence[str]
    is_stopping: Callable[[], bool]
    _watchers: set[_Watcher] = field(default_factory=set)
    _at: Position = field(default_factory=lambda: Position({}, {}))
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _told: dict[Place, None] = field(default_factory=dict)
    _looking: "asyncio.Task[None] | None" = None

    @property
    def watcher_count(self) -> int:
        return len(self._watchers)

    def check_room(self) -> None:
        """Return if one more may watch.

        Raises:
            Busy: too many do, or the service is stopping.
        """
        if self.is_stopping() or len(self._watchers) >= WATCHERS_MAX:
            raise Busy()

    async def watch(self, since: Position | None, pause_s: float) -> AsyncIterator[Noticed]:
        """Where the watcher begins, what it missed since, then all that changes."""
        watcher = _Watcher()
        try:
            begun = await self._admit(watcher)
            yield Noticed("began", since or begun)
            for noticed in await self._missed(since, begun):
                yield noticed
            async for noticed in _waited(watcher, begun, pause_s):
                yield noticed
        finally:
            self._watchers.discard(watcher)

    async def _admit(self, watcher: _Watcher) -> Position:
        async with self._turn:
            if self._looking is None:
                self._at = await self._run(lambda s: here(s, self.sources))
                self._looking = asyncio.create_task(self._look_on())
            self._watchers.add(watcher)
            return self._at

    async def _missed(self, since: Position | None, begun: Position) -> list[Noticed]:
        if since is None:
            return []
        at, limit = since, BACKLOG_MAX + 1
        found = await self._run(lambda s: changes_after(s, self.sources, at, limit))
        if not since.lives_on_in(begun) or len(found) == limit:
            return [Noticed("reset", begun)]
        missed = []
        for shown in found:
            # What came after the watcher began is brought to it like to all others.
            if begun.has(shown.place):
                since = since.after(shown.place)
                missed.append(Noticed("change", since, shown))
        return missed

    async def _look_on(self) -> None:
        # Nothing is awaited between the last look at the watchers and forgetting the task.
        while self._watchers and not self.is_stopping():
            try:
                await self._listen()
            except (psycopg.Error, SQLAlchemyError, OSError) as error:
                log.warning("board_not_watched", reason=type(error).__name__)
                await asyncio.sleep(LOOK_EVERY_S)
        self._looking = None
        for watcher in self._watchers:
            watcher.offer(None)

    async def _listen(self) -> None:
        target = make_url(self.house.url).set(drivername="postgresql")
        connection = await psycopg.AsyncConnection.connect(
            target.render_as_string(hide_password=False),
            autocommit=True,
            connect_timeout=2,
            application_name=f"{self.house.source} {CHANNEL}",
            options="-c idle_session_timeout=30s",
        )
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            places: list[Place] = []
            while self._watchers and not self.is_stopping():
                await self._tell_new(places)
                await connection.execute("SELECT 1")
                places = [
                    Place.read(notice.payload)
                    async for notice in connection.notifies(timeout=LOOK_EVERY_S, stop_after=1)
                ]

    async def _tell_new(self, places: Sequence[Place]) -> None:
        async with self._turn:
            now, new = await self._run(self._now_and_new)
            self._begin_anew_in(now)
            # An event that was parked is applied late: it stands before where we are, yet untold.
            late = [one for one in places if self._at.has(one) and one not in self._told]
            if late:
                self._tell(await self._run(lambda s: changes_at(s, late)))
            self._tell([one for one in new if not self._at.has(one.place)])
            while len(new) == TURN_MAX:
                self._tell(new := (await self._run(self._now_and_new))[1])

    def _begin_anew_in(self, now: Position) -> None:
        # A source that was restored is read again from its beginning, and all others with it.
        if not self._at.lives_on_in(now):
            self._at = now
            self._told.clear()
            for watcher in self._watchers:
                watcher.offer(Noticed("reset", now))
        self._at = Position(now.epochs, self._at.sequences)

    async def _now_and_new(self, session: Session) -> tuple[Position, list[Shown]]:
        now = await here(session, self.sources)
        return now, await changes_after(session, self.sources, self._at, TURN_MAX)

    def _tell(self, shown: Sequence[Shown]) -> None:
        for one in shown:
            self._at = self._at.after(one.place)
            self._told[one.place] = None
            if len(self._told) > REMEMBERED_MAX:
                del self._told[next(iter(self._told))]
            for watcher in self._watchers:
                watcher.offer(Noticed("change", self._at, one))

    async def _run(self, look: Callable[[Session], Awaitable[T]]) -> T:
        return await self.house.run(look, "worker")
