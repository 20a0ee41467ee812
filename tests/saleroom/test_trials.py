import json
from datetime import date
from typing import Any

import pytest

from marketkit.errors import InputInvalid, Refusal
from marketkit.policy import PolicyVersion
from marketkit.trial import Trials
from saleroom.trials import ClearingIn, clear_trial

DAY = date(2022, 12, 31)


def a_bid(**changes: Any) -> dict[str, Any]:
    bid = {
        "bid_id": "a",
        "bidder": "u",
        "price_yuan": "20",
        "quantity": "5",
        "submitted_at": "2022-11-08T09:00:00+08:00",
    }
    return bid | changes


def a_sale(*bids: dict[str, Any], **changes: Any) -> dict[str, Any]:
    sale = {
        "supply": "10",
        "floor_price_yuan": "12.80",
        "lot_size": "1",
        "price_rule": "LOWEST_ACCEPTED",
        "tie_rule": "TIME",
        "undersubscribed": "SELL",
        "bids": list(bids),
    }
    return sale | changes


def answer(sale: object) -> dict[str, Any]:
    policy = PolicyVersion(version="2022-11-08", effective=date(2022, 11, 8))
    trials = Trials(lambda on: policy)
    trials.add("sale.clearing", ClearingIn, clear_trial)
    return trials.answer("sale.clearing", json.dumps(sale).encode(), DAY)


def pointers(sale: object) -> list[str]:
    with pytest.raises(Refusal) as refused:
        answer(sale)
    assert refused.value.code == "INPUT_INVALID"
    return [fault.pointer for fault in refused.value.errors]


def test_answers_all_places_of_every_unit() -> None:
    said = answer(a_sale(a_bid(), a_bid(bid_id="b", quantity="7.000"), a_bid(bid_id="c")))
    assert said == {
        "outcome": "SOLD",
        "clearing_price_yuan": "20.00",
        "sold": "10.000",
        "unsold": "0.000",
        "awards": [
            {"bid_id": "a", "quantity": "5.000", "price_yuan": "20.00", "amount_yuan": "100.00"},
            {"bid_id": "b", "quantity": "5.000", "price_yuan": "20.00", "amount_yuan": "100.00"},
        ],
        "rejected": [],
        "proceeds_yuan": "200.00",
        "policy_version": "2022-11-08",
    }


def test_pay_as_bid_has_no_clearing_price() -> None:
    said = answer(a_sale(a_bid(), price_rule="PAY_AS_BID"))
    assert said["clearing_price_yuan"] is None
    assert said["outcome"] == "PARTLY_SOLD"


def test_no_bids_fail_the_sale() -> None:
    said = answer(a_sale())
    assert (said["outcome"], said["clearing_price_yuan"]) == ("FAILED", None)
    assert (said["sold"], said["unsold"], said["proceeds_yuan"]) == ("0.000", "10.000", "0.00")


def test_rejected_bids_say_why_in_the_order_of_the_input() -> None:
    low = a_bid(bid_id="z", price_yuan="12.79")
    off = a_bid(bid_id="m", quantity="1.5")
    over = a_bid(bid_id="a", bidder="v", submitted_at="2022-11-08T01:00:00.000001Z")
    last = a_bid(bid_id="b", bidder="v")
    said = answer(a_sale(low, over, off, last, purchase_limit="5.9"))
    assert said["rejected"] == [
        {"bid_id": "z", "code": "BELOW_FLOOR"},
        {"bid_id": "a", "code": "OVER_BID_LIMIT"},
        {"bid_id": "m", "code": "OFF_LOT"},
    ]
    assert [award["bid_id"] for award in said["awards"]] == ["b"]


def test_an_absent_seed_is_the_empty_one() -> None:
    bids = [a_bid(bid_id=bid_id) for bid_id in "abcdef"]
    drawn = answer(a_sale(*bids, tie_rule="RANDOM", supply="30"))
    assert drawn == answer(a_sale(*bids, tie_rule="RANDOM", supply="30", seed=""))
    assert drawn == answer(a_sale(*bids, tie_rule="RANDOM", supply="30", seed=None))
    # SHA-256 of "b", "c", "d", "a", "e", "f" begin with 3e, 2e, 18, ca, 3f, 25.
    assert [award["bid_id"] for award in drawn["awards"]] == ["d", "f", "c", "b", "e", "a"]


def test_a_seed_is_hexadecimal_in_either_case() -> None:
    bids = [a_bid(bid_id=bid_id) for bid_id in "abcdef"]
    lower = answer(a_sale(*bids, tie_rule="RANDOM", seed="00ff"))
    assert lower == answer(a_sale(*bids, tie_rule="RANDOM", seed="00FF"))


def test_null_is_as_good_as_absent() -> None:
    plain = answer(a_sale(a_bid()))
    said = answer(a_sale(a_bid(min_accept_quantity=None), purchase_limit=None, seed=None))
    assert said == plain


def test_a_least_quantity_is_held_to() -> None:
    choosy = a_bid(bid_id="b", quantity="7", min_accept_quantity="5.001")
    said = answer(a_sale(a_bid(), choosy))
    assert [award["bid_id"] for award in said["awards"]] == ["a"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("supply", "0"),
        ("supply", "0.000"),
        ("supply", 10),
        ("supply", 10.5),
        ("supply", "10.0000"),
        ("supply", "010"),
        ("supply", "-1"),
        ("supply", "+1"),
        ("supply", "1e3"),
        ("supply", " 1"),
        ("supply", "1\n"),
        ("supply", "１"),
        ("supply", "1,000"),
        ("supply", "99999999999999999999"),
        ("supply", None),
        ("floor_price_yuan", "0"),
        ("floor_price_yuan", "12.800"),
        ("lot_size", "0"),
        ("purchase_limit", "0"),
        ("purchase_limit", ""),
        ("price_rule", "lowest_accepted"),
        ("price_rule", None),
        ("tie_rule", "PRICE"),
        ("undersubscribed", "KEEP"),
        ("seed", "0"),
        ("seed", "0g"),
        ("seed", "00 ff"),
        ("seed", "00\n"),
        ("seed", 0),
        ("bids", {}),
        ("bids", None),
        ("surplus", "1"),
    ],
)
def test_a_malformed_field_is_told_by_its_place(field: str, value: object) -> None:
    assert pointers(a_sale(a_bid(), **{field: value})) == [f"/{field}"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bid_id", ""),
        ("bid_id", 1),
        ("bid_id", None),
        ("bid_id", "a\u0000"),
        ("bidder", ""),
        ("price_yuan", "0.00"),
        ("price_yuan", "1.001"),
        ("quantity", "0"),
        ("quantity", "1.0005"),
        ("min_accept_quantity", "0"),
        ("min_accept_quantity", "5.001"),
        ("submitted_at", "2022-11-08T09:00:00"),
        ("submitted_at", "2022-11-08"),
        ("submitted_at", "2022-02-30T09:00:00Z"),
        ("submitted_at", 1667869200),
        ("price", "20"),
    ],
)
def test_a_malformed_bid_is_told_by_its_place(field: str, value: object) -> None:
    good = a_bid(bid_id="first")
    assert pointers(a_sale(good, a_bid(**{field: value}))) == [f"/bids/1/{field}"]


@pytest.mark.parametrize("field", list(a_sale()))
def test_every_field_of_the_sale_is_required(field: str) -> None:
    sale = a_sale(a_bid())
    del sale[field]
    assert pointers(sale) == [f"/{field}"]


@pytest.mark.parametrize("field", list(a_bid()))
def test_every_field_of_a_bid_is_required(field: str) -> None:
    bid = a_bid()
    del bid[field]
    assert pointers(a_sale(bid)) == [f"/bids/0/{field}"]


def test_a_bid_id_used_twice_is_malformed_even_on_a_rejected_bid() -> None:
    twice = [a_bid(), a_bid(bidder="v", price_yuan="1"), a_bid(bid_id="A")]
    assert pointers(a_sale(*twice)) == ["/bids/1/bid_id"]


def test_pro_rata_with_a_least_quantity_is_malformed() -> None:
    choosy = a_bid(min_accept_quantity="1")
    assert pointers(a_sale(choosy, tie_rule="PRO_RATA")) == ["/bids/0/min_accept_quantity"]


def test_a_least_quantity_may_equal_the_quantity() -> None:
    assert answer(a_sale(a_bid(min_accept_quantity="5.000")))["sold"] == "5.000"


def test_half_a_surrogate_pair_is_malformed() -> None:
    with pytest.raises(InputInvalid):
        answer(a_sale(a_bid(bid_id="\ud800")))


def test_an_id_is_hashed_as_written() -> None:
    # "é" composed and decomposed are two ids: neither is normalized, and both may bid.
    said = answer(a_sale(a_bid(bid_id="\u00e9"), a_bid(bid_id="e\u0301"), a_bid(bid_id=" a ")))
    assert [award["bid_id"] for award in said["awards"]] == [" a ", "e\u0301"]


def test_amounts_beyond_a_machine_word_are_exact() -> None:
    most = "9223372036854775.807"
    said = answer(
        a_sale(
            a_bid(quantity=most, price_yuan="92233720368547758.07"), supply=most, lot_size="0.001"
        )
    )
    assert said["proceeds_yuan"] == "850705917302346158473969077842325.01"
