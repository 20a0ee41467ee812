"""Ten thousand takes, each sent 1 to 20 times at once to two processes, some by lines that are cut.

`python -m bench retries` is about a promise, not a speed: each took effect once, and whoever asked
was answered the same bytes.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench import holds, hot, load, town
from bench.figures import Figure
from bench.site import Site, done, site

TAKES = 10_000
TIMES_MAX = 20
LINES = 96
# One line in so many is cut once the request is on its way.
CUT_ONE_IN = 10
CUT_WITHIN_S = 0.1
SEED = 7
Order = tuple[int, int, bytes]
IN_FLIGHT = b"IDEMPOTENCY_KEY_IN_FLIGHT"
STANDS = b"SELECT (SELECT count(*) FROM pledge), (SELECT sum(held) FROM balance)"


@dataclass
class Sent:
    """What is sent to whom, and what came of it."""

    answers: dict[int, set[tuple[int, bytes]]] = field(default_factory=lambda: defaultdict(set))
    count: int = 0
    cut: int = 0
    again: int = 0


@dataclass
class Line:
    """A connection that sends what waits, opened again after it was cut."""

    queue: "asyncio.Queue[Order]"
    sent: Sent
    chance: random.Random

    async def work(self) -> None:
        lines: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        while True:
            number, port, request = await self.queue.get()
            if port not in lines:
                lines[port] = await asyncio.open_connection("127.0.0.1", port)
            reader, writer = lines[port]
            writer.write(request)
            self.sent.count += 1
            if self.chance.randrange(CUT_ONE_IN) == 0:
                await asyncio.sleep(self.chance.uniform(0, CUT_WITHIN_S))
                del lines[port]
                writer.transport.abort()
                self.sent.cut += 1
            else:
                self._note((number, port, request), *await load.answer(reader))
            self.queue.task_done()

    def _note(self, order: Order, head: bytes, body: bytes) -> None:
        status = int(head[9:12])
        if status in load.AGAIN or (status == 409 and IN_FLIGHT in body):
            self.sent.again += 1
            self.queue.put_nowait(order)
        else:
            self.sent.answers[order[0]].add((status, body))


async def send_all(requests: Sequence[Sequence[bytes]], ports: Sequence[int]) -> Sent:
    """Each request so many times at once, by either port, and again until it has an answer."""
    chance, sent = random.Random(SEED), Sent()
    queue: asyncio.Queue[Order] = asyncio.Queue()
    lines = [Line(queue, sent, random.Random(chance.random())) for _ in range(LINES)]
    working = [asyncio.create_task(line.work()) for line in lines]
    wanted = [
        number for number in range(len(requests)) for _ in range(chance.randint(1, TIMES_MAX))
    ]
    while wanted:
        for number in wanted:
            port = chance.randrange(len(ports))
            queue.put_nowait((number, ports[port], requests[number][port]))
        joined = asyncio.create_task(queue.join())
        await asyncio.wait([joined, *working], return_when=asyncio.FIRST_COMPLETED)
        for line in working:
            if line.done():
                line.result()
        wanted = [number for number in range(len(requests)) if not sent.answers[number]]
    for line in working:
        line.cancel()
    return sent


def measure(takes: int = TAKES) -> list[Figure]:
    with site() as here:
        url = here.database("energy_trade")
        done(holds.holder(here.house("energy_trade", url)))
        ports = [here.service("energy_trade", "api", url).api for _ in range(2)]
        began = time.perf_counter()
        sent = done(send_all(_requests(here, ports, takes), ports))
        seconds = time.perf_counter() - began
        with town.superuser(url) as connection:
            stands = connection.execute(STANDS).fetchone()
    alike = sum(len(answers) == 1 for answers in sent.answers.values())
    taken = sum({status for status, _ in answers} == {201} for answers in sent.answers.values())
    assert stands is not None
    return [
        Figure(
            f"{takes:,} takes, each sent 1 to {TIMES_MAX} times at once to two processes",
            f"{stands[0]:,} took effect",
            f"{sent.count:,} sent, {sent.cut:,} on lines then cut, {sent.again:,} put off, "
            f"{sent.count / seconds:,.0f}/s",
            f"{alike:,} answered the same bytes each time",
            "each once, all alike",
            (stands[0], stands[1], alike, taken) == (takes, takes * 1_000, takes, takes),
        )
    ]


def _requests(here: Site, ports: Sequence[int], takes: int) -> list[list[bytes]]:
    """Of each take, the same command under the same key as it is sent to each port."""
    token = here.token("enterprise", "person-of-1", region_code="", uscc=holds.HOLDER)
    return [
        [
            hot.posted(port, "/v1/pledges", holds.body(number), token, f"take-{number}")
            for port in ports
        ]
        for number in range(takes)
    ]
