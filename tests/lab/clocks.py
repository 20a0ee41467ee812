"""Wall clocks of single processes that jump; the database's clock never does."""

import asyncio
import random
import shutil
import struct
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from lab.findings import Findings
from lab.house import LabHouse
from lab.least import LAB
from lab.market import LabSale

SOURCE = Path(__file__).with_name("shift.c")
JUMP_S = 90


def library(folder: Path) -> Path | None:
    """The shim that makes a clock wrong, compiled here; None where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "shift.so"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", made, SOURCE], check=True)
    return made


@dataclass
class Clocks:
    """A file for each process that says by how many seconds its clock is wrong."""

    folder: Path
    library: Path

    def environment(self, name: str) -> Mapping[str, str]:
        """What a process is started with so that its clock can be moved."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / name).exists():
            (self.folder / name).write_bytes(struct.pack("l", 0))
        return {"LD_PRELOAD": str(self.library), "LAB_CLOCK": str(self.folder / name)}

    def set(self, name: str, by_s: int) -> None:
        # In place: the process has the file mapped.
        with (self.folder / name).open("r+b") as file:
            file.write(struct.pack("l", by_s))


async def each_jumps(clocks: Clocks, house: LabHouse, findings: Findings) -> None:
    """Let each process's clock be wrong once, and see it in what the process says."""
    for name in house.parts:
        clocks.set(name, JUMP_S)
    # A server writes its date anew every second.
    await asyncio.sleep(2.5)
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        for name in house.parts:
            answer = await client.get(f"{house.own_inner_url(name)}/healthz")
            said = parsedate_to_datetime(answer.headers["Date"])
            ahead_s = (said - datetime.now(UTC)).total_seconds()
            findings.count("clocks_seen_wrong", abs(ahead_s - JUMP_S) < 5)
            clocks.set(name, 0)
    if findings.figures["clocks_seen_wrong"] < len(house.parts):
        findings.fault(LAB, f"of {len(house.parts)} clocks only some can be made wrong")


def jumping(
    clocks: Clocks,
    house: LabHouse,
    findings: Findings,
    chance: random.Random,
    also: Callable[[LabSale], Awaitable[None]],
) -> Callable[[LabSale], Awaitable[None]]:
    """Around each close every process's clock jumps, each its own way, then back."""

    async def over_closing(sale: LabSale) -> None:
        rows = await asyncio.to_thread(house.rows, "energy", "SELECT clock_offset FROM house")
        offset: timedelta = rows[0][0]
        closes_s = (sale.closes_at - offset).timestamp()

        async def jump(name: str) -> None:
            await asyncio.sleep(max(0.0, closes_s - chance.uniform(0.0, 2.0) - time.time()))
            clocks.set(name, chance.choice([-JUMP_S, JUMP_S]))
            findings.count("clock_jumps")
            await asyncio.sleep(max(0.0, closes_s + chance.uniform(0.0, 2.0) - time.time()))
            clocks.set(name, 0)
            findings.count("clock_jumps")

        await asyncio.gather(also(sale), *(jump(name) for name in house.parts))

    return over_closing
