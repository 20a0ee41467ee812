import re
from collections.abc import Iterator

import pytest

from marketkit.errors import (
    Busy,
    Conflict,
    FieldFault,
    Forbidden,
    InputInvalid,
    NotFound,
    Refusal,
    RuleBroken,
    Unauthenticated,
    Unreadable,
    problem,
)


class OverBidLimit(RuleBroken):
    title = "超过申购上限"
    article = "art. 5"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (Unreadable, 400),
        (Unauthenticated, 401),
        (Forbidden, 403),
        (NotFound, 404),
        (Conflict, 409),
        (RuleBroken, 422),
        (InputInvalid, 422),
        (Busy, 503),
    ],
)
def test_a_kind_has_one_status(kind: type[Refusal], status: int) -> None:
    assert kind.status == kind().status == status


def test_a_code_is_its_classs_name() -> None:
    assert OverBidLimit.code == "OVER_BID_LIMIT"
    assert InputInvalid.code == "INPUT_INVALID"

    class BidV2Closed(Conflict):
        title = "已截止"

    assert BidV2Closed.code == "BID_V2_CLOSED"


def kinds(kind: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    for found in kind.__subclasses__():
        yield found
        yield from kinds(found)


def test_every_refusal_meets_people_in_chinese_and_programs_in_capitals() -> None:
    for kind in kinds():
        if kind.__module__.split(".")[0] in {"marketkit", "saleroom", "energy_trade", "gateway"}:
            assert re.search("[\u4e00-\u9fff]", kind.title), kind
            assert re.fullmatch("[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", kind.code), kind
            assert 400 <= kind.status < 600, kind


def test_a_problem_says_no_more_than_it_has() -> None:
    assert problem(OverBidLimit()) == {
        "type": "/problems/OVER_BID_LIMIT",
        "title": "超过申购上限",
        "status": 422,
        "code": "OVER_BID_LIMIT",
        "article": "art. 5",
    }


def test_a_problem_says_all_it_has() -> None:
    refusal = OverBidLimit("上限60吨", article="notice", errors=[FieldFault("/steps/0", "过多")])
    document = problem(refusal, "t" * 32, "/v1/sales/1")
    assert document["detail"] == str(refusal) == "上限60吨"
    assert document["article"] == "notice"
    assert document["errors"] == [{"pointer": "/steps/0", "message": "过多"}]
    assert (document["trace_id"], document["instance"]) == ("t" * 32, "/v1/sales/1")
    assert OverBidLimit.article == "art. 5"
