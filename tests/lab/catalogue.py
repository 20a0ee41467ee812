"""Every planted fault, one run each: all must turn it red, by the check that is there for them."""

import asyncio
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lab.plans import PLANS
from lab.plants import PLANTS
from lab.run import Asked, Lab

RED_S_MAX = 180.0


async def caught(
    name: str, seed: int, directory: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run one plant until it is red: what was found, how soon, and whether by the right check."""
    plant = PLANTS[name]
    plan = PLANS[plant.plan]
    asked = Asked(plan, seed, plan.minutes, (name,), until_red=True)
    began = time.monotonic()
    report = await Lab(asked, directory, say).run()
    seconds = round(time.monotonic() - began, 1)
    red = sorted(report["faults"])
    first = report["faults"][red[0]][0] if red else ""
    is_caught = bool(set(red) & set(plant.caught_by)) and seconds <= RED_S_MAX
    return {
        "plant": name,
        "seed": seed,
        "is_caught": is_caught,
        "red": red,
        "first": first,
        "seconds": seconds,
        "replay": report["replay"],
    }


def every_plant(
    seeds: Sequence[int], directory: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """The whole catalogue under some seeds, one after the other."""
    results = []
    for seed in seeds:
        for name in PLANTS:
            place = directory / f"{name}-{seed}"
            result = asyncio.run(caught(name, seed, place, lambda line: None))
            results.append(result)
            word = "caught" if result["is_caught"] else "MISSED"
            found = f"{', '.join(result['red'])}: {result['first']}"
            say(f"{word} {name}, seed {seed}, {result['seconds']} s: {found}")
            if result["is_caught"]:
                shutil.rmtree(place, ignore_errors=True)
    missed = [result for result in results if not result["is_caught"]]
    return {
        "seeds": list(seeds),
        "plants": len(PLANTS),
        "caught": len(results) - len(missed),
        "missed": [f"{one['plant']} seed {one['seed']}" for one in missed],
        "results": results,
    }
