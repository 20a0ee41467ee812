"""Wall clocks of single processes that jump; the database's clock never does."""

import asyncio
import random
import shutil
import struct
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from lab.findings import Findings
from lab.house import LabHouse
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
