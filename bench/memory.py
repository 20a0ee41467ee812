"""What the embedded house weighs, idle and after a time of load, and how soon it is back.

As `./run` has it: the supervisor, broker, four services and PostgreSQL, each process by its PSS,
so that what they share is counted once. `BENCH_MINUTES` says how long the load lasts, 10 if not.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from bench import latency, town
from bench.figures import Figure
from bench.site import free_ports, source_of
from contracts.holdings import AccountOpened
from marketkit.db import Database
from marketkit.outbox import tell_all
from yaosu.keys import Keys
from yaosu.postgres import Postgres
from yaosu.processes import launched

MB = 1_000_000
MB_MAX = 900
START_S_MAX = 20
MINUTES = 10
SETTLED_S = 10
READY, STAYS = "全部就绪", "按 Ctrl-C 停止"
PER_SECOND = 100
LOOKS = ("/", "/announcements", "/v1/board/holdings", "/v1/board/sales")
KINDS = {"-m yaosu.broker": "broker", "postgres": "PostgreSQL", "--role all": "services"}


@dataclass
class Up:
    """A running house, and how long it took to answer."""

    process: "subprocess.Popen[str]"
    url: str
    start_s: float

    def weight(self) -> Counter[str]:
        """PSS in bytes by kind of process."""
        found: Counter[str] = Counter()
        top = psutil.Process(self.process.pid)
        for one in [top, *top.children(recursive=True)]:
            # A server's helpers come and go.
            with suppress(psutil.NoSuchProcess):
                line, pss = " ".join(one.cmdline()), one.memory_full_info().pss
                found[next((n for mark, n in KINDS.items() if mark in line), "supervisor")] += pss
        return found


@contextmanager
def up(data_dir: Path) -> Iterator[Up]:
    """`yaosu up` on a directory until the block ends; it answers, and plays its demonstration."""
    (port,) = free_ports(1)
    program: list[str | Path] = [Path(sys.executable).with_name("yaosu"), "up"]
    began_s = time.monotonic()
    process = subprocess.Popen(
        launched([*program, "--port", str(port), "--data-dir", data_dir], signal.SIGINT),
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        text=True,
    )
    try:
        until(process, READY)
        start_s = time.monotonic() - began_s
        yield Up(process, f"http://127.0.0.1:{port}", start_s)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def until(process: "subprocess.Popen[str]", said: str) -> None:
    """Read what it prints up to a line that says this."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if said in line:
            return
    raise AssertionError(f"ended before it said {said}:\n{''.join(lines[-8:])}")


async def load(data_dir: Path, url: str, seconds: int) -> None:
    """Facts at a steady rate, an open page, and people who look at pages and board."""
    keys = Keys(data_dir / "keys")
    address = Postgres(data_dir / "postgres").url("yaosu_energy", "yaosu_app")
    house = Database(address, source_of("energy_trade"), "energy", keys.signer("energy"))
    facts = [one for one in town.tellings(town.PROJECTS + 2) if type(one.fact) is AccountOpened]
    await house.run(lambda s: tell_all(s, facts))
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        seen = latency.Seen()
        looking = [asyncio.create_task(latency.watch(client, seen))]
        looking.append(asyncio.create_task(_look(client)))
        await latency.tell(house, seen, seconds * PER_SECOND, PER_SECOND)
        for task in looking:
            assert not task.done()
            task.cancel()
        await asyncio.wait(looking)
    await house.close()


async def _look(client: httpx.AsyncClient) -> None:
    while True:
        for path in LOOKS:
            (await client.get(path)).raise_for_status()
            await asyncio.sleep(0.1)


def said(weight: Counter[str]) -> str:
    parts = ", ".join(f"{kind} {size / MB:.0f}" for kind, size in weight.most_common())
    return f"{weight.total() / MB:.0f} MB ({parts})"


def measure(minutes: float = float(os.environ.get("BENCH_MINUTES", MINUTES))) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="yaosu-bench-") as directory:
        Path(directory).chmod(0o755)
        data_dir = Path(directory) / "house"
        with up(data_dir) as first:
            until(first.process, STAYS)
            time.sleep(SETTLED_S)
            idle = first.weight()
            asyncio.run(load(data_dir, first.url, int(minutes * 60)))
            loaded = first.weight()
        with up(data_dir) as second:
            start_s = second.start_s
    work = f"PSS of the whole embedded house, idle; after {minutes:g} min of "
    work += f"{PER_SECOND} events/s and people looking"
    most = max(idle.total(), loaded.total()) / MB
    return [
        Figure(work, f"{said(idle)}; {said(loaded)}", "", "", f"≤ {MB_MAX} MB", most <= MB_MAX),
        Figure(
            "second start, data kept, until all answer",
            f"{start_s:.1f} s (the first {first.start_s:.1f} s)",
            "",
            "",
            f"≤ {START_S_MAX} s",
            start_s <= START_S_MAX,
        ),
    ]
