"""A fact told twice, by nobody's command, or not at all is found."""

import json
from typing import Any

import pytest

from lab.findings import Findings
from lab.history import Call
from lab.tellings import TELLS, judge_tellings


def call(kind: str, status: int = 200, **answer: str) -> Call:
    made = Call(kind, "key", "somebody", "/v1", b"{}")
    made.status, made.answer = status, json.dumps(answer).encode()
    return made


def event(kind: str, subject: str = "sale-1", **data: str) -> dict[str, Any]:
    return {"type": f"yaosu.energy.{kind}.v1", "subject": subject, "data": data}


SIGNED = call("sign", sale_id="sale-1", registration_id="a")
TOLD = event("sale.contract_signed", registration_id="a")


def judged(calls: list[Call], events: list[dict[str, Any]]) -> Findings:
    findings = Findings()
    judge_tellings(calls, events, findings)
    return findings


def test_each_told_once_is_as_it_should_be() -> None:
    of_a_sale = [call("archive", sale_id="sale-1"), call("archive", sale_id="sale-2")]
    archived = [event("sale.archived", subject=sale) for sale in ("sale-2", "sale-1")]
    refused = call("sign", 409, code="SIGNING_LATE")
    found = judged([SIGNED, refused, *of_a_sale], [*archived, TOLD, event("sale.closed")])
    assert found.faults == {}
    assert found.figures == {"tellings_judged": 3, "told_twice": 0}


@pytest.mark.parametrize("calls", [[], [SIGNED]], ids=["nobody's", "twice"])
def test_what_is_told_and_answers_nobody_is_found(calls: list[Call]) -> None:
    found = judged(calls, [TOLD] * (len(calls) + 1))
    assert found.faults == {
        "G8": ["('sale.contract_signed', 'a'): told 1 times more than answered"]
    }
    assert found.figures["told_twice"] == 1


def test_what_is_answered_and_not_told_is_found() -> None:
    found = judged([SIGNED], [event("sale.contract_signed", registration_id="b")])
    assert "('sale.contract_signed', 'a'): 1 answered, and not told" in found.faults["G1"]


def test_every_kind_of_call_is_judged() -> None:
    for kind in TELLS:
        assert judged([call(kind, sale_id="s")], []).faults.keys() == {"G1"}
