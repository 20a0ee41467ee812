"""When a sealed bid is taken in, and the instant each gets."""

from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saleroom.bids.rules import (
    TICK,
    BiddingClosed,
    BiddingNotOpen,
    BidVersionWrong,
    NotQualified,
    PlacedBid,
    Window,
    check_sealed_bid,
    check_window,
    instants_of,
)
from saleroom.sealing import CIPHERTEXT_BYTES, BidKeyWrong, BidSizeWrong
from toy_market import ANNOUNCED, CLOSES, OPENS

WINDOW = Window("sale", "OPEN", OPENS, CLOSES, bytes(32), "2022-01-01+00000000")
BID = PlacedBid("sale", "uscc", 1, bytes(CIPHERTEXT_BYTES), bytes(32), bytes(32))


def check(bid: PlacedBid = BID, window: Window = WINDOW, **changes: Any) -> None:
    said: dict[str, Any] = {"registration": "QUALIFIED", "last_version": 0, "at": OPENS}
    check_sealed_bid(window, bid, **(said | changes))


def test_a_bid_is_taken_in_from_the_opening_until_just_before_the_close() -> None:
    check()
    check(at=CLOSES - TICK)


def test_a_bid_at_closing_time_is_late() -> None:
    for at in (CLOSES, CLOSES + TICK):
        with pytest.raises(BiddingClosed) as refused:
            check(at=at)
        assert refused.value.article == "notice"


def test_a_bid_before_the_opening_is_early() -> None:
    with pytest.raises(BiddingNotOpen):
        check(at=OPENS - TICK)


@pytest.mark.parametrize(
    ("state", "refusal"),
    [
        ("DRAFT", BiddingNotOpen),
        ("ANNOUNCED", BiddingNotOpen),
        ("SUSPENDED", BiddingNotOpen),
        ("FAILED", BiddingNotOpen),
        ("CANCELLED", BiddingNotOpen),
        ("CLOSED", BiddingClosed),
        ("OPENED", BiddingClosed),
        ("CLEARED", BiddingClosed),
        ("CONFIRMED", BiddingClosed),
        ("SETTLED", BiddingClosed),
        ("ARCHIVED", BiddingClosed),
    ],
)
def test_only_an_open_sale_takes_bids(state: str, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        check_window(replace(WINDOW, state=state), OPENS)


@pytest.mark.parametrize("registration", [None, "REGISTERED", "REFUSED", "WITHDRAWN"])
def test_only_the_qualified_bid(registration: str | None) -> None:
    with pytest.raises(NotQualified):
        check(registration=registration)


@pytest.mark.parametrize(("last", "next_one"), [(0, 1), (1, 2), (7, 8)])
def test_a_version_is_the_one_after_the_last(last: int, next_one: int) -> None:
    check(replace(BID, version=next_one), last_version=last)
    for version in (next_one - 1, next_one + 1):
        with pytest.raises(BidVersionWrong):
            check(replace(BID, version=version), last_version=last)


@pytest.mark.parametrize(
    "changes",
    [
        {"ciphertext": b""},
        {"ciphertext": bytes(CIPHERTEXT_BYTES - 1)},
        {"ciphertext": bytes(CIPHERTEXT_BYTES + 1)},
        {"commitment": bytes(31)},
    ],
    ids=["empty", "short", "long", "short commitment"],
)
def test_a_bid_has_one_size(changes: dict[str, Any]) -> None:
    with pytest.raises(BidSizeWrong):
        check(replace(BID, **changes))


def test_a_bid_sealed_to_another_sale_s_key_is_refused() -> None:
    with pytest.raises(BidKeyWrong):
        check(replace(BID, key_sm3=bytes(31) + b"1"))


def test_the_first_refusal_is_the_one_told() -> None:
    wrong = replace(BID, key_sm3=b"", version=9)
    mended = replace(BID, version=9)
    order: list[tuple[type[Exception], PlacedBid, dict[str, Any]]] = [
        (BidSizeWrong, replace(wrong, ciphertext=b""), {"registration": None, "at": CLOSES}),
        (BiddingClosed, wrong, {"registration": None, "at": CLOSES}),
        (NotQualified, wrong, {"registration": None}),
        (BidKeyWrong, wrong, {}),
        (BidVersionWrong, mended, {}),
    ]
    for refusal, bid, said in order:
        with pytest.raises(refusal):
            check(bid, **said)


@given(
    first_at=st.datetimes(datetime(2022, 1, 1), datetime(2023, 1, 1)),
    last_at=st.datetimes(datetime(2022, 1, 1), datetime(2023, 1, 1)),
    count=st.integers(1, 256),
)
def test_instants_never_tie_and_never_step_backwards(
    first_at: datetime, last_at: datetime, count: int
) -> None:
    instants = instants_of(first_at, last_at, count)
    assert len(instants) == count
    assert instants[0] > last_at
    assert instants[0] >= first_at
    assert all(later - earlier == TICK for earlier, later in pairwise(instants))


def test_the_first_bid_gets_the_clock_s_own_instant() -> None:
    assert instants_of(OPENS, ANNOUNCED, 2) == [OPENS, OPENS + TICK]
