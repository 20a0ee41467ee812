import json
from datetime import date
from typing import Any

import pytest

from energy_trade.trials import TRIALS
from marketkit.errors import Refusal

YEAR_END = date(2022, 12, 31)


def ask(name: str, **fields: Any) -> dict[str, Any]:
    return TRIALS.answer(name, json.dumps(fields).encode(), YEAR_END)


def refused(name: str, **fields: Any) -> tuple[str, str | None]:
    with pytest.raises(Refusal) as caught:
        ask(name, **fields)
    return caught.value.code, caught.value.article


def shutdown(**changed: Any) -> dict[str, Any]:
    return {"case": "CROSS_CITY", "asset": "ENERGY", "quantity": "123456.789"} | changed


@pytest.mark.article("art. 4")
def test_cross_city_coking_is_answered_with_all_places() -> None:
    answer = ask("energy.shutdown_split", **shutdown())
    assert answer.pop("policy_version").startswith("2022-01-01+")
    assert answer == {
        "province": "61728.395",
        "city": "30864.197",
        "county": "30864.197",
        "compensated": {"province": True, "city": False, "county": False},
        "usable_locally": True,
        "articles": ["art. 4"],
    }


@pytest.mark.article("art. 4")
def test_coal_of_a_province_dispatched_plant() -> None:
    answer = ask(
        "energy.shutdown_split",
        **shutdown(case="PROV_DISPATCH_PLANT", asset="COAL", quantity="300000"),
    )
    assert (answer["province"], answer["city"], answer["county"]) == (
        "300000.000",
        "0.000",
        "0.000",
    )
    assert answer["usable_locally"] is False
    assert answer["compensated"] == {"province": True, "city": False, "county": False}


@pytest.mark.article("art. 4")
def test_paid_is_said_even_where_rounding_leaves_nothing() -> None:
    answer = ask("energy.shutdown_split", **shutdown(case="CROSS_CITY", quantity="0.001"))
    assert (answer["city"], answer["county"]) == ("0.000", "0.000")
    assert answer["compensated"] == {"province": True, "city": False, "county": False}


@pytest.mark.article("art. 4")
def test_a_case_outside_the_table_is_refused_by_its_article() -> None:
    for case in ("SAME_COUNTY", "", "cross_city"):
        asked = shutdown(case=case)
        assert refused("energy.shutdown_split", **asked) == ("SPLIT_CASE_UNDEFINED", "art. 4")


@pytest.mark.parametrize(
    "changed",
    [
        {"quantity": "0"},
        {"quantity": "0.000"},
        {"quantity": "1.0000"},
        {"quantity": "-1"},
        {"quantity": "01"},
        {"quantity": "1."},
        {"quantity": "１"},
        {"quantity": 1},
        {"quantity": None},
        {"asset": "GAS"},
        {"asset": None},
        {"case": None},
        {"case": 1},
        {"note": "x"},
    ],
)
def test_malformed_input_is_found_before_the_case(changed: dict[str, Any]) -> None:
    asked = shutdown(case="SAME_COUNTY") | changed
    assert refused("energy.shutdown_split", **asked) == ("INPUT_INVALID", None)


def test_every_field_is_required() -> None:
    for absent in ("case", "asset", "quantity"):
        asked = {name: value for name, value in shutdown().items() if name != absent}
        assert refused("energy.shutdown_split", **asked) == ("INPUT_INVALID", None)
    assert refused("party.uscc") == ("INPUT_INVALID", None)


@pytest.mark.parametrize(
    ("code", "region"),
    [
        ("91350100M000100Y43", "350100"),
        ("91110000101623741K", "110000"),
        ("911101066976941872", "110106"),
        ("91370500MA3TEQT19H", "370500"),
        ("91370522MA3LJDD46D", "370522"),
        ("12370500MB0000019M", "370500"),
    ],
)
def test_a_valid_uscc_answers_its_region_as_written(code: str, region: str) -> None:
    answer = ask("party.uscc", code=code)
    assert answer.pop("policy_version").startswith("2022-01-01+")
    assert answer == {"valid": True, "region_code": region}


@pytest.mark.parametrize(
    "code",
    [
        "",
        "91350100M000100Y4",
        "91350100M000100Y44",
        "91350211M0000XUF46",
        "91350100m000100y43",
        " 91350100M000100Y43",
        "91350100M000100Y43\n",
        "9135010０M000100Y43",
        "91350100M000100I43",
        "91350100-M000100Y43",
        "\0",
        "9" * 100_000,
    ],
)
def test_any_other_string_is_uscc_invalid(code: str) -> None:
    assert refused("party.uscc", code=code) == ("USCC_INVALID", None)


@pytest.mark.parametrize("code", [None, 1, ["91350100M000100Y43"], True])
def test_a_uscc_that_is_no_string_is_malformed(code: Any) -> None:
    assert refused("party.uscc", code=code) == ("INPUT_INVALID", None)


def test_a_sale_is_cleared_by_anyones_trial() -> None:
    bid = {"bidder": "甲", "quantity": "3.000", "submitted_at": "2022-09-01T09:30:00+08:00"}
    answer = ask(
        "sale.clearing",
        supply="5.000",
        floor_price_yuan="200.00",
        lot_size="1.000",
        price_rule="LOWEST_ACCEPTED",
        tie_rule="TIME",
        undersubscribed="SELL",
        bids=[
            bid | {"bid_id": "a", "price_yuan": "230.00"},
            bid | {"bid_id": "b", "price_yuan": "226.50"},
            bid | {"bid_id": "c", "price_yuan": "199.99"},
        ],
    )
    assert answer.pop("policy_version").startswith("2022-01-01+")
    assert answer == {
        "outcome": "SOLD",
        "clearing_price_yuan": "226.50",
        "sold": "5.000",
        "unsold": "0.000",
        "awards": [
            {
                "bid_id": "a",
                "quantity": "3.000",
                "price_yuan": "226.50",
                "amount_yuan": "679.50",
            },
            {
                "bid_id": "b",
                "quantity": "2.000",
                "price_yuan": "226.50",
                "amount_yuan": "453.00",
            },
        ],
        "rejected": [{"bid_id": "c", "code": "BELOW_FLOOR"}],
        "proceeds_yuan": "1132.50",
    }


@pytest.mark.parametrize(
    "changed", [{"price_rule": "CHEAPEST"}, {"supply": "0"}, {"lot_size": 1}, {"bids": {}}]
)
def test_a_malformed_sale_is_input_invalid(changed: dict[str, Any]) -> None:
    asked: dict[str, Any] = {
        "supply": "5.000",
        "floor_price_yuan": "200.00",
        "lot_size": "1.000",
        "price_rule": "LOWEST_ACCEPTED",
        "tie_rule": "TIME",
        "undersubscribed": "SELL",
        "bids": [],
    }
    assert ask("sale.clearing", **asked)["outcome"] == "FAILED"
    assert refused("sale.clearing", **(asked | changed)) == ("INPUT_INVALID", None)


@pytest.mark.article("art. 7")
@pytest.mark.parametrize(
    ("stock_t", "days", "level"),
    [
        ("152000", "19.00", "BREACH"),
        ("160000", "20.00", "OK"),
        ("159999.999", "19.99", "BREACH"),
        ("200000.000", "25.00", "TARGET"),
        ("240000", "30.00", "STRETCH"),
        ("0", "0.00", "BREACH"),
    ],
)
def test_coal_stock_in_days(stock_t: str, days: str, level: str) -> None:
    answer = ask("energy.coal_stock", stock_t=stock_t, daily_burn_t="8000")
    assert answer.pop("policy_version").startswith("2022-01-01+")
    assert answer == {"days": days, "level": level, "articles": ["art. 7"]}


@pytest.mark.parametrize(
    "fields",
    [
        {"stock_t": "1", "daily_burn_t": "0"},
        {"stock_t": "1", "daily_burn_t": "0.0000"},
        {"stock_t": 1, "daily_burn_t": "1"},
        {"stock_t": "1"},
        {"stock_t": "1", "daily_burn_t": "1", "plant_id": "one"},
    ],
    ids=str,
)
def test_a_malformed_coal_stock(fields: dict[str, Any]) -> None:
    assert refused("energy.coal_stock", **fields) == ("INPUT_INVALID", None)
