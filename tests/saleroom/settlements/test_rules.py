"""What a winner owes, and by when."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketkit.units import YUAN
from saleroom.settlements.rules import (
    NotYetDefaulted,
    PaymentAmountWrong,
    PaymentBookedInFuture,
    PaymentLate,
    PublicityNotEnded,
    SigningLate,
    TreasuryReceiptDiffers,
    check_default,
    check_payment,
    check_publicity,
    check_receipt,
    check_signing,
    converted_fen,
    due_fen,
)
from toy_market import CLOSES, DAY, TICK

PAY_BY = CLOSES + 7 * DAY


@pytest.mark.article("art. 5")
def test_domain_2_7_the_deposit_counts_as_part_of_the_price() -> None:
    # 10,000 tce at 226.50, deposit 20 % of the floor amount at 200.00.
    price, deposit = YUAN.parse("2265000.00"), YUAN.parse("400000.00")
    assert due_fen(price, deposit) == YUAN.parse("1865000.00")
    assert converted_fen(price, deposit) == deposit


@given(st.integers(1, 10**12), st.integers(0, 10**12))
def test_what_is_converted_and_what_is_due_make_the_price(price: int, deposit: int) -> None:
    assert due_fen(price, deposit) + converted_fen(price, deposit) == price
    assert 0 <= converted_fen(price, deposit) <= deposit


def payment(**changes: Any) -> None:
    said: dict[str, Any] = {
        "due_fen": 100,
        "amount_fen": 100,
        "booked_at": PAY_BY,
        "pay_by": PAY_BY,
        "at": PAY_BY,
    }
    check_payment(**said | changes)


@pytest.mark.article("notice")
@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"at": PAY_BY - TICK, "amount_fen": 99}, PaymentBookedInFuture),
        ({"amount_fen": 99, "booked_at": PAY_BY + TICK, "at": PAY_BY + DAY}, PaymentAmountWrong),
        ({"amount_fen": 101}, PaymentAmountWrong),
        ({"booked_at": PAY_BY + TICK, "at": PAY_BY + DAY}, PaymentLate),
    ],
)
def test_a_payment_that_is_refused(changes: dict[str, Any], refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        payment(**changes)


def test_a_payment_booked_at_the_last_instant_is_in_time() -> None:
    payment(at=PAY_BY + DAY)


@pytest.mark.article("notice")
def test_nobody_has_defaulted_before_the_time_is_over() -> None:
    with pytest.raises(NotYetDefaulted):
        check_default(PAY_BY, PAY_BY)
    check_default(PAY_BY, PAY_BY + TICK)


@pytest.mark.article("notice")
def test_a_result_is_public_for_the_days_of_the_notice() -> None:
    check_publicity(CLOSES, 7, CLOSES + 7 * DAY)
    for at in (CLOSES, CLOSES + 7 * DAY - TICK):
        with pytest.raises(PublicityNotEnded):
            check_publicity(CLOSES, 7, at)


@pytest.mark.article("notice")
def test_a_contract_is_signed_until_the_last_instant_of_paying() -> None:
    check_signing(PAY_BY, PAY_BY)
    with pytest.raises(SigningLate):
        check_signing(PAY_BY, PAY_BY + TICK)


def test_a_price_remitted_once_keeps_its_receipt() -> None:
    check_receipt("1", remitted="1")
    with pytest.raises(TreasuryReceiptDiffers):
        check_receipt("1", remitted="2")
