"""What is done to the house: a schedule out of a seed, one JSON line for each thing done."""

import asyncio
import json
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from aiokafka.errors import KafkaError

from lab.brokers import Broker
from lab.findings import Findings
from lab.house import LabHouse
from lab.overload import bulk, cling, rush
from lab.probes import HotFreeze
from lab.proxy import TOXICS
from lab.wire import forge
from marketkit.outbox import PARTITIONS


@dataclass(frozen=True)
class Act:
    """One thing done to one part; `seconds` is how long it lasts, where it lasts."""

    what: str
    to: str = ""
    seconds: float = 0.0


async def _nothing() -> None: ...


# A sale's closing cannot be shown.
POISONED = (
    "CREATE OR REPLACE FUNCTION public.lab_poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "RAISE EXCEPTION 'poisoned' USING ERRCODE = '22000'; END $$",
    "CREATE OR REPLACE TRIGGER lab_poison BEFORE UPDATE ON projection.board_sale FOR EACH ROW "
    "WHEN (NEW.state = 'CLOSED' AND OLD.state <> 'CLOSED') EXECUTE FUNCTION public.lab_poison()",
)
HEALED = ("DROP TRIGGER IF EXISTS lab_poison ON projection.board_sale",)
TOXIC_S_MAX = 10.0


@dataclass
class Nemesis:
    """Carries a schedule out; what it did is counted, and stands in a file of its own."""

    house: LabHouse
    findings: Findings
    random: random.Random
    file: Path
    kills: dict[str, int] = field(default_factory=dict)
    harms: set[str] = field(default_factory=set)
    at: str = ""
    on_broker_fault: Callable[[], None] = lambda: None
    replay: Callable[[], Awaitable[None]] = _nothing

    async def run(self, schedule: list[Act], pause_s: float, until: float) -> None:
        """Take the acts in turn, a pause between, until the time is over or the list ends."""
        for act in schedule:
            if time.monotonic() > until:
                return
            await asyncio.sleep(pause_s * self.random.uniform(0.5, 1.5))
            await self.do(act)

    async def do(self, act: Act) -> None:
        self._note(act)
        self.findings.count(f"acts_{act.what}")
        actions: dict[str, Callable[[Act], Awaitable[None]]] = {
            "kill": self._kill,
            "term": self._term,
            "term-in-outage": self._term_in_outage,
            "pause": self._pause,
            "postgres-immediate": self._postgres_immediate,
            "postgres-freeze": self._postgres_freeze,
            "backends": self._backends,
            "broker-down": self._broker_down,
            "broker-kill": self._broker_kill,
            "broker-wipe": self._broker_wipe,
            "broker-errors": self._broker_errors,
            "toxic": self._toxic,
            "edge-down": self._edge_down,
            "rebuild": self._rebuild,
            "forge": self._forge,
            "poison": self._poison,
            "restore": self._restore,
            "hot-freeze": lambda act: HotFreeze(self.house, self.findings).once(act.to),
            "rush-8": lambda act: rush(self.house, self.findings, act.seconds, 8),
            "rush-24": lambda act: rush(self.house, self.findings, act.seconds, 24),
            "cling": lambda act: cling(self.house, self.findings, act.seconds),
            "bulk": lambda act: bulk(self.house, self.findings),
        }
        self.at = act.to if act.what == "pause" else ""
        try:
            await actions[act.what](act)
        except psycopg.OperationalError as error:
            self.findings.count("acts_missed")
            self._note(Act("missed", f"{act.what}: {type(error).__name__}"))
        finally:
            self.at = ""

    def _note(self, act: Act) -> None:
        said = {"at": round(time.time(), 3), "act": act.what, "to": act.to, "s": act.seconds}
        with self.file.open("a") as file:
            file.write(json.dumps(said) + "\n")

    async def _kill(self, act: Act) -> None:
        for name in act.to.split(","):
            if self.house.signal(name, signal.SIGKILL):
                self.kills[name] = self.kills.get(name, 0) + 1

    async def _term(self, act: Act) -> None:
        part = self.house.parts[act.to]
        starts, began = part.starts, time.monotonic()
        if part.signal(signal.SIGTERM):
            while part.starts == starts and time.monotonic() - began < 20:
                await asyncio.sleep(0.05)
            self.findings.count("terms")
            stopped_s = time.monotonic() - began
            longest = self.findings.figures.get("stop_s_max", 0.0)
            self.findings.figures["stop_s_max"] = round(max(longest, stopped_s), 1)
            if stopped_s > 10.0:
                self.findings.fault("G13", f"{act.to} took {stopped_s:.1f} s to stop")

    async def _term_in_outage(self, act: Act) -> None:
        """A part is told to stop while there is no broker at all."""
        outage = asyncio.create_task(self._broker_down(act))
        await asyncio.sleep(act.seconds / 4)
        await self._term(act)
        self.findings.count("terms_in_outage")
        await outage

    async def _pause(self, act: Act) -> None:
        if self.house.signal(act.to, signal.SIGSTOP):
            self.findings.count("pauses")
            await asyncio.sleep(act.seconds)
            self.house.signal(act.to, signal.SIGCONT)

    async def _postgres_immediate(self, act: Act) -> None:
        self.findings.count("postgres_stops", self.house.stop_postgres_at_once())

    async def _postgres_freeze(self, act: Act) -> None:
        self.findings.count("postgres_freezes", self.house.freeze_postgres())
        try:
            await asyncio.sleep(act.seconds)
        finally:
            self.house.thaw_postgres()

    async def _backends(self, act: Act) -> None:
        ended = await asyncio.to_thread(self.house.terminate_backends, act.to, 0.5)
        self.findings.count("backends_ended", ended)

    def _broker(self) -> Broker:
        self.on_broker_fault()
        assert self.house.broker is not None
        return self.house.broker

    async def _broker_kill(self, act: Act) -> None:
        if await self._broker().kill(self.random):
            self.kills["broker"] = self.kills.get("broker", 0) + 1

    async def _broker_wipe(self, act: Act) -> None:
        self.findings.count("broker_wipes", await self._broker().wipe())

    async def _broker_down(self, act: Act) -> None:
        done = await self._broker().down(act.seconds, self.random)
        self.findings.count("broker_downs", done)

    async def _broker_errors(self, act: Act) -> None:
        assert self.house.broker is not None
        self.findings.count("broker_errors", await self.house.broker.err(self.random))

    async def _toxic(self, act: Act) -> None:
        edge_name, _, names = act.to.partition(":")
        edge = self.house.edges[edge_name]
        harmed = edge.harmed
        edge.toxics[:] = [TOXICS[name] for name in names.split("+")]
        edge.cut()
        began_s = time.monotonic()
        await asyncio.sleep(act.seconds)
        # On a quiet edge few connections are made, and a toxic meets only some of them.
        while edge.harmed == harmed and time.monotonic() - began_s < TOXIC_S_MAX:
            await asyncio.sleep(0.1)
        edge.toxics.clear()
        edge.cut()
        if edge.harmed > harmed:
            self.harms.add(act.to)
        # On how many edges how many toxics met anybody, pairs of toxics left out.
        self.findings.figures["toxics_met"] = sum("+" not in harm for harm in self.harms)

    async def _edge_down(self, act: Act) -> None:
        edge = self.house.edges[act.to]
        edge.is_down = True
        edge.cut()
        try:
            await asyncio.sleep(act.seconds)
        finally:
            edge.is_down = False

    async def _forge(self, act: Act) -> None:
        try:
            await forge(self.house, self.random.randrange(PARTITIONS))
        except (KafkaError, TimeoutError, OSError):
            self.findings.count("acts_missed")

    async def _restore(self, act: Act) -> None:
        """As from a backup that lacks the last events: they are gone, others take their places."""

        def cut() -> None:
            with psycopg.connect(self.house.dsn("energy")) as connection:
                connection.execute("SET session_replication_role = replica")
                connection.execute(
                    "DELETE FROM log l USING partition_head h WHERE h.partition = l.partition "
                    "AND l.sequence > greatest(h.sequence - 5, 1)"
                )
                connection.execute(
                    "UPDATE partition_head h SET sequence = l.sequence, chain = l.chain "
                    "FROM log l WHERE l.partition = h.partition AND l.sequence = "
                    "(SELECT max(sequence) FROM log WHERE partition = h.partition)"
                )

        await asyncio.to_thread(cut)

    async def _poison(self, act: Act) -> None:
        """One kind of event of every sale cannot be shown for a while; then two replay it."""
        for statement in POISONED:
            await asyncio.to_thread(self._change, statement)
        until = time.monotonic() + act.seconds
        while time.monotonic() < until and not await asyncio.to_thread(self._has_later_events):
            await asyncio.sleep(0.5)
        await asyncio.sleep(2.0)
        for statement in HEALED:
            await asyncio.to_thread(self._change, statement)
        await self.replay()

    def _has_later_events(self) -> bool:
        """Whether more was told of an aggregate of which something is parked."""
        parked = self.house.rows("gateway", "SELECT partition, sequence, key FROM parked")
        told = self.house.rows("energy", "SELECT partition, sequence, key FROM log")
        self.findings.count("parked_seen", len(parked))
        return any(
            (partition, key) == (at, of) and later > sequence
            for partition, sequence, key in parked
            for at, later, of in told
        )

    def _change(self, statement: str) -> None:
        with psycopg.connect(self.house.dsn("gateway"), autocommit=True) as connection:
            connection.execute(b"SET lock_timeout = '3s'")
            connection.execute(statement.encode())

    async def _rebuild(self, act: Act) -> None:
        """Raise the owner's epoch, as after a restore: readers drop all they have and read anew."""

        def raise_epoch() -> None:
            with psycopg.connect(self.house.dsn("energy")) as connection:
                connection.execute("SET lock_timeout = '3s'")
                connection.execute("UPDATE house SET epoch = epoch + 1")

        await asyncio.to_thread(raise_epoch)
