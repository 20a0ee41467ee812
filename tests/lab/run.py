"""One run of the lab: a house, a crowd, a nemesis; then the judgement and the report."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.canaries import Canaries
from lab.checks import Judge
from lab.clocks import Clocks, each_jumps, jumping, library
from lab.crowd import Crowd
from lab.durable import followed
from lab.findings import Findings
from lab.frozen import FROZEN, frozen
from lab.history import Broken, History
from lab.house import LabHouse
from lab.least import LAB, judge_enough, watched_on
from lab.market import Market
from lab.nemesis import Nemesis
from lab.overload import Memory
from lab.parts import end
from lab.plans import Plan
from lab.planting import together
from lab.plants import PLANTS
from lab.probes import Board, Isolation, holding_closings
from lab.sales import Sales
from lab.sampler import Sampler
from lab.takes import Takes
from lab.wire import WireListener
from yaosu.processes import CannotStart


@dataclass(frozen=True)
class Asked:
    """What is to be run: every choice of a run follows from these."""

    plan: Plan
    seed: int
    minutes: float
    plants: Sequence[str] = ()
    kafka: bool = False
    until_red: bool = False


@dataclass
class Lab:
    """A run as it goes."""

    asked: Asked
    directory: Path
    say: Callable[[str], None]
    findings: Findings = field(default_factory=Findings)

    async def run(self) -> dict[str, Any]:
        """The report of one run."""
        began = time.monotonic()
        # Two processors make six threads, fewer than wait here for a lock or a broker at once.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(32))
        history = self._history = History(self.directory / "history.jsonl")
        planted = [PLANTS[name] for name in self.asked.plants]
        clocks = self._clocks()
        house = LabHouse(
            self.directory / "house",
            seed=self.asked.seed,
            preload=clocks.environment if clocks else lambda name: {},
            has_real_kafka=self.asked.kafka,
            roles=self.asked.plan.roles,
            plants=[plant.name for plant in planted if plant.edits],
            database_options=[option for plant in planted for option in plant.database],
            after_migration=together(plant.statements for plant in planted),
        )
        try:
            async with house:
                self.say(f"house ready in {time.monotonic() - began:.1f} s")
                if self.asked.plan.writes:
                    await self._followed(house, history)
                elif self.asked.plan.freezes:
                    await self._frozen(house, history)
                else:
                    await self._live(house, history, clocks)
        except CannotStart as why:
            # A database that may lose commits is refused: that is how the first promise is kept.
            guarantee = "G2" if "may lose commits" in str(why) else LAB
            self.findings.fault(guarantee, f"the house does not start: {str(why)[-300:]}")
        finally:
            history.close()
        self.findings.figures["seconds"] = round(time.monotonic() - began, 1)
        return self.report(history)

    def _clocks(self) -> Clocks | None:
        if not self.asked.plan.jumps_clocks:
            return None
        found = library(self.directory / "clocks")
        if found is None:
            self.say("SKIPPED: clocks cannot jump without a C compiler. Type: sudo apt install gcc")
            self.findings.figures["clocks"] = "SKIPPED: no C compiler"
            return None
        return Clocks(self.directory / "clocks", found)

    async def _followed(self, house: LabHouse, history: History) -> None:
        chance = random.Random(self.asked.seed)
        async with Crowd(house, history, chance, doors=("direct", "direct")) as crowd:
            writes = self.asked.plan.writes
            missing = await followed(crowd, writes, self.directory / "trace", self.findings)
        if missing:
            self.say(f"SKIPPED: no answer is followed to the disk: {missing}")

    async def _frozen(self, house: LabHouse, history: History) -> None:
        async with Crowd(house, history, random.Random(self.asked.seed)) as crowd:
            await frozen(crowd, self.asked.minutes * 60 / len(FROZEN), self.findings)

    async def _live(self, house: LabHouse, history: History, clocks: Clocks | None) -> None:
        seed = self.asked.seed
        crowd = Crowd(house, history, random.Random(seed))
        nemesis = Nemesis(
            house, self.findings, random.Random(seed + 1), self.directory / "nemesis.jsonl"
        )
        sampler, listener = Sampler(house, self.findings), WireListener(house, self.findings)
        nemesis.on_broker_fault = listener.doubt
        async with crowd:
            market = Market(house, crowd, random.Random(seed + 2), self.asked.plan.bidders)
            nemesis.replay = market.replay
            canaries = Canaries(house, history, self.findings)
            series = self.asked.plan.series
            sales = Sales(market, series, before_opening=canaries.before_opening)
            if self.asked.plan.holds_closings:
                sales.over_closing = holding_closings(house, self.findings)
            if clocks and sales.over_closing:
                chance = random.Random(seed + 3)
                sales.over_closing = jumping(
                    clocks, house, self.findings, chance, sales.over_closing
                )
            if clocks:
                await each_jumps(clocks, house, self.findings)
            try:
                await market.begin()
            except Broken as broken:
                self.findings.fault(broken.guarantee, str(broken))
                return
            self.say("the market has begun")
            isolation, memory = Isolation(market, self.findings), Memory(house, self.findings)
            board = Board(house, self.findings, lambda: nemesis.at)
            watching = [
                asyncio.create_task(watcher.forever(), name=type(watcher).__name__)
                for watcher in (sampler, listener, isolation, memory, board)
            ]
            try:
                await self._hurt(nemesis, sales)
                if not self._is_enough():
                    await self._judge(house, history, market)
                    await canaries.once_opened(market.sales)
                watched_on(watching, self.findings)
            finally:
                await end(watching)
        if not self._is_enough():
            await asyncio.to_thread(sampler.sample)
        self._count(house, nemesis, sales)
        if not self._is_enough():
            plan = self.asked.plan
            judge_enough(self.findings, plan.least, self.asked.minutes / plan.minutes)

    def _count(self, house: LabHouse, nemesis: Nemesis, sales: Sales) -> None:
        kills = nemesis.kills
        self.findings.figures |= {
            "closings": sales.closings,
            "sales": len(sales.market.sales),
            "kills": sum(kills.values()),
            "kills_by_role": dict(sorted(kills.items())),
            "kills_of_a_role": min(kills.get(name, 0) for name in [*house.roles, "broker"]),
            "starts_by_role": {name: part.starts for name, part in house.every_part.items()},
        }

    def _is_enough(self) -> bool:
        return self.asked.until_red and self.findings.is_red

    async def _judge(self, house: LabHouse, history: History, market: Market) -> None:
        await house.all_ready()
        self.say("the last fault is over")
        judge = Judge(house, history, self.findings)
        self.findings.figures["unknown_at_end"] = await market.crowd.resolve(market.people)
        self.findings.figures["converged_s"] = round(await judge.until_converged(), 1)
        if not self._is_enough():
            await judge.evidence(self.directory / "evidence.zip")
            await asyncio.to_thread(judge.judge)

    async def _hurt(self, nemesis: Nemesis, sales: Sales) -> None:
        until = time.monotonic() + self.asked.minutes * 60
        acting = asyncio.create_task(self._act(nemesis, until))
        working = asyncio.create_task(self._work(sales, acting, until))
        red = asyncio.create_task(self._until_red())
        both: asyncio.Future[Any] = asyncio.gather(acting, working)
        ends: list[asyncio.Future[Any]] = [both, red]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if both.done():
                self._end(both)
        finally:
            await end([acting, working, red, both])
            if not both.cancelled():
                both.exception()

    def _end(self, both: "asyncio.Future[Any]") -> None:
        try:
            both.result()
        except Broken as broken:
            self.findings.fault(broken.guarantee, str(broken))

    async def _until_red(self) -> None:
        while not self._is_enough():
            if self._history.mismatches:
                self.findings.fault("G8", f"a replay is another: {self._history.mismatches[0]}")
            await asyncio.sleep(0.2)

    async def _act(self, nemesis: Nemesis, until: float) -> None:
        acts = self.asked.plan.acts(nemesis.random)
        for act in acts:
            if time.monotonic() > until:
                return
            await nemesis.run([act], self.asked.plan.pause_s, until)

    async def _work(self, sales: Sales, acting: "asyncio.Task[None]", until: float) -> None:
        """Rounds of sales with takes of quota beside them, at least until the nemesis is done."""
        number = 0
        takes = Takes(sales.market, sales)
        while not number or not acting.done() or time.monotonic() < until:
            number += 1
            await asyncio.gather(
                sales.play_round(),
                self._takes(takes, number),
            )
            self.say(f"round {number}: {sales.closings} closings")
            if self.asked.plan.name == "P0" and acting.done():
                return

    async def _takes(self, takes: Takes, number: int) -> None:
        for turn in range(self.asked.plan.takes):
            await takes.turn(number * 10 + turn)

    def report(self, history: History) -> dict[str, Any]:
        asked = self.asked
        plants = f" --plant {','.join(asked.plants)}" if asked.plants else ""
        return {
            "plan": asked.plan.name,
            "seed": asked.seed,
            "minutes": asked.minutes,
            "plants": list(asked.plants),
            "replay": f"yaosu lab --seed {asked.seed} --plan {asked.plan.name} "
            f"--minutes {asked.minutes}{plants}{' --kafka' if asked.kafka else ''}",
            "is_red": self.findings.is_red,
            "faults": self.findings.faults,
            "figures": self.findings.figures,
            "statuses": {str(k): v for k, v in sorted(history.statuses.items())},
        }
