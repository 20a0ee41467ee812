import json
from typing import get_args

import pytest

from contracts.sale import SaleFailed
from gateway.board.rules import (
    ANNOUNCEMENT_TITLES,
    FAILURES,
    Result,
    announcement_title,
    lag_events,
    result_text,
    steps_in,
)


def test_a_result_is_one_sentence() -> None:
    said = result_text(Result("ENERGY", 22_650, 10_000_000, 500, 226_500_000))
    assert said == (
        "成交10,000.000吨标准煤，成交价每吨标准煤226.50元，"
        "成交金额合计2,265,000.00元；未成交0.500吨标准煤，已释放。"
    )
    assert "各按其报价成交" in result_text(Result("COAL", None, 1, 0, 1))


def test_every_reason_of_a_failure_has_words() -> None:
    reasons = get_args(SaleFailed.model_fields["reason"].annotation)
    assert len(reasons) == 4
    assert set(FAILURES) == set(reasons)


def test_an_announcement_is_named_after_its_sale() -> None:
    titles = {announcement_title(kind, "甲场") for kind in ANNOUNCEMENT_TITLES}
    assert "甲场竞购公告" in titles
    assert len(titles) == len(ANNOUNCEMENT_TITLES)


def test_the_steps_of_a_plaintext_are_read() -> None:
    text = {
        "steps": [
            {"price_yuan": "226.50", "quantity": "4000.000"},
            {"price_yuan": "200.00", "quantity": "10.000", "min_accept_quantity": "1.000"},
        ],
        "nonce": "00" * 32,
    }
    first, second = steps_in(json.dumps(text))
    assert (first.price_yuan, first.quantity, first.min_accept_quantity) == (
        22_650,
        "4000.000",
        None,
    )
    assert second.min_accept_quantity == "1.000"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "null",
        "{}",
        '{"steps": 7}',
        '{"steps": [{"price_yuan": "NaN", "quantity": "1"}]}',
        '{"steps": [], "steps": []}',
        '{"steps": [{"price_yuan": 1, "quantity": "1"}]}',
        "\ud800",
        "[" * 10_000,
    ],
)
def test_a_plaintext_that_says_nothing_has_no_steps(text: str | None) -> None:
    assert steps_in(text) == []


def test_lag_counts_what_is_known_and_not_applied() -> None:
    assert lag_events({0: 5, 1: 7}, {0: 5, 1: 4}) == 3
    assert lag_events({0: 5}, {}) == 5
    assert lag_events({0: 5}, {0: 9}) == 0
    assert lag_events({}, {0: 9}) == 0
