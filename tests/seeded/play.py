"""One seed: writers, sequencers, relays and readers in one order of turns, and what must be true.

The same seed gives the same order of statements: whatever fails once fails again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError

from builders import MAC_KEY
from marketkit.batch import Answer, Command, Hot, execute
from marketkit.db import Database
from marketkit.feed import Feed
from marketkit.inbox import is_passing
from marketkit.kafka import Wire
from marketkit.reactions import Reactions
from marketkit.reader import Reader
from marketkit.worker import relay_once, sequence_once
from seeded.bad_wire import TOPIC, BadWire, OwnerInReach, Weather
from seeded.desk import HOT, KEYS, Order, clear, command, seeing
from seeded.turns import Odds, Turns, pause

WRITERS, SEQUENCERS, RELAYS, READERS = 2, 2, 2, 2
COMPARED_ONE_TURN_IN = 4
PARTS = [
    *(f"writer-{n}" for n in range(WRITERS)),
    *(f"sequencer-{n}" for n in range(SEQUENCERS)),
    *(f"relay-{n}" for n in range(RELAYS)),
    *(f"reader-{n}" for n in range(READERS)),
]
LATER = {b"IDEMPOTENCY_KEY_IN_FLIGHT", b"BUSY"}


async def answered(
    house: Database, commands: Sequence[Command[Order]], hot: Hot[Order, Order]
) -> list[Answer]:
    """A list of commands as a service carries it out: one transaction, committed, answered."""
    return await house.run(lambda session: execute(session, commands, hot))


@dataclass(frozen=True)
class Product:
    """The product's own steps. Who plants a fault puts another in the place of one."""

    answered: Any = answered
    hot: Hot[Order, Order] = HOT
    sequence_once: Any = sequence_once
    relay_once: Any = relay_once
    reader: Any = Reader
    reactions: Reactions = field(default_factory=seeing)


@dataclass
class Play:
    """The parts of one seed at work on one database, and what clients were answered."""

    houses: dict[str, Database]
    turns: Turns
    wire: BadWire
    product: Product = field(default_factory=Product)
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    rung: set[str] = field(default_factory=set)

    @property
    def house(self) -> Database:
        return self.houses["main"]

    def reader(self, name: str) -> Reader:
        house = self.houses[name]
        feed = Feed(house.source, TOPIC, "http://owner", lambda: "", OwnerInReach(house, self.wire))
        reader: Reader = self.product.reader(
            house, feed, self.product.reactions, MAC_KEY, {house.signer.kid: house.signer.public}
        )
        return reader

    async def writer(self, name: str, batches: list[list[Order]]) -> None:
        """A client: sends each batch until every order in it has an answer, then is done."""
        while batches:
            try:
                commands = [command(order) for order in batches[0]]
                answers = await self.product.answered(self.houses[name], commands, self.product.hot)
            except DBAPIError as error:
                if not is_passing(error):
                    raise
                continue
            await pause("answer")
            self._ring("sequencer")
            batches[0] = [
                order
                for order, answer in zip(batches[0], answers, strict=True)
                if not self._keep(order, answer)
            ]
            if not batches[0]:
                batches.pop(0)

    def _keep(self, order: Order, answer: Answer) -> bool:
        """Whether the answer is one: told to come later, the client asks again."""
        if answer.status != 201 and any(code in answer.body for code in LATER):
            return False
        self.answers.setdefault(order.id, []).append(answer)
        return True

    def _ring(self, kind: str) -> None:
        """Wake one of the two, or both: whoever comes late finds nothing to do."""
        both = [name for name in PARTS if name.startswith(kind)]
        self.rung |= set(
            both if self.turns.draw.randrange(4) == 0 else [self.turns.draw.choice(both)]
        )

    async def _bell(self, name: str) -> None:
        await pause("bell", lambda: name in self.rung)
        self.rung.discard(name)

    async def sequencer(self, name: str) -> None:
        self.rung.add(name)
        while not self.turns.is_over:
            await self._bell(name)
            while await self.product.sequence_once(self.houses[name]):
                self._ring("relay")

    async def relay(self, name: str) -> None:
        self.rung.add(name)
        wire: Any = Wire(self.wire, TOPIC, MAC_KEY)
        while not self.turns.is_over:
            await self._bell(name)
            while await self.product.relay_once(self.houses[name], wire):
                self.rung |= self.wire.queues.keys()

    async def listener(self, name: str) -> None:
        reader = self.reader(name)
        queue = self.wire.queues[name]
        self.rung.add(name)
        try:
            while not self.turns.is_over:
                await self._bell(name)
                if not queue or self.turns.draw.randrange(COMPARED_ONE_TURN_IN) == 0:
                    await reader.compare()
                else:
                    await reader.on_hints(self.wire.take(name))
                if queue:
                    self.rung.add(name)
        finally:
            await reader.feed.close()

    async def settle(self) -> None:
        """What remains is done in calm weather by parts that nothing befalls."""
        self.wire.weather = Weather()
        while await self.product.sequence_once(self.house):
            pass
        wire: Any = Wire(self.wire, TOPIC, MAC_KEY)
        while await self.product.relay_once(self.house, wire):
            pass
        reader = self.reader("main")
        await reader.compare()
        await reader.feed.close()


def orders_of(draw: Random) -> list[Order]:
    return [
        Order(
            f"order-{number}",
            draw.choice(KEYS),
            draw.randrange(100, 1_000),
            is_step=draw.randrange(4) == 0,
            is_refused=draw.randrange(8) == 0,
        )
        for number in range(draw.randrange(1, 4))
    ]


def batches_of(draw: Random, orders: Sequence[Order]) -> list[list[list[Order]]]:
    """Who sends what: each order once at least, some by two clients at once, some again later."""
    sent: list[list[list[Order]]] = [[] for _ in range(WRITERS)]
    for order in orders:
        lists = draw.choice(sent)
        if lists and draw.randrange(3) == 0:
            lists[-1].append(order)
        else:
            lists.append([order])
    for _ in range(draw.randrange(2)):
        draw.choice(sent).append([draw.choice(orders)])
    return sent


def climate(draw: Random) -> tuple[Odds, Weather]:
    """How hostile a seed is: some only interleave, some do everything at once."""
    odds = Odds(
        crash=draw.choice((0, 5, 20)),
        cut=draw.choice((0, 5, 20)),
        freeze=draw.choice((0, 10, 30)),
        cancel=draw.choice((0, 20, 100)),
    )
    weather = Weather(
        drop=draw.choice((0, 50, 300)),
        double=draw.choice((0, 100, 500)),
        shuffle=draw.choice((0, 200, 800)),
        forge=draw.choice((0, 400, 1000)),
        fail=draw.choice((0, 20, 200)),
        feed_down=draw.choice((0, 50, 200)),
    )
    return odds, weather


@dataclass(frozen=True)
class Stage:
    """What all seeds share: a database, the parts' connections, a superuser who looks on."""

    houses: dict[str, Database]
    monitor: psycopg.AsyncConnection[Any]
    superuser: psycopg.Connection[Any]

    async def begin(self, epoch: int) -> None:
        """All as it was furnished, and no connection left that somebody's end broke."""
        for house in self.houses.values():
            await house.engine.dispose()
        clear(self.superuser, epoch)


async def play(stage: Stage, seed: int, product: Product | None = None) -> Play:
    """Run one seed to its end; `check` says whether it ended well."""
    draw = Random(seed)
    odds, weather = climate(draw)
    epoch = draw.choice((1, 1, 2))
    await stage.begin(epoch)
    turns = Turns(stage.monitor, draw, odds)
    wire = BadWire(draw, weather, stage.houses["main"].source, epoch)
    found = Play(stage.houses, turns, wire, product or Product())
    sent = batches_of(draw, orders_of(draw))
    wire.queues = {name: [] for name in PARTS if name.startswith("reader")}
    for name in PARTS:
        kind, _, number = name.partition("-")
        if kind == "writer":
            # The client's memory is its own: what is sent again after a crash has the same key.
            turns.add(name, _writing(found, name, sent[int(number)]))
        else:
            turns.add(name, _working(found, kind, name))
    writers = [name for name in PARTS if name.startswith("writer")]
    await turns.run(lambda: all(turns.has_ended(name) for name in writers) and not found.rung)
    await found.settle()
    return found


def _writing(found: Play, name: str, batches: list[list[Order]]) -> Any:
    return lambda: found.writer(name, batches)


def _working(found: Play, kind: str, name: str) -> Any:
    work = {"sequencer": found.sequencer, "relay": found.relay, "reader": found.listener}[kind]
    return lambda: work(name)
