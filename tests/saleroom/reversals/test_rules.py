"""When a record of money may be taken back: every other state refuses."""

import pytest

from saleroom.reversals.rules import (
    ReversalNotAllowed,
    check_deposit_reversal,
    check_payment_reversal,
)


@pytest.mark.parametrize("state", ["ANNOUNCED", "OPEN", "CLOSED", "SUSPENDED"])
def test_a_deposit_while_no_bid_is_judged_by_it(state: str) -> None:
    check_deposit_reversal(state, "CONFIRMED", is_reconciled=False)


@pytest.mark.parametrize(
    ("sale", "deposit", "is_reconciled"),
    [
        *(
            (state, "CONFIRMED", False)
            for state in ("OPENED", "CLEARED", "CONFIRMED", "SETTLED", "FAILED", "CANCELLED")
        ),
        *(("OPEN", state, False) for state in ("PENDING", "REFUNDED", "CONVERTED", "FORFEITED")),
        ("CLOSED", "CONFIRMED", True),
    ],
)
def test_no_deposit_after(sale: str, deposit: str, is_reconciled: bool) -> None:
    with pytest.raises(ReversalNotAllowed):
        check_deposit_reversal(sale, deposit, is_reconciled=is_reconciled)


def test_a_payment_until_it_goes_to_the_treasury() -> None:
    check_payment_reversal("PAID", is_remitted=False)


@pytest.mark.parametrize("state", [None, "CONFIRMED", "SIGNED", "DELIVERED", "DEFAULTED"])
def test_no_payment_else(state: str | None) -> None:
    with pytest.raises(ReversalNotAllowed):
        check_payment_reversal(state, is_remitted=state == "DELIVERED")


def test_no_payment_whose_delivery_alone_was_taken_back() -> None:
    with pytest.raises(ReversalNotAllowed):
        check_payment_reversal("PAID", is_remitted=True)
