"""P0 in the slow lane: each process killed once, the database stopped at once, the wire wiped."""

import asyncio
from pathlib import Path

import pytest

from lab.plans import PLANS
from lab.run import Asked, Lab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_house_keeps_its_promises_while_each_part_dies(tmp_path: Path) -> None:
    asked = Asked(PLANS["P0"], seed=1, minutes=0.5)
    report = asyncio.run(Lab(asked, tmp_path, print).run())
    assert report["faults"] == {}, report["replay"]
    figures = report["figures"]
    # It was hurt and at work: a run in which nothing happened shows nothing.
    assert figures["kills"] >= 8
    assert all(starts >= 2 for starts in figures["starts_by_role"].values())
    assert figures["answered_writes"] > 60
    assert figures["closings"] >= 3
    assert figures["samples"] > 5
    assert figures["canaries_sought"] > 5
    assert figures["unknown_at_end"] == 0
