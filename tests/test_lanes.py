"""The commands' own bookkeeping: what they count, and that nothing is skipped in silence."""

from pathlib import Path

import pytest

from kafka_node import KafkaMissing, jars
from lanes import LANES, Tally, count, main, report

SUITE = """<testsuites><testsuite name="pytest" errors="1" failures="1" skipped="2" tests="7">
<testcase classname="tests.a" name="fails"><failure/></testcase>
<testcase classname="tests.b" name="breaks"><error/></testcase>
<testcase classname="tests.c" name="passes"/>
</testsuite></testsuites>"""


def test_a_report_of_pytest_is_counted(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(SUITE)
    tally = Tally()
    count(tally, tmp_path / "report.xml")
    assert tally.line() == "3 passed, 2 failed, 2 skipped"
    assert tally.faults == ["tests.a::fails", "tests.b::breaks"]


def test_the_last_line_sums_the_lanes_and_each_has_its_minutes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report(Tally(passed=5, skipped=1), [("unit", 1.25, "4 passed"), ("kafka", 0.5, "1 passed")])
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[1:] == [
        "unit       1.2   4 passed",
        "kafka      0.5   1 passed",
        "5 passed, 0 failed, 1 skipped",
    ]


def test_a_lane_with_a_fault_or_without_a_test_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    for lane, code in ((lambda tally: tally.fail("x"), 1), (lambda tally: None, 1), (good, 0)):
        monkeypatch.setitem(LANES, "unit", lane)
        assert main(["unit"]) == code


def good(tally: Tally) -> None:
    tally.passed += 1


def test_what_is_skipped_is_said_aloud(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    tally.skip("the real Kafka: no java")
    assert capsys.readouterr().out == "SKIPPED: the real Kafka: no java\n"
    assert tally.skipped == 1


def test_without_java_or_maven_there_is_no_real_kafka(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YAOSU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KafkaMissing, match="no java on PATH"):
        jars()
    program(tmp_path / "java", "exit 0")
    with pytest.raises(KafkaMissing, match="no mvn on PATH"):
        jars()
    program(tmp_path / "mvn", "echo the repository is out of reach; exit 1")
    with pytest.raises(KafkaMissing, match="the repository is out of reach"):
        jars()
    assert list((tmp_path / "cache").iterdir()) == []


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
