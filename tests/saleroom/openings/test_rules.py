"""When a sale may be opened, and what becomes of each bid then."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from builders import a_project_code
from contracts.sale import RevealedBid
from marketkit.signing import sm3
from marketkit.units import TCE
from saleroom.openings.rules import (
    DepositsNotReconciled,
    OpeningTooLate,
    Standing,
    check_openable,
    reveal,
)
from saleroom.sealing import BidPlace, SealedBid, new_key_pair, seal_bid, wrap
from stories import a_step
from toy_market import CLOSES, DEPOSIT_DUE, OPENS_BY, TICK

KEY = new_key_pair()
PLACE = BidPlace("sale-1", "91370500MA3TEQT19H", 1)
STEPS = [a_step("226.50", "100"), a_step("210.00", "50.5", "10")]


def standing(**changes: Any) -> Standing:
    said: dict[str, Any] = {
        "receipt_id": "receipt-1",
        "registration_id": "registration-1",
        "bidder_name": "企业1",
        "project_code": a_project_code(1),
        "quantity_max_minor": 100_000,
        "submitted_at": CLOSES - TICK,
        "place": PLACE,
        "sealed": seal_bid(STEPS, PLACE, public_key=KEY.public_key, unit=TCE),
        "registration_state": "QUALIFIED",
        "deposit_state": "CONFIRMED",
        "booked_at": DEPOSIT_DUE,
    }
    return Standing(**said | changes)


def told(bid: Standing, steps_max: int = 20) -> RevealedBid:
    return reveal(
        bid,
        private_key=KEY.private_key,
        unit=TCE,
        deposit_due_at=DEPOSIT_DUE,
        steps_max=steps_max,
    )


def void_code(bid: Standing) -> str | None:
    return told(bid).void_code


def sealed(plaintext: bytes, **changes: Any) -> SealedBid:
    ciphertext = wrap(plaintext, KEY.public_key, PLACE.info)
    return replace(SealedBid(ciphertext, sm3(plaintext), sm3(KEY.public_key)), **changes)


@pytest.mark.article("notice")
@pytest.mark.parametrize(
    ("reconciled_at", "at", "refusal"),
    [
        (None, OPENS_BY, DepositsNotReconciled),
        (CLOSES, OPENS_BY, OpeningTooLate),
        (CLOSES, OPENS_BY + TICK, OpeningTooLate),
    ],
)
def test_when_a_sale_may_not_be_opened(
    reconciled_at: datetime | None, at: datetime, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        check_openable(reconciled_at=reconciled_at, opens_by=OPENS_BY, at=at)


def test_a_sale_may_be_opened_until_just_before_opens_by() -> None:
    check_openable(reconciled_at=CLOSES, opens_by=OPENS_BY, at=OPENS_BY - TICK)


def test_a_good_bid_is_told_without_its_padding() -> None:
    found = told(standing())
    assert found.void_code is None
    assert found.plaintext is not None
    assert found.plaintext.startswith('{"steps":[{"price_yuan":"226.50"')
    assert found.plaintext.endswith("}")


@pytest.mark.article("notice")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"booked_at": DEPOSIT_DUE}, None),
        ({"booked_at": DEPOSIT_DUE + TICK}, "DEPOSIT_NOT_CONFIRMED"),
        ({"booked_at": None, "deposit_state": "PENDING"}, "DEPOSIT_NOT_CONFIRMED"),
        ({"deposit_state": "REFUNDED"}, "DEPOSIT_NOT_CONFIRMED"),
        ({"registration_state": "REGISTERED"}, "NOT_QUALIFIED"),
        ({"registration_state": "REFUSED", "deposit_state": "REFUNDED"}, "NOT_QUALIFIED"),
    ],
)
def test_a_bid_is_void_for_its_bidder(changes: dict[str, Any], code: str | None) -> None:
    bid = standing(**changes)
    assert void_code(bid) == code
    # What it says is told all the same.
    found = told(bid)
    assert found.plaintext is not None


@pytest.mark.parametrize(
    ("bid", "code"),
    [
        (sealed(b"{}".ljust(4096), key_sm3=bytes(32)), "BID_KEY_WRONG"),
        (sealed(b"{}"), "BID_SIZE_WRONG"),
        (sealed(b"{}".ljust(4096), ciphertext=bytes(4096 + 48)), "BID_UNREADABLE"),
        (sealed(b"{}".ljust(4096), commitment=bytes(32)), "COMMITMENT_MISMATCH"),
        (sealed(b"{}".ljust(4096)), "BID_MALFORMED"),
        (sealed(b"\xff".ljust(4096)), "BID_MALFORMED"),
        (sealed(b"\0".ljust(4096)), "BID_MALFORMED"),
    ],
)
def test_a_bid_is_void_for_itself(bid: SealedBid, code: str) -> None:
    assert void_code(standing(sealed=bid)) == code


def test_its_bidder_voids_a_bid_before_itself_does() -> None:
    bad = standing(sealed=sealed(b"{}".ljust(4096)), registration_state="REFUSED")
    assert void_code(bad) == "NOT_QUALIFIED"


@pytest.mark.parametrize("plaintext", [b"\xff", b"a\0b"])
def test_what_is_no_text_is_not_told(plaintext: bytes) -> None:
    bid = standing(sealed=sealed(plaintext.ljust(4096)))
    found = told(bid)
    assert found.plaintext is None


@pytest.mark.article("notice")
@pytest.mark.parametrize(("steps_max", "code"), [(2, None), (1, "TOO_MANY_STEPS")])
def test_a_bid_of_more_steps_than_the_notice_allows_is_void(
    steps_max: int, code: str | None
) -> None:
    found = told(standing(), steps_max)
    assert found.void_code == code
    # What it says is told all the same: anyone can count.
    assert found.plaintext is not None
    assert found.plaintext.count("price_yuan") == 2


def test_its_deposit_voids_a_bid_before_its_steps_do() -> None:
    found = told(standing(booked_at=DEPOSIT_DUE + TICK), 1)
    assert found.void_code == "DEPOSIT_NOT_CONFIRMED"
