import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from yaosu.trial import trial

APP = typer.Typer()
APP.command("trial")(trial)

GOOD = {"case": "IN_CITY", "asset": "COAL", "quantity": "10.001"}
REFUSED = GOOD | {"case": "SAME_COUNTY"}
MALFORMED = GOOD | {"quantity": "10.0001"}


def run(*arguments: str, sent: bytes = b"") -> tuple[int, bytes]:
    result = CliRunner().invoke(APP, arguments, input=sent)
    return result.exit_code, result.stdout_bytes


def run_one(asked: Any, *arguments: str) -> tuple[int, dict[str, Any]]:
    code, out = run("energy.shutdown_split", *arguments, sent=json.dumps(asked).encode())
    return code, json.loads(out)


def test_an_answer_is_json_with_exit_0() -> None:
    code, answer = run_one(GOOD, "--policy", "2022-12-31")
    assert code == 0
    assert (answer["city"], answer["county"]) == ("5.001", "5.000")
    assert answer["policy_version"].startswith("2022-01-01+")


def test_without_a_date_the_rules_of_today_decide() -> None:
    assert run_one(GOOD)[0] == 0


@pytest.mark.article("art. 4")
def test_a_refusal_is_a_problem_with_exit_3() -> None:
    code, problem = run_one(REFUSED, "--policy", "2022-12-31")
    assert code == 3
    assert (problem["code"], problem["article"]) == ("SPLIT_CASE_UNDEFINED", "art. 4")
    assert problem["status"] == 422


@pytest.mark.parametrize(
    ("asked", "arguments"),
    [
        (MALFORMED, ()),
        (MALFORMED | {"case": "SAME_COUNTY"}, ()),
        ([], ()),
        (float("nan"), ()),
        (GOOD, ("--policy", "2021-12-31")),
        (REFUSED, ("--policy", "2021-12-31")),
        (GOOD, ("--policy", "2022-02-30")),
        (GOOD, ("--policy", "")),
        (GOOD, ("--input", "/nonexistent/file")),
    ],
)
def test_malformed_input_is_a_problem_with_exit_2(asked: Any, arguments: tuple[str, ...]) -> None:
    code, problem = run_one(asked, *arguments)
    assert (code, problem["code"]) == (2, "INPUT_INVALID")


@pytest.mark.parametrize("name", ["energy.nothing", "party.nothing", "weather.rain", ""])
def test_an_unknown_trial_is_a_problem_with_exit_3(name: str) -> None:
    code, out = run(name, sent=b"{}")
    assert (code, json.loads(out)["code"]) == (3, "TRIAL_UNKNOWN")


def test_input_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "split.json"
    file.write_text(json.dumps(GOOD))
    code, out = run("energy.shutdown_split", "--input", str(file))
    assert (code, json.loads(out)["city"]) == (0, "5.001")


def test_lines_are_answered_in_order_and_the_run_goes_on() -> None:
    sent = [json.dumps(GOOD), "not json", "", json.dumps(REFUSED), json.dumps(GOOD)]
    code, out = run(
        "energy.shutdown_split", "--lines", "--policy", "2022-12-31", sent="\n".join(sent).encode()
    )
    answers = [json.loads(line) for line in out.decode().splitlines()]
    assert code == 3
    assert [one.get("code") for one in answers] == [
        None,
        "INPUT_INVALID",
        "INPUT_INVALID",
        "SPLIT_CASE_UNDEFINED",
        None,
    ]
    assert answers[0] == answers[4]


def test_lines_without_a_problem_end_with_exit_0() -> None:
    line = json.dumps({"code": "91350100M000100Y43"}).encode() + b"\r\n"
    code, out = run("party.uscc", "--lines", sent=line * 3)
    assert code == 0
    assert len(out.splitlines()) == 3
    assert run("party.uscc", "--lines", sent=b"") == (0, b"")


def test_chinese_is_written_whatever_the_locale() -> None:
    program = "from yaosu.trial import run_trial; raise SystemExit(run_trial('party.uscc'))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=b'{"code":""}',
        capture_output=True,
        env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (3, b"")
    assert json.loads(done.stdout.decode("utf-8"))["title"] == "统一社会信用代码有误"
