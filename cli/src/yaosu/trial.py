"""`yaosu trial`: a rule tried without a server; JSON in, JSON out, nothing stored."""

import json
import sys
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

import emission_trade.trials
import energy_trade.trials
import land_index.trials
from marketkit.errors import InputInvalid, Refusal, problem
from marketkit.trial import Trials, TrialUnknown, read_day

ANSWERED, MALFORMED, REFUSED = 0, 2, 3

# Whose trial it is stands before the dot; a sale and a party are anyone's.
_OWNERS: dict[str, Trials[Any]] = {
    "energy": energy_trade.trials.TRIALS,
    "sale": energy_trade.trials.TRIALS,
    "party": energy_trade.trials.TRIALS,
    "emission": emission_trade.trials.TRIALS,
    "land": land_index.trials.TRIALS,
}


def run_trial(
    name: str, policy: str | None = None, input: str = "-", *, lines: bool = False
) -> int:
    """Answers on standard output and gives the exit code: 0, 2 malformed, 3 refused.

    Args:
        policy: The day whose rules decide, today's if absent.
        input: A file's name, or `-` for standard input.
        lines: One JSON object a line, one answer a line; a problem does not end the run.
    """
    with ExitStack() as stack:
        try:
            on = read_day(policy)
            source = stack.enter_context(_open(input)) if input != "-" else sys.stdin.buffer
        except Refusal as refusal:
            return _say_problem(refusal)
        return _answer_lines(name, on, source) if lines else _answer_one(name, on, source)


def trial(
    name: Annotated[str, typer.Argument(help="试算名称，如 energy.shutdown_split")],
    policy: Annotated[str | None, typer.Option(help="按哪一天的政策，YYYY-MM-DD")] = None,
    input: Annotated[str, typer.Option(help="输入文件，- 为标准输入")] = "-",
    lines: Annotated[bool, typer.Option("--lines", help="每行一个JSON，逐行作答")] = False,
) -> None:
    """试算一条规则：同样的代码、同样的政策，什么也不保存。"""
    raise typer.Exit(run_trial(name, policy, input, lines=lines))


def _open(name: str) -> BinaryIO:
    try:
        return Path(name).open("rb")
    except OSError:
        raise InputInvalid("无法打开输入文件") from None


def _answer(name: str, body: bytes, on: date) -> dict[str, Any]:
    trials = _OWNERS.get(name.partition(".")[0])
    if trials is None:
        raise TrialUnknown()
    return trials.answer(name, body, on)


def _answer_one(name: str, on: date, source: BinaryIO) -> int:
    try:
        _say(_answer(name, source.read(), on), indent=2)
    except Refusal as refusal:
        return _say_problem(refusal)
    return ANSWERED


def _answer_lines(name: str, on: date, source: BinaryIO) -> int:
    code = ANSWERED
    for line in source:
        try:
            _say(_answer(name, line, on))
        except Refusal as refusal:
            _say(problem(refusal))
            code = REFUSED
    return code


def _say_problem(refusal: Refusal) -> int:
    _say(problem(refusal), indent=2)
    return MALFORMED if refusal.code == InputInvalid.code else REFUSED


def _say(document: dict[str, Any], indent: int | None = None) -> None:
    # Bytes, so that neither the locale nor the platform's line ends decide what is written.
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    sys.stdout.buffer.write(text.encode("utf-8") + b"\n")
    sys.stdout.buffer.flush()
