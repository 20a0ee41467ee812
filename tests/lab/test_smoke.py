"""P0 in the slow lane, a planted fault that must be seen, and that nothing is left running."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lab.catalogue import caught
from lab.least import LAB
from lab.plans import PLANS
from lab.run import Asked, Lab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TESTS = Path(__file__).parents[1]


# It was hurt and at work: a run in which nothing happened shows nothing.
ENOUGH = {
    "kills": 9,
    "answered_writes": 61,
    "closings": 3,
    "bids_judged": 6,
    "samples": 6,
    "canaries_sought": 6,
    "bytes_scanned": 10_000_001,
    "isolation_probes": 6,
    "coal_rows": 201,
    "pledges": 2,
    "releases": 4,
    # From the last wipe of the wire on, whenever that was.
    "wire_records": 6,
}


# A slow machine does less in as many seconds: what showed too little is played at greater length.
@pytest.mark.timeout(600)
def test_the_house_keeps_its_promises_while_each_part_dies(tmp_path: Path) -> None:
    for place, minutes in enumerate((0.4, 0.8, 1.6)):
        asked = Asked(PLANS["P0"], seed=1, minutes=minutes)
        report = asyncio.run(Lab(asked, tmp_path / str(place), print).run())
        figures = report["figures"]
        assert report["faults"].keys() <= {LAB}, (report["faults"], report["replay"])
        assert figures["unknown_at_end"] == 0
        too_little = report["faults"].get(LAB) or [
            f"{name}: {figures.get(name)}" for name in ENOUGH if figures.get(name, 0) < ENOUGH[name]
        ]
        if not too_little:
            break
    else:
        pytest.fail(f"four times the length and yet: {too_little}")
    assert all(starts >= 2 for starts in figures["starts_by_role"].values())


def test_the_board_is_served_while_a_service_is_frozen_whole(tmp_path: Path) -> None:
    asked = Asked(PLANS["frozen"], seed=1, minutes=0.4)
    report = asyncio.run(Lab(asked, tmp_path, print).run())
    assert report["faults"] == {}, report["replay"]
    assert report["figures"]["frozen"] == 7
    assert report["figures"]["board_reads"] > 50


def test_a_planted_fault_turns_a_run_red(tmp_path: Path) -> None:
    found = asyncio.run(caught("no-heads-lock", 1, tmp_path, print))
    assert found["is_caught"], found


# The whole house, and the small one, which is up in half the time.
@pytest.mark.parametrize(("number", "plan"), [(signal.SIGKILL, "quiet"), (signal.SIGTERM, "fsync")])
def test_a_lab_that_ends_leaves_nothing_running(
    tmp_path: Path, number: signal.Signals, plan: str
) -> None:
    command = [sys.executable, "-m", "lab", "--plan", plan, "--keep", str(tmp_path)]
    env = os.environ | {"PYTHONPATH": str(TESTS)}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as lab:
        try:
            assert lab.stderr is not None
            assert "house ready" in lab.stderr.readline()
            born = psutil.Process(lab.pid).children(recursive=True)
            assert len(born) > 8
            lab.send_signal(number)
            assert lab.wait(60) in {130, -number}
            deadline = time.monotonic() + 30
            while left := [process for process in born if _lives(process)]:
                assert time.monotonic() < deadline, left
                time.sleep(0.2)
        finally:
            lab.kill()


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
