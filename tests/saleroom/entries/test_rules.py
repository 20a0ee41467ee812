"""Who may enter a sale, what deposit falls due, and when it counts."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketkit.units import SHANGHAI
from saleroom.entries.rules import (
    BookedInFuture,
    DepositAmountWrong,
    DepositEarly,
    DepositLate,
    QuantityNotOffered,
    RefusalReasonMissing,
    RegistrationClosed,
    check_deposit,
    check_quantity,
    check_registration_time,
    check_verdict,
    deposit_due_fen,
)
from toy_market import DEPOSIT_DUE, REGISTRATION_CLOSES, TICK


def test_the_deposit_of_domain_2_7_is_400_000_yuan() -> None:
    assert deposit_due_fen(20_000, 10_000_000, 1_000, 2_000) == 40_000_000


def test_a_deposit_is_rounded_up_to_the_fen() -> None:
    assert deposit_due_fen(20_001, 1, 1_000, 1_000) == 3  # 2.0001 fen


@given(
    floor_fen=st.integers(1, 200_000),
    quantity_minor=st.integers(1, 10**12),
    ratio_bp=st.integers(1, 10_000),
)
def test_a_deposit_is_the_least_that_is_not_below_its_ratio(
    floor_fen: int, quantity_minor: int, ratio_bp: int
) -> None:
    due = deposit_due_fen(floor_fen, quantity_minor, 1_000, ratio_bp)
    asked = floor_fen * quantity_minor * ratio_bp
    assert (due - 1) * 1_000 * 10_000 < asked <= due * 1_000 * 10_000


@pytest.mark.parametrize("quantity", [1_000, 4_000, 5_000])
def test_whole_lots_up_to_the_limit_may_be_registered(quantity: int) -> None:
    check_quantity(quantity, lot_minor=1_000, supply_minor=10_000, limit_minor=5_000)
    check_quantity(quantity, lot_minor=1_000, supply_minor=5_000, limit_minor=None)


@pytest.mark.parametrize("quantity", [0, 999, 1_001, 6_000])
def test_other_quantities_may_not(quantity: int) -> None:
    with pytest.raises(QuantityNotOffered):
        check_quantity(quantity, lot_minor=1_000, supply_minor=10_000, limit_minor=5_000)
    with pytest.raises(QuantityNotOffered):
        check_quantity(quantity, lot_minor=1_000, supply_minor=5_000, limit_minor=None)


@pytest.mark.parametrize("state", ["ANNOUNCED", "OPEN"])
def test_registration_ends_at_its_very_instant(state: str) -> None:
    check_registration_time(state, REGISTRATION_CLOSES, REGISTRATION_CLOSES - TICK)
    with pytest.raises(RegistrationClosed):
        check_registration_time(state, REGISTRATION_CLOSES, REGISTRATION_CLOSES)


@pytest.mark.parametrize(
    "state",
    [
        "DRAFT", "SUSPENDED", "CLOSED", "OPENED", "CLEARED", "CONFIRMED", "SETTLED", "FAILED",
        "CANCELLED", "ARCHIVED",
    ],
)  # fmt: skip
def test_nobody_registers_for_a_sale_in_another_state(state: str) -> None:
    with pytest.raises(RegistrationClosed):
        check_registration_time(state, REGISTRATION_CLOSES, REGISTRATION_CLOSES - TICK)


def test_who_is_refused_is_told_why() -> None:
    check_verdict("QUALIFIED", None)
    check_verdict("REFUSED", "材料不全")
    with pytest.raises(RefusalReasonMissing):
        check_verdict("REFUSED", None)


def check(**changes: Any) -> None:
    said: dict[str, Any] = {
        "due_fen": 100,
        "amount_fen": 100,
        "booked_at": DEPOSIT_DUE,
        "registered_at": REGISTRATION_CLOSES,
        "due_at": DEPOSIT_DUE,
        "at": DEPOSIT_DUE + timedelta(hours=1),
    }
    check_deposit(**(said | changes))


def test_a_deposit_booked_at_the_last_instant_counts_though_noted_later() -> None:
    check()


def test_a_deposit_is_no_older_than_the_day_of_its_registration() -> None:
    midnight = datetime(2022, 10, 19, tzinfo=SHANGHAI)
    registered_at = midnight + timedelta(hours=9)
    check(booked_at=midnight, registered_at=registered_at)
    with pytest.raises(DepositEarly):
        check(booked_at=midnight - TICK, registered_at=registered_at)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"amount_fen": 99}, DepositAmountWrong),
        ({"amount_fen": 101}, DepositAmountWrong),
        ({"booked_at": DEPOSIT_DUE + TICK}, DepositLate),
        ({"at": DEPOSIT_DUE - TICK}, BookedInFuture),
    ],
    ids=str,
)
def test_another_amount_or_time_does_not(changes: dict[str, Any], refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        check(**changes)
