"""A run in which nothing happened, or nobody looked, is not green."""

import asyncio
from pathlib import Path

import pytest

from lab.__main__ import one_run, read
from lab.catalogue import _judged
from lab.findings import Findings
from lab.history import History
from lab.least import LAB, LOOKED, judge_enough, watched_on
from lab.plans import PLANS
from lab.plants import PLANTS
from lab.run import Asked, Lab

ENOUGH = dict.fromkeys(LOOKED, 1)


def judged(share: float = 1.0, plan: str = "quiet", **figures: int) -> list[str]:
    findings = Findings(figures=ENOUGH | figures)
    judge_enough(findings, PLANS[plan].least, share)
    return findings.faults.get(LAB, [])


def test_a_run_that_looked_at_all_of_it_is_enough() -> None:
    assert judged() == []


@pytest.mark.parametrize("name", LOOKED)
def test_a_run_that_looked_at_nothing_of_a_kind_is_not(name: str) -> None:
    findings = Findings(figures=ENOUGH | {name: 0})
    judge_enough(findings, {}, 1.0)
    assert findings.faults[LAB] == [f"{name.replace('_', ' ')}: 0, and 1 are wanted"]


def test_a_run_whose_samples_were_missed_is_not() -> None:
    assert judged(samples=4, samples_missed=5) == ["5 samples were missed, most of them"]


def test_a_plan_that_did_not_happen_is_not() -> None:
    done = {"kills": 200, "kills_of_a_role": 20, "postgres_stops": 20, "terms": 20}
    assert judged(plan="P1", **done) == []
    assert judged(plan="P1", **done | {"kills": 199}) == ["kills: 199, and 200 are wanted"]
    # Of a tenth of its length a tenth is wanted.
    assert judged(0.1, "P1", kills=20, kills_of_a_role=2, postgres_stops=2, terms=2) == []
    assert len(judged(0.1, "P1")) == 4


@pytest.mark.parametrize("name", [f"P{number}" for number in (0, 1, 2, 3, 4, 5, 6, 8)])
def test_every_plan_of_ours_says_what_it_must_have_done(name: str) -> None:
    assert PLANS[name].least


async def test_who_looked_to_the_end_is_no_fault_and_who_did_not_is() -> None:
    async def dies() -> None:
        raise KeyError("chain")

    async def is_cancelled() -> None:
        raise asyncio.CancelledError

    async def looks() -> None:
        await asyncio.sleep(60)

    watchers = [
        asyncio.create_task(one(), name=one.__name__) for one in (dies, is_cancelled, looks)
    ]
    await asyncio.sleep(0.01)
    findings = Findings()
    watched_on(watchers, findings)
    watchers[2].cancel()
    assert findings.faults == {
        LAB: ["dies looks no more: KeyError('chain')", "is_cancelled looks no more: cancelled"]
    }


def test_no_plant_counts_as_caught_by_a_house_that_does_not_start(tmp_path: Path) -> None:
    for name, plant in PLANTS.items():
        assert LAB not in plant.caught_by
        report = {"faults": {LAB: ["the house does not start"]}, "replay": ""}
        assert not _judged(name, 1, report, 5.0)["is_caught"]


@pytest.mark.parametrize(
    "asked",
    [
        Asked(PLANS["P1"], 7, 20.0, []),
        Asked(PLANS["P4"], 3, 0.4, [], kafka=True),
        Asked(PLANS["quiet"], 2, 0.7, ["no-dedupe", "no-heads-lock"], until_red=True),
    ],
)
def test_what_a_report_says_replays_it_asks_for_the_same(asked: Asked, tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    said = Lab(asked, tmp_path, print).report(history)["replay"].split()
    history.close()
    assert said[:2] == ["yaosu", "lab"]
    assert one_run(read(said[2:])) == asked
