"""`python -m seeded FIRST COUNT`: seeds by hand; `--trace` shows the turns of each."""

import argparse
import asyncio
import logging
import sys
import time

import structlog

from seeded.checks import check
from seeded.play import Stage, play
from seeded.stage import own_database, staged

REPLAY = "PYTHONPATH=tests .venv/bin/python -m seeded {seed} 1 --trace"


async def run(stage: Stage, first: int, count: int, *, shows_trace: bool) -> int:
    """Play the seeds; how many failed, each with what replays it."""
    failed, began = 0, time.monotonic()
    for seed in range(first, first + count):
        try:
            found = await play(stage, seed)
            if shows_trace:
                print("\n".join(found.turns.trace), f"\ntrace {found.turns.digest}")
            await check(stage, found)
        except AssertionError as error:
            failed += 1
            print(f"seed {seed} failed: {error}\n{REPLAY.format(seed=seed)}", flush=True)
        if (seed - first + 1) % 100 == 0:
            spent = time.monotonic() - began
            print(f"{seed - first + 1} seeds, {failed} failed, {spent:.0f} s", flush=True)
    print(f"{count} seeds from {first} on: {failed} failed")
    return failed


async def main() -> int:
    parser = argparse.ArgumentParser(prog="seeded")
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--trace", action="store_true")
    said = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with own_database() as database:
        async with staged(database) as stage:
            return await run(stage, said.first, said.count, shows_trace=said.trace)


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(main()) else 0)
