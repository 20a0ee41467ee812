"""Actors that take turns, one statement each, in an order that a seed alone decides.

An actor is product code on a connection of its own. Before each statement, commit and rollback,
and before whatever else `pause` names, it stops at a gate until it is its turn; there it may also
end for ever (a crash), lose its connection (a cut), or stand still for a while (a zombie).
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from random import Random
from typing import Any

import psycopg
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

from marketkit.db import Database
from marketkit.feed import FeedDown
from marketkit.inbox import is_passing
from marketkit.kafka import WireDown

STEPS_MAX = 5_000
LOOK_AGAIN_S = 0.006
PATIENCE_S = 20.0

Life = Callable[[], Awaitable[None]]


class Crash(BaseException):
    """The actor's process ended here: nothing of it runs on, and its memory is gone."""


class StuckForEver(AssertionError):
    """Neither at a gate nor waiting for one of us: the order would not be the seed's."""


@dataclass(eq=False)
class Actor:
    """One life of one part; a new life is a new object, so the old one's code can do nothing."""

    name: str
    task: asyncio.Task[None] | None = None
    label: str = ""
    is_ready: Callable[[], bool] = lambda: True
    pid: int = 0
    is_dead: bool = False
    is_waiting: bool = False
    wakes_at: int = 0
    gate: asyncio.Future[str] | None = None
    settled: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    async def pause(self, label: str, is_ready: Callable[[], bool] | None = None) -> None:
        """Stand at the gate until it is our turn.

        Raises:
            Crash: we end here.
        """
        if self.is_dead:
            raise Crash(self.name)
        self.label, self.is_ready = label, is_ready or (lambda: True)
        self.gate = asyncio.get_running_loop().create_future()
        self.settle()
        fate = await self.gate
        if fate == "crash":
            raise Crash(self.name)

    def settle(self) -> None:
        if not self.settled.done():
            self.settled.set_result(None)


ACTING: ContextVar[Actor | None] = ContextVar("acting", default=None)


async def pause(label: str, is_ready: Callable[[], bool] | None = None) -> None:
    """A gate of the actor whose code this is; nothing where nobody schedules."""
    actor = ACTING.get()
    if actor is not None:
        await actor.pause(label, is_ready)


def watch(house: Database) -> Database:
    """Gates before all this house's connections do; none of the product's limits on waiting.

    The scheduler decides who waits for how long: it cancels statements itself.
    """
    engine = house.engine.sync_engine
    event.listen(engine, "connect", _unlimited)
    event.listen(engine, "before_cursor_execute", lambda c, _, statement, *__: stop(c, statement))
    event.listen(engine, "commit", lambda connection: stop(connection, "COMMIT"))
    event.listen(engine, "rollback", lambda connection: stop(connection, "ROLLBACK"))
    return house


def _unlimited(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        cursor.execute(f"SET {name} = 0")
    cursor.execute("SET synchronous_commit = off")
    cursor.close()
    connection.commit()


def stop(connection: Any, label: str) -> None:
    """The gate before a statement, on SQLAlchemy's side of the switch."""
    actor = ACTING.get()
    if actor is None or (actor.is_dead and label == "ROLLBACK"):
        return
    if not connection.invalidated:
        actor.pid = connection.connection.dbapi_connection.driver_connection.info.backend_pid
    try:
        await_only(actor.pause(label))
    except Crash:
        # Its backend is gone; what is left of it here must not serve another life.
        connection.invalidate()
        raise


@dataclass(frozen=True)
class Odds:
    """How often, of 1,000 turns, something befalls who has the turn."""

    crash: int = 0
    cut: int = 0
    freeze: int = 0
    cancel: int = 0


@dataclass
class Turns:
    """The scheduler: draws who is next and what befalls it, and keeps the trace of it."""

    monitor: psycopg.AsyncConnection[Any]
    draw: Random
    odds: Odds = Odds()
    # At the n-th gate of an actor of this name, once: (name, n, fate).
    planned: tuple[str, int, str] | None = None
    trace: list[str] = field(default_factory=list)
    is_over: bool = False
    actors: dict[str, Actor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    _lives: dict[str, Life] = field(default_factory=dict)

    def add(self, name: str, life: Life) -> None:
        self._lives[name] = life

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()

    async def run(self, until: Callable[[], bool]) -> None:
        """Turns until the condition holds; then each ends what it is at, undisturbed."""
        try:
            for name in self._lives:
                await self._begin(name)
            while not until():
                await self._turn()
            self.is_over = True
            while any(not self._has_ended(actor) for actor in self.actors.values()):
                await self._turn()
        finally:
            await self._abandon()

    async def _abandon(self) -> None:
        """End whatever has not, as a failure leaves it."""
        left = [actor for actor in self.actors.values() if not self._has_ended(actor)]
        for actor in left:
            actor.is_dead = True
            await self._terminate(actor)
            if actor.gate is not None and not actor.gate.done():
                actor.gate.set_result("crash")
        await asyncio.gather(*(actor.task for actor in left if actor.task), return_exceptions=True)

    async def _begin(self, name: str) -> None:
        actor = self.actors[name] = Actor(name)

        async def live() -> None:
            ACTING.set(actor)
            await actor.pause("begin")
            await self._lives[name]()

        actor.task = asyncio.create_task(live())
        actor.task.add_done_callback(lambda _: actor.settle())
        await self._settle(actor)

    def has_ended(self, name: str) -> bool:
        return self._has_ended(self.actors[name])

    def _has_ended(self, actor: Actor) -> bool:
        return actor.task is not None and actor.task.done()

    def _standing(self) -> Iterator[Actor]:
        for actor in self.actors.values():
            if not self._has_ended(actor) and not actor.is_waiting:
                yield actor

    async def _turn(self) -> None:
        assert len(self.trace) < STEPS_MAX, self.trace[-40:]
        standing = [actor for actor in self._standing() if actor.is_ready() or self.is_over]
        awake = [actor for actor in standing if actor.wakes_at <= len(self.trace)]
        chosen = awake or standing
        waiting = [actor for actor in self.actors.values() if actor.is_waiting]
        if waiting and (not chosen or self._falls(self.odds.cancel)):
            await self._cancel(self.draw.choice(waiting))
        elif not chosen:
            raise StuckForEver(self.trace[-40:])
        else:
            actor = self.draw.choice(chosen)
            await self._step(actor, self._fate(actor))

    def _falls(self, odds: int) -> bool:
        return not self.is_over and self.draw.randrange(1000) < odds

    def _fate(self, actor: Actor) -> str:
        self.counts[actor.name] = self.counts.get(actor.name, 0) + 1
        if self.planned is not None:
            name, number, fate = self.planned
            if name == actor.name and number == self.counts[name]:
                return fate
        drawn = self.draw.randrange(1000)
        if self.is_over:
            return "go"
        for fate in ("crash", "cut", "freeze"):
            if drawn < getattr(self.odds, fate):
                return fate
            drawn -= getattr(self.odds, fate)
        return "go"

    async def _step(self, actor: Actor, fate: str) -> None:
        self.trace.append(f"{actor.name}: {fate}: {actor.label}")
        if fate == "freeze":
            actor.wakes_at = len(self.trace) + self.draw.randrange(10, 80)
            return
        if fate in {"crash", "cut"}:
            actor.is_dead = fate == "crash"
            await self._terminate(actor)
        ends = fate != "go" or actor.label.startswith(("COMMIT", "ROLLBACK"))
        actor.settled = asyncio.get_running_loop().create_future()
        assert actor.gate is not None
        actor.gate.set_result(fate)
        await self._settle(actor)
        if ends or self._has_ended(actor):
            await self._settle_waiting()

    async def _settle(self, actor: Actor) -> None:
        """Return when the actor stands at its next gate, has ended, or waits for another's lock."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            if not actor.is_waiting:
                await _within(actor.settled, LOOK_AGAIN_S)
            if actor.settled.done():
                actor.is_waiting = False
                break
            is_waiting = await self._is_waiting(actor)
            if is_waiting:
                if not actor.is_waiting:
                    self.trace.append(f"{actor.name}: waits: {actor.label}")
                actor.is_waiting = True
                return
            if asyncio.get_running_loop().time() > deadline:
                raise StuckForEver(actor, self.trace[-40:])
            actor.is_waiting = False
        if self._has_ended(actor):
            await self._bury(actor)

    async def _settle_waiting(self) -> None:
        for actor in list(self.actors.values()):
            if actor.is_waiting:
                await self._settle(actor)

    async def _bury(self, actor: Actor) -> None:
        """What ended by a crash or a passing failure begins anew; any other failure is ours."""
        assert actor.task is not None
        error = actor.task.exception()
        if error is None:
            self.trace.append(f"{actor.name}: done")
            return
        if not actor.is_dead and not has_passed(error):
            raise error
        self.trace.append(f"{actor.name}: ended by {type(error).__name__}")
        actor.is_dead = True
        await self._begin(actor.name)

    async def _is_waiting(self, actor: Actor) -> bool:
        ours = [other.pid for other in self.actors.values() if other is not actor]
        found = await self.monitor.execute(
            "SELECT pg_blocking_pids(%s) && %s::int[]", (actor.pid, ours)
        )
        row = await found.fetchone()
        return bool(row and row[0])

    async def _cancel(self, actor: Actor) -> None:
        """The waiting statement is given up, as by its lock timeout."""
        self.trace.append(f"{actor.name}: cancel: {actor.label}")
        await self.monitor.execute("SELECT pg_cancel_backend(%s)", (actor.pid,))
        await _within(actor.settled, PATIENCE_S)
        await self._settle(actor)
        await self._settle_waiting()

    async def _terminate(self, actor: Actor) -> None:
        if actor.pid:
            await self.monitor.execute("SELECT pg_terminate_backend(%s, 5000)", (actor.pid,))
            actor.pid = 0

    def labels_of(self, name: str) -> Sequence[str]:
        """The gates an actor passed, in order."""
        lines = (line.split(": ", 2) for line in self.trace)
        return [line[2] for line in lines if line[0] == name and line[1] in {"go", "crash", "cut"}]


def has_passed(error: BaseException) -> bool:
    """What the product's supervisor begins again after."""
    if isinstance(error, WireDown | FeedDown):
        return True
    return isinstance(error, DBAPIError) and is_passing(error)


async def _within(settled: asyncio.Future[None], timeout_s: int | float) -> None:
    """Return when it has settled, or the time is up; cheaper than asyncio's own."""
    loop = asyncio.get_running_loop()
    news = loop.create_future()

    def tell(*_: object) -> None:
        if not news.done():
            news.set_result(None)

    settled.add_done_callback(tell)
    timer = loop.call_later(timeout_s, tell)
    try:
        await news
    finally:
        timer.cancel()
        settled.remove_done_callback(tell)
