"""From a source's commit to the board: how old a change is when an open page is told of it.

The whole embedded house runs: PostgreSQL, broker, four services. A source commits a few facts at
a time, as its actions would. The board's stream tells of a change only after the transaction that
shows it: whoever asks on that word is answered with it, which is tried once a second, and timed.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from bench import town
from bench.figures import Figure
from contracts.energy import QuotaAssigned
from contracts.holdings import AccountOpened
from marketkit.codes import CITY
from marketkit.db import Database, Session
from marketkit.outbox import Telling, tell_all
from marketkit.units import TCE, format_instant
from yaosu.stack import Stack

PER_SECOND = 500
AT_ONCE = 10
COMMITS_AT_ONCE = 8
SECONDS = 40
# Of a start that nobody would measure: connections, plans, caches.
WARM_S = 5
PATIENCE_S = 20
LOT = "lot-of-latency"


@dataclass
class Seen:
    """When each fact's commit was answered, and when the board told of it; of some, showed it."""

    committed_s: dict[str, float] = field(default_factory=dict)
    told_s: dict[str, float] = field(default_factory=dict)
    shown_ms: list[float] = field(default_factory=list)
    per_second: float = 0.0
    resets: int = 0

    def untold(self) -> str:
        left = sorted(self.committed_s.keys() - self.told_s.keys())
        return f"{len(left)} of {len(self.committed_s)} from {left[:1]}; {self.resets} resets"

    def told_ms(self) -> list[float]:
        # The page may be told before the source has its own answer.
        return [
            1_000 * max(0.0, self.told_s[at] - committed_s)
            for at, committed_s in self.committed_s.items()
        ]


def _assigned(number: int, at: datetime) -> Telling:
    to = town.account(number % town.PROJECTS)
    moved = [town.moved(town.POOL, LOT, -1_000), town.moved(to, LOT, 1_000)]
    said = {"account": to, "quantity_tce": "1.000", "movements": moved}
    return Telling(QuotaAssigned.model_validate(said), to, region_code=CITY, at=at)


async def tell(house: Database, seen: Seen, count: int, per_second: int = PER_SECOND) -> float:
    """So many facts at a steady rate, each with an instant of its own; how many came a second."""
    began_s, begun = time.monotonic(), datetime.now(UTC)
    room = asyncio.Semaphore(COMMITS_AT_ONCE)
    turns = []
    for first in range(0, count, AT_ONCE):
        await asyncio.sleep(began_s + first / per_second - time.monotonic())
        await room.acquire()
        instants = [begun + timedelta(microseconds=first + n) for n in range(AT_ONCE)]
        turns.append(asyncio.create_task(_commit(house, seen, first, instants)))
        turns[-1].add_done_callback(lambda turn: room.release())
    await asyncio.gather(*turns)
    return count / (time.monotonic() - began_s)


async def _commit(house: Database, seen: Seen, first: int, instants: Sequence[datetime]) -> None:
    facts = [_assigned(first + n, at) for n, at in enumerate(instants)]

    async def work(session: Session) -> None:
        await tell_all(session, facts)

    await house.run(work)
    seen.committed_s |= dict.fromkeys(map(format_instant, instants), time.monotonic())


async def watch(client: httpx.AsyncClient, seen: Seen) -> None:
    """Look on as an open page does."""
    async with client.stream("GET", "/v1/board/stream", timeout=None) as answer:
        async for line in answer.aiter_lines():
            seen.resets += line == "event: reset"
            if line.startswith("data: {") and "changed_at" in line:
                seen.told_s[json.loads(line[6:])["changed_at"]] = time.monotonic()


async def ask(client: httpx.AsyncClient, seen: Seen) -> None:
    """Once a second: wait for the next change, ask for the board, and see that it is there."""
    while True:
        await asyncio.sleep(1)
        before = len(seen.told_s)
        while len(seen.told_s) == before:
            await asyncio.sleep(0.001)
        told = list(seen.told_s)[-1]
        shown = await shown_tce(client)
        assert shown >= before + 1
        if told in seen.committed_s:
            seen.shown_ms.append(1_000 * (time.monotonic() - seen.committed_s[told]))


async def shown_tce(client: httpx.AsyncClient) -> int:
    """What the enterprises hold in all, by the board."""
    answer = (await client.get("/v1/board/holdings")).raise_for_status().json()
    lines = [one for one in answer["holdings"] if one["region_code"] in town.COUNTIES]
    return sum(TCE.parse(one["posted"]) for one in lines) // TCE.scale


async def opened(house: Database) -> None:
    facts = [one for one in town.tellings(town.PROJECTS + 2) if type(one.fact) is AccountOpened]
    await house.run(lambda s: tell_all(s, facts))


async def run(directory: Path, seconds: int, kafka_servers: str = "") -> Seen:
    seen = Seen()
    async with Stack(directory, kafka_servers=kafka_servers) as stack:
        url = stack.postgres.url(stack.services["energy"].database, "yaosu_app")
        source = stack.services["energy"].source
        house = Database(url, source, "energy", stack.keys.signer("energy"))
        await opened(house)
        async with httpx.AsyncClient(base_url=stack.gateway_url, trust_env=False) as client:
            looking = [asyncio.create_task(watch(client, seen))]
            await asyncio.sleep(2)
            await tell(house, Seen(), WARM_S * PER_SECOND)
            looking.append(asyncio.create_task(ask(client, seen)))
            seen.per_second = await tell(house, seen, seconds * PER_SECOND)
            patient_until_s = time.monotonic() + PATIENCE_S
            while seen.committed_s.keys() - seen.told_s.keys():
                assert time.monotonic() < patient_until_s, seen.untold()
                await asyncio.sleep(0.5)
            for task in looking:
                if task.done():
                    task.result()
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            assert await shown_tce(client) == (WARM_S + seconds) * PER_SECOND
        await house.close()
    return seen


def at_quantile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[len(values) * percent // 100]


def measure(seconds: int = SECONDS) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="yaosu-bench-") as directory:
        Path(directory).chmod(0o755)
        seen = asyncio.run(run(Path(directory) / "house", seconds))
    told, shown = seen.told_ms(), seen.shown_ms
    p50, p99 = at_quantile(told, 50), at_quantile(told, 99)
    return [
        Figure(
            f"commit → board's stream, {seen.per_second:.0f} events/s for {seconds} s, embedded",
            f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, most {max(told):.0f} ms",
            f"{len(shown)} of them until the board's answer: p50 {at_quantile(shown, 50):.0f} ms, "
            f"most {max(shown):.0f} ms",
            "",
            "p50 ≤ 60 ms, p99 ≤ 250 ms",
            p50 <= 60 and p99 <= 250,
        )
    ]
