import json

import pytest

from gateway.board.rules import Result, announcement_title, lag_events, result_text, steps_in


def test_a_result_with_one_price_and_a_rest() -> None:
    result = Result("ENERGY", 22650, 10_000_000, 500, 226_500_000)
    assert result_text(result) == (
        "成交10,000.000吨标准煤，成交价每吨标准煤226.50元，成交金额合计2,265,000.00元；"
        "未成交0.500吨标准煤，已释放。"
    )


def test_a_result_paid_as_bid_of_which_nothing_is_left() -> None:
    text = result_text(Result("COAL", None, 1_000_000, 0, 10_000))
    assert text == "成交1,000.000吨，各按其报价成交，成交金额合计100.00元。"


def test_an_announcement_is_titled_after_its_sale() -> None:
    assert announcement_title("RESULT", "第一批竞购") == "第一批竞购成交结果公告"


def test_the_steps_of_a_plaintext() -> None:
    steps = [{"price_yuan": "226.50", "quantity": "10.000", "min_accept_quantity": "5.000"}]
    plaintext = json.dumps({"steps": steps, "nonce": "00" * 32}).ljust(4096)
    assert [step.model_dump(mode="json") for step in steps_in(plaintext)] == steps


@pytest.mark.parametrize(
    "plaintext",
    [
        None,
        "",
        "no json",
        "[]",
        '{"steps": 1}',
        '{"steps": [{"price_yuan": "1e9", "quantity": "1"}]}',
        '{"steps": [], "steps": []}',
        '"\ud800"',
        "[" * 10_000,
    ],
)
def test_a_plaintext_that_is_no_bid_has_no_steps(plaintext: str | None) -> None:
    assert steps_in(plaintext) == []


def test_lag_is_what_the_heads_are_ahead_and_never_less_than_nothing() -> None:
    assert lag_events({0: 5, 1: 3, 2: 1}, {0: 2, 1: 9}) == 3 + 0 + 1
