"""The lanes of `./test`: what is checked, in which order, how long it took and what came of it."""

import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
REPORTS = ROOT / ".pytest_cache" / "lanes"
CODE = ("libs", "services", "cli", "tests", "bench")
NO_TESTS_RAN = 5
# Three on two processors: tests wait for databases. A file's tests share what its fixtures made, so
# it stays with one process; in the order of their names, for the shortest stand at the end.
SPREAD = ("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder")


@dataclass
class Tally:
    """What came of a lane; a check of the check lane counts as one test."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    faults: list[str] = field(default_factory=list)

    def fail(self, fault: str) -> None:
        self.failed += 1
        self.faults.append(fault)

    def skip(self, what: str) -> None:
        self.skipped += 1
        print(f"SKIPPED: {what}", flush=True)

    def line(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def run(tally: Tally, *command: str) -> None:
    print(f"\n$ {' '.join(command)}", flush=True)
    if subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, check=False).returncode:
        tally.fail(" ".join(command))
    else:
        tally.passed += 1


def pytest(tally: Tally, name: str, *arguments: str) -> None:
    report = REPORTS / f"{name}.xml"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    command = ["pytest", "-q", f"--junitxml={report}", *arguments]
    print(f"\n$ {' '.join(command)}", flush=True)
    code = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, check=False).returncode
    if code == NO_TESTS_RAN:
        tally.fail(f"lane {name} found no test to run")
        return
    before = tally.failed
    if report.exists():
        count(tally, report)
    if code and tally.failed == before:
        tally.fail(f"pytest of lane {name} ended with {code}")


def count(tally: Tally, report: Path) -> None:
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        total, skipped = int(suite.attrib["tests"]), int(suite.attrib["skipped"])
        failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
        tally.passed += max(0, total - skipped - failed)
        tally.skipped += skipped
        tally.failed += failed
        tally.faults += list(failures(suite))


def failures(suite: ElementTree.Element) -> Iterator[str]:
    for case in suite.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            yield f"{case.get('classname')}::{case.get('name')}"


def check(tally: Tally) -> None:
    run(tally, "ruff", "format", "--check", "--quiet", ".")
    run(tally, "ruff", "check", "--quiet", ".")
    run(tally, "mypy", *CODE)
    run(tally, "lint-imports", "--no-cache")
    pytest(tally, "tidy", "tests/tidy")


def unit(tally: Tally) -> None:
    chromium(tally)
    pytest(tally, "unit", *SPREAD, "-m", "not kafka and not slow", "--ignore=tests/tidy")


def kafka(tally: Tally) -> None:
    for program, package in (("java", "default-jre-headless"), ("mvn", "maven")):
        from_apt(tally, program, "the real Kafka", package)
    sys.path.insert(0, str(ROOT / "tests"))
    from kafka_node import KafkaMissing, jars

    try:
        jars()
    except KafkaMissing as missing:
        tally.skip(f"the real Kafka: {missing}; every test of it below is skipped")
    pytest(tally, "kafka", *SPREAD, "-m", "kafka")


def slow(tally: Tally) -> None:
    chromium(tally)
    strace(tally)
    pytest(tally, "slow", *SPREAD, "-m", "slow and not kafka")


def chromium(tally: Tally) -> None:
    """The browser of the page tests."""
    from_apt(tally, "chromium", "the page tests", "chromium", "fonts-noto-cjk")


def strace(tally: Tally) -> None:
    """What follows an answer to the disk."""
    from_apt(tally, "strace", "the tests of what is on disk when it is answered", "strace")


def from_apt(tally: Tally, program: str, what: str, *packages: str) -> None:
    """A program is there, or installed where this may be done, or else SKIPPED aloud."""
    if shutil.which(program):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        for step in (["update"], ["install", "-y", *packages]):
            subprocess.run(["apt-get", "-qq", *step], check=False, stdout=subprocess.DEVNULL)
    if not shutil.which(program):
        tally.skip(f"{what}: no {program}. Type: sudo apt install {' '.join(packages)}")


LANES: dict[str, Callable[[Tally], None]] = {
    "check": check,
    "unit": unit,
    "kafka": kafka,
    "slow": slow,
}


def main(asked: list[str]) -> int:
    unknown = [name for name in asked if name not in LANES]
    if unknown:
        print(f"没有这一组 / no such lane: {unknown[0]}. Type: ./test {' | '.join(LANES)}")
        return 2
    whole, minutes = Tally(), []
    for name in asked or LANES:
        print(f"\n===== {name} =====", flush=True)
        tally, began = Tally(), time.monotonic()
        LANES[name](tally)
        minutes.append((name, (time.monotonic() - began) / 60, tally.line()))
        whole.passed += tally.passed
        whole.failed += tally.failed
        whole.skipped += tally.skipped
        whole.faults += tally.faults
    report(whole, minutes)
    return 1 if whole.failed or not whole.passed else 0


def report(whole: Tally, minutes: list[tuple[str, float, str]]) -> None:
    print("\n===== minutes =====")
    for name, spent, line in minutes:
        print(f"{name:8}{spent:6.1f}   {line}")
    for fault in whole.faults:
        print(f"FAILED: {fault}")
    print(whole.line(), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
