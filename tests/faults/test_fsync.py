"""An answer leaves only when its commit is on disk, as the system calls tell it.

A thousand by hand: `make lab PLAN=fsync`.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.plans import PLANS
from lab.run import Asked, Lab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

WRITES = 48


def run(tmp_path: Path, *plants: str) -> dict[str, Any]:
    plan = replace(PLANS["followed"], writes=WRITES)
    report = asyncio.run(Lab(Asked(plan, 1, plan.minutes, plants), tmp_path, print).run())
    figures: dict[str, Any] = report["figures"]
    if "writes_traced" in figures:
        # No strace, or it may not look into other processes here: the lane counts this aloud.
        pytest.skip(figures["writes_traced"])
    return report


def test_each_answer_waits_for_the_disk(tmp_path: Path) -> None:
    report = run(tmp_path)
    assert report["faults"] == {}
    figures = report["figures"]
    assert figures["writes_answered"] == WRITES
    seen = figures["writes_synced_before_answer"] + figures["writes_synced_before_request"]
    assert seen == WRITES
    assert figures["writes_synced_before_answer"] > WRITES // 2
    assert figures["wal_syncs"] > 5


def test_who_does_not_wait_is_seen(tmp_path: Path) -> None:
    report = run(tmp_path, "commit-not-waited")
    assert len(report["faults"]["G2"]) > WRITES // 2
