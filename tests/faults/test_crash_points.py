"""Each path of a fact, ended at every one of its steps: nothing lost, nothing twice.

A path's steps are counted on an undisturbed run; then it is run once for each step, which its
process does not live to take, and once for each in which it loses its connection there.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from builders import MAC_KEY
from databases import rows
from marketkit.kafka import Wire
from marketkit.worker import relay_once, sequence_once
from seeded.bad_wire import TOPIC, BadWire, Weather
from seeded.checks import check
from seeded.desk import HOT, Order, command
from seeded.play import Play, Stage, answered
from seeded.turns import Turns

pytestmark = pytest.mark.timeout(900)

ORDERS = [
    Order("order-0", "key-1", 400),
    Order("order-1", "key-2", 500, is_step=True),
    Order("order-2", "key-1", 300, is_refused=True),
    Order("order-3", "key-1", 200),
]
WRITE_PATH = (
    "pg_try_advisory_xact_lock",
    "SAVEPOINT sa_savepoint_1",
    "INSERT INTO movement",
    "INSERT INTO outbox",
    "RELEASE SAVEPOINT",
    "INSERT INTO stored_answer",
    "COMMIT",
    "answer",
)

Path = Callable[["Case", Play], Awaitable[Callable[[], Awaitable[None]]]]


@dataclass
class Case:
    """One run of a path; `name` is the part that walks it."""

    name: str
    epoch: int = 1
    orders: list[Order] = field(default_factory=lambda: list(ORDERS))

    async def told(self, play: Play) -> None:
        """All orders carried out and answered."""
        commands = [command(order) for order in self.orders]
        answers = await answered(play.house, commands, HOT)
        play.answers = {
            order.id: [answer] for order, answer in zip(self.orders, answers, strict=True)
        }

    async def sequenced(self, play: Play) -> None:
        await self.told(play)
        while await sequence_once(play.house):
            pass

    async def sent(self, play: Play) -> None:
        await self.sequenced(play)
        await relay_once(play.house, self.wire(play))

    def wire(self, play: Play) -> Any:
        return Wire(play.wire, TOPIC, MAC_KEY)


async def one_command(case: Case, play: Play) -> Callable[[], Awaitable[None]]:
    batches = [[case.orders[0]]]
    return lambda: play.writer(case.name, batches)


async def many_commands(case: Case, play: Play) -> Callable[[], Awaitable[None]]:
    batches = [case.orders[1:3]]
    return lambda: play.writer(case.name, batches)


async def sequencing(case: Case, play: Play) -> Callable[[], Awaitable[None]]:
    await case.told(play)

    async def life() -> None:
        while await sequence_once(play.houses[case.name]):
            pass

    return life


async def relaying(case: Case, play: Play) -> Callable[[], Awaitable[None]]:
    await case.sequenced(play)

    async def life() -> None:
        while await relay_once(play.houses[case.name], case.wire(play)):
            pass

    return life


async def taking_in_hints(case: Case, play: Play) -> Callable[[], Awaitable[None]]:
    await case.sent(play)

    async def life() -> None:
        reader = play.reader(case.name)
        queue = play.wire.queues[case.name]
        while queue:
            await reader.on_hints([queue.pop(0)])

    return life


async def healing_a_hole(case: Case, play: Play) -> Callable[[], Awaitable[None]]:
    await case.sent(play)
    # Of key-1's records the first is lost.
    queue = play.wire.queues[case.name]
    queue[:] = [record for record in queue if dict(record.headers)["sequence"] != b"1"]
    assert queue
    return await _with_what_is_left(case, play)


async def _with_what_is_left(case: Case, play: Play) -> Callable[[], Awaitable[None]]:
    async def life() -> None:
        reader = play.reader(case.name)
        queue = play.wire.queues[case.name]
        await reader.on_hints([queue.pop(0) for _ in list(queue)])

    return life


async def following(case: Case, play: Play) -> Callable[[], Awaitable[None]]:
    await case.sequenced(play)
    return lambda: play.reader(case.name).compare()


async def rebuilding(case: Case, play: Play) -> Callable[[], Awaitable[None]]:
    await case.sequenced(play)
    await play.reader("main").compare()
    play.wire.epoch = 2
    await rows(play.house, "UPDATE house SET epoch = 2")
    return lambda: play.reader(case.name).compare()


async def walk(stage: Stage, path: Path, case: Case, planned: tuple[str, int, str] | None) -> Play:
    """The path once, its part ended where planned, the rest done by others, all checked."""
    await stage.begin(1)
    wire = BadWire(Random(0), Weather(), stage.houses["main"].source, 1)
    wire.queues = {case.name: []}
    turns = Turns(stage.monitor, Random(0), planned=planned)
    play = Play(stage.houses, turns, wire)
    turns.add(case.name, await path(case, play))
    await turns.run(lambda: turns.has_ended(case.name))
    await play.settle()
    await check(stage, play)
    return play


# A client lives on after its connection; of the others both ends are one, and seeds cut them too.
FATES = {"writer-0": ("crash", "cut"), "sequencer-0": ("crash", "cut"), "relay-0": ("crash", "cut")}
PATHS: list[tuple[str, Path]] = [
    ("writer-0", one_command),
    ("writer-0", many_commands),
    ("sequencer-0", sequencing),
    ("relay-0", relaying),
    ("reader-0", taking_in_hints),
    ("reader-0", healing_a_hole),
    ("reader-0", following),
    ("reader-0", rebuilding),
]


@pytest.mark.parametrize(("name", "path"), PATHS, ids=[path.__name__ for _, path in PATHS])
async def test_each_step_may_be_the_last(
    stage: Stage, name: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = await walk(stage, path, Case(name), None)
    steps = whole.turns.labels_of(name)
    fates = FATES.get(name, ("crash",))
    taken = 0
    for number in range(1, len(steps) + 1):
        for fate in fates:
            found = await walk(stage, path, Case(name), (name, number, fate))
            # At this very step, and the path was walked again from its beginning.
            assert found.turns.trace[number - 1] == f"{name}: {fate}: {steps[number - 1]}"
            taken += 1
    with capsys.disabled():
        print(f"\n{path.__name__}: crash points {taken // len(fates)} of {len(steps)}: {fates}")
    assert taken == len(fates) * len(steps)
    assert len(steps) >= 10


async def test_the_write_path_is_the_one_that_is_known(stage: Stage) -> None:
    whole = await walk(stage, one_command, Case("writer-0"), None)
    steps = iter(whole.turns.labels_of("writer-0"))
    for known in WRITE_PATH:
        assert any(known in step for step in steps), f"{known} is not where it should be"
