"""Every planted fault, one run each: all must turn it red, by the check that is there for them."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lab.plans import PLANS
from lab.plants import PLANTS
from lab.run import Asked, Lab

RED_S_MAX = 180.0
# A run that does not end by itself is no proof of anything.
RUN_S_MAX = 400.0
SIDE_BY_SIDE = 2
TESTS = Path(__file__).parents[1]


async def caught(
    name: str, seed: int, directory: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run one plant until it is red: what was found, how soon, and whether by the right check."""
    plan = PLANS[PLANTS[name].plan]
    asked = Asked(plan, seed, plan.minutes, (name,), until_red=True)
    began = time.monotonic()
    report = await Lab(asked, directory, say).run()
    return _judged(name, seed, report, time.monotonic() - began)


def _judged(name: str, seed: int, report: dict[str, Any], seconds: float) -> dict[str, Any]:
    red = sorted(report["faults"])
    by = [one for one in red if one in PLANTS[name].caught_by]
    shown = (by or red or [""])[0]
    return {
        "plant": name,
        "seed": seed,
        "is_caught": bool(by) and seconds <= RED_S_MAX,
        "by": shown,
        "red": red,
        "first": report["faults"][shown][0] if shown else "nothing was found",
        "seconds": round(seconds, 1),
        "replay": report["replay"],
    }


def every_plant(
    names: Sequence[str], seeds: Sequence[int], directory: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """These plants under these seeds, two runs side by side, each in a process of its own.

    Before them each of their plans with nothing planted: what is red anyway catches nothing.
    """
    wanted = [(name, seed) for seed in seeds for name in names]
    plans = sorted({PLANTS[name].plan for name in names if PLANTS[name].edits})
    results: list[dict[str, Any]] = []
    with ThreadPoolExecutor(SIDE_BY_SIDE) as runs:
        controls = list(runs.map(lambda plan: _control(plan, seeds[0], directory), plans))
        for control in controls:
            say(f"{'RED' if control['red'] else 'green'} {control['plan']} with nothing planted")
        for result in runs.map(lambda one: _planted(one[0], one[1], directory), wanted):
            results.append(result)
            word = "caught" if result["is_caught"] else "MISSED"
            say(
                f"{word} {result['plant']}, seed {result['seed']}, {result['seconds']} s: "
                f"{result['by']} {result['first'][:160]}"
            )
    missed = [result for result in results if not result["is_caught"]]
    red = [f"{one['plan']} with nothing planted" for one in controls if one["red"]]
    return {
        "seeds": list(seeds),
        "plants": len(names),
        "caught": len(results) - len(missed),
        "missed": [f"{one['plant']} seed {one['seed']}" for one in missed] + red,
        "controls": controls,
        "results": results,
    }


def _control(plan: str, seed: int, directory: Path) -> dict[str, Any]:
    report, _ = _apart(["--plan", plan], seed, directory / f"control-{plan}")
    return {"plan": plan, "red": report["faults"] or not report["figures"], "is": report["replay"]}


def _planted(name: str, seed: int, directory: Path) -> dict[str, Any]:
    place = directory / f"{name}-{seed}"
    report, seconds = _apart(["--plan", PLANTS[name].plan, "--plant", name], seed, place)
    result = _judged(name, seed, report, seconds)
    if result["is_caught"]:
        shutil.rmtree(place, ignore_errors=True)
    return result


def _apart(options: Sequence[str], seed: int, place: Path) -> tuple[dict[str, Any], float]:
    """The report of a run in a process of its own, and how long it took."""
    shutil.rmtree(place, ignore_errors=True)
    command = [sys.executable, "-m", "lab", *options, "--seed", str(seed), "--keep", str(place)]
    env = os.environ | {"PYTHONPATH": str(TESTS)}
    began = time.monotonic()
    with subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        try:
            run.wait(RUN_S_MAX)
        except subprocess.TimeoutExpired:
            run.terminate()
    seconds = time.monotonic() - began
    nothing = {"faults": {}, "figures": {}, "replay": " ".join(command)}
    written = place / "report.json"
    return json.loads(written.read_text("utf-8")) if written.exists() else nothing, seconds


def summary(found: dict[str, Any]) -> Iterator[str]:
    """Plant by seed: after how many seconds it was red, and by which check."""
    cells: dict[str, dict[int, str]] = {}
    for one in found["results"]:
        cell = f"{one['seconds']:.0f} s {one['by']}" if one["is_caught"] else "MISSED"
        cells.setdefault(one["plant"], {})[one["seed"]] = cell
    seeds = found["seeds"]
    yield f"{'plant':24}" + "".join(f"{f'seed {seed}':>14}" for seed in seeds)
    for name, row in cells.items():
        yield f"{name:24}" + "".join(f"{row[seed]:>14}" for seed in seeds)
    red = [control["plan"] for control in found["controls"] if control["red"]]
    yield f"{len(found['controls']) - len(red)} of {len(found['controls'])} plans green unplanted"
    yield f"{found['caught']} of {len(found['results'])} caught"
