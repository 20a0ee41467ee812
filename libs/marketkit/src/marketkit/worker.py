"""What runs beside the requests: sequencer, relay, readers, clock, each supervised apart."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import psycopg
from prometheus_client import Counter, Gauge
from sqlalchemy.engine import make_url

from marketkit.checkpoint import sign_checkpoint
from marketkit.closings import Books, check_ledger
from marketkit.db import Database, Session, sql
from marketkit.feed import FeedDown
from marketkit.kafka import Wire, WireDown, producing
from marketkit.logs import log
from marketkit.outbox import SEQUENCE_BATCH, UNCUT_BYTES_MAX, note_sent, sequence, unsent

RESTARTS = Counter("yaosu_task_restarts_total", "Loops that failed and began again", ["task"])
UNSEQUENCED = Gauge("yaosu_outbox_unsequenced", "Hundreds of events without a place in the log")
OLDEST_UNSENT = Gauge(
    "yaosu_outbox_oldest_unsent_seconds", "Whole seconds since the relay had nothing left to send"
)
CLOCK_OFFSET = Gauge("yaosu_clock_offset_seconds", "The service's clock, ahead of the database's")
UNSENT = Gauge("yaosu_outbox_unsent", "Hundreds of events not sent yet")
UNSENDABLE = Counter("yaosu_outbox_unsendable_total", "Events the broker can never take")

BACKOFF_S_MAX = 5.0
RELAY_LOCK = 7_370_501
RELAY_BATCH = 200
RELAY_PAUSE_S = 0.025
CHECKPOINT_EVERY_S = 60.0
LEDGER_CHECK_EVERY_S = 10.0

Tick = Callable[[Session], Awaitable[object]]


@dataclass(frozen=True)
class Loop:
    """Something done for ever; when it fails it begins again, a little later each time."""

    name: str
    forever: Callable[[], Awaitable[None]]

    async def supervised(self) -> None:
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self.forever()
            except asyncio.CancelledError as error:  # ours, or a stopped client's own fetch's
                if (me := asyncio.current_task()) is None or me.cancelling():
                    raise
                log.error("task_failed", task=self.name, exc_info=error)
            except (WireDown, FeedDown) as error:
                log.warning("task_waits", task=self.name, reason=str(error))
            except Exception as error:  # the one place: a loop outlives whatever befalls it
                log.error("task_failed", task=self.name, exc_info=error)
            RESTARTS.labels(self.name).inc()
            lasted = asyncio.get_running_loop().time() - began
            failures = 0 if lasted > 10 else failures + 1
            await asyncio.sleep(pause_s(failures))


def pause_s(failures: int) -> float:
    """How long a loop waits after so many failures in a row."""
    # A power without a bound is too large for a float after an hour and a half without a broker.
    return min(0.1 * (1 << min(failures, 10)), BACKOFF_S_MAX)


@dataclass
class Bells:
    """Rung by PostgreSQL when the outbox or the log has something new; a second at the latest."""

    house: Database
    outbox: asyncio.Event = field(default_factory=asyncio.Event)
    log: asyncio.Event = field(default_factory=asyncio.Event)
    is_relay: bool = False
    level_at_s: float = 0.0

    def behind_s(self) -> int:
        """Since when something may be unsent, in whole seconds; 0 where another process relays.

        It rises with a broker out of reach whether or not anything waits: no bid shows in it.
        """
        return int(time.monotonic() - self.level_at_s) if self.is_relay else 0

    async def listen(self) -> None:
        """Hold one connection to be woken by, and on it the relay's lease."""
        target = make_url(self.house.url).set(drivername="postgresql")
        # Whoever stops breathing loses the connection, and with it the lease.
        connection = await psycopg.AsyncConnection.connect(
            target.render_as_string(hide_password=False),
            autocommit=True,
            options="-c idle_session_timeout=5s",
        )
        async with connection:
            for channel in ("outbox", "log"):
                await connection.execute(f"LISTEN {channel}")
            while True:
                if not self.is_relay:
                    cursor = await connection.execute(f"SELECT pg_try_advisory_lock({RELAY_LOCK})")
                    row = await cursor.fetchone()
                    self.level_at_s = time.monotonic()
                    self.is_relay = bool(row and row[0])
                await connection.execute("SELECT 1")
                self.outbox.set()
                self.log.set()
                async for notice in connection.notifies(timeout=1.0):
                    (self.outbox if notice.channel == "outbox" else self.log).set()

    async def listen_safely(self) -> None:
        try:
            await self.listen()
        finally:
            self.is_relay = False


async def sequence_once(house: Database) -> int:
    """One turn of the sequencer; a step of a sale is sealed in the same transaction."""

    async def turn(session: Session) -> int:
        moved = await sequence(session)
        if moved.has_step:
            await sign_checkpoint(session)
        return moved.event_count

    return await house.run(turn, "worker")


async def sequence_forever(house: Database, bells: Bells) -> None:
    while True:
        await bells.outbox.wait()
        bells.outbox.clear()
        # Who tells more meanwhile rings again, and a turn that its bytes ended does for the rest.
        while await sequence_once(house) == SEQUENCE_BATCH:
            pass


async def relay_once(house: Database, wire: Wire) -> bool:
    """One turn of the relay: read what is unsent, send it, note the broker's word; is there more.

    Whoever ends between the sending and the noting sends again: duplicates are free, losses not.
    """
    events = await house.run(lambda session: unsent(session, RELAY_BATCH), "worker")
    UNSENT.set(in_hundreds(len(events)))
    if not events:
        return False
    unsendable = await wire.send(events)
    UNSENDABLE.inc(len(unsendable))
    reached = {event.partition: event.sequence for event in events}
    await house.run(lambda session: note_sent(session, reached), "worker")
    if len(events) >= RELAY_BATCH or sum(len(one.event) for one in events) > UNCUT_BYTES_MAX:
        return True
    UNSENT.set(0)
    return False


async def relay_forever(
    house: Database, bells: Bells, servers: str, topic: str, mac_key: bytes
) -> None:
    """Send the log in order while the relay's lease is ours."""
    async with producing(servers, topic, mac_key) as wire:
        while True:
            await bells.log.wait()
            bells.log.clear()
            while bells.is_relay:
                if not await relay_once(house, wire):
                    bells.level_at_s = time.monotonic()
                    break
            # What comes meanwhile goes together: readers turn as often as the relay does.
            await asyncio.sleep(RELAY_PAUSE_S)


async def clock_forever(house: Database, ticks: Sequence[Tick]) -> None:
    """Tell what has fallen due; nothing is decided here, commands judge their deadlines."""
    while True:
        for tick in ticks:
            await house.run(tick, "worker")
        await asyncio.sleep(0.5)


async def watch_forever(house: Database) -> None:
    """Measure, sign and check the books; what falls due and cannot be told stops none of it."""
    now = asyncio.get_running_loop().time
    checkpoint_due = ledger_due = now()
    books = Books(house)
    while True:
        await house.run(measure, "worker")
        if now() >= checkpoint_due:
            await house.run(sign_checkpoint, "worker")
            checkpoint_due = now() + CHECKPOINT_EVERY_S
        if now() >= ledger_due:
            await check_ledger(books)
            ledger_due = now() + LEDGER_CHECK_EVERY_S
        await asyncio.sleep(0.5)


def in_hundreds(event_count: int) -> int:
    """A backlog as metrics show it: in whole hundreds, so that it counts nobody's few bids."""
    return event_count // 100 * 100


async def measure(session: Session) -> None:
    """Show how much waits for its place, and how far the clock was moved."""
    asked = (
        "SELECT (SELECT count(*) FROM (SELECT FROM outbox LIMIT 100000) AS few) AS waiting, "
        "extract(epoch FROM clock_offset) AS offset_s FROM house"
    )
    row = (await sql(session, asked)).one()
    UNSEQUENCED.set(in_hundreds(row.waiting))
    CLOCK_OFFSET.set(row.offset_s)


def standard_loops(
    house: Database, servers: str, topic: str, mac_key: bytes, ticks: Sequence[Tick] = ()
) -> list[Loop]:
    """What every service's worker runs."""
    bells = Bells(house)
    OLDEST_UNSENT.set_function(bells.behind_s)
    return [
        Loop("bells", bells.listen_safely),
        Loop("sequencer", lambda: sequence_forever(house, bells)),
        Loop("relay", lambda: relay_forever(house, bells, servers, topic, mac_key)),
        Loop("clock", lambda: clock_forever(house, ticks)),
        Loop("watch", lambda: watch_forever(house)),
    ]


async def run(loops: Sequence[Loop], stop: asyncio.Event) -> None:
    """Run the loops until told to stop; then end them, in at most five seconds."""
    tasks = [asyncio.create_task(loop.supervised(), name=loop.name) for loop in loops]
    await stop.wait()
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=5)
