"""`python -m lab`: what `yaosu lab` runs in a checkout."""

import argparse
import asyncio
import logging
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from lab.catalogue import every_plant, summary
from lab.plans import PLANS
from lab.plants import PLANTS
from lab.report import table, write
from lab.run import Asked, Lab


def read(line: Sequence[str]) -> argparse.Namespace:
    """What a command line asks for."""
    parser = argparse.ArgumentParser(prog="yaosu lab", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plan", choices=sorted(PLANS), help="P0, or a plant's own")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--plant", default="", help="planted faults: the run ends when it is red")
    parser.add_argument("--seeds", type=int, help="each plant on so many seeds, then a table")
    parser.add_argument("--until-red", action="store_true", help="end at the first fault found")
    parser.add_argument("--kafka", action="store_true", help="three real brokers")
    parser.add_argument("--keep", type=Path, help="keep everything in this directory")
    return parser.parse_args(line)


def one_run(asked: argparse.Namespace) -> Asked:
    """The one run that is asked for."""
    plants = [name for name in asked.plant.split(",") if name]
    plan = PLANS[asked.plan or (PLANTS[plants[0]].plan if plants else "P0")]
    minutes = asked.minutes or plan.minutes
    until_red = asked.until_red or bool(plants)
    return Asked(plan, asked.seed, minutes, plants, asked.kafka, until_red)


def main() -> int:
    """Read the command line, run, report; 1 if anything was found."""
    # What a client of a broker says while the broker is down is what we are here for.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    asked = read(sys.argv[1:])
    plants = [name for name in asked.plant.split(",") if name]
    if asked.plant == "all" or asked.seeds:
        names = list(PLANTS) if asked.plant == "all" else plants
        return _catalogue(names, range(asked.seed, asked.seed + (asked.seeds or 1)), asked.keep)
    return asyncio.run(_run(one_run(asked), asked.keep))


def _catalogue(names: Sequence[str], seeds: Sequence[int], keep: Path | None) -> int:
    directory = keep or Path(tempfile.mkdtemp(prefix="yaosu-plants-"))
    directory.mkdir(parents=True, exist_ok=True)
    found = every_plant(names, seeds, directory, lambda line: print(line, flush=True))
    write(found, directory / "plants.json")
    print("", *summary(found), f"{directory}/plants.json", sep="\n")
    return 1 if found["missed"] else 0


async def _run(asked: Asked, keep: Path | None) -> int:
    directory = keep or Path(tempfile.mkdtemp(prefix="yaosu-lab-"))
    directory.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - began:6.1f}] {line}", file=sys.stderr, flush=True)

    task = asyncio.create_task(Lab(asked, directory, say).run())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        report = await task
    except asyncio.CancelledError:
        print("stopped", file=sys.stderr)
        return 130
    write(report, directory / "report.json")
    print(table(report))
    if keep is None and not report["is_red"]:
        shutil.rmtree(directory, ignore_errors=True)
    else:
        print(f"everything is in {directory}")
    return 1 if report["is_red"] else 0


if __name__ == "__main__":
    sys.exit(main())
