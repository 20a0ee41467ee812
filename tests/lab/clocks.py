"""Wall clocks of single processes that jump, by libfaketime; the database's clock never does."""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from lab.checks import Findings
from lab.house import LabHouse
from lab.market import LabSale

PLACES = ("/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime")
JUMP_S = 90


def library() -> Path | None:
    """libfaketime, where `apt install faketime` puts it."""
    found = [Path(place, "libfaketimeMT.so.1") for place in PLACES]
    return next((file for file in found if file.exists()), None)


@dataclass
class Clocks:
    """A file for each process that says by how much its clock is wrong."""

    folder: Path
    library: Path

    def environment(self, name: str) -> Mapping[str, str]:
        """What a process is started with so that its clock can be moved."""
        self.set(name, 0)
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self.folder / name),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }

    def set(self, name: str, by_s: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / f".{name}"
        unfinished.write_text(f"{by_s:+d}s\n")
        os.replace(unfinished, self.folder / name)


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
