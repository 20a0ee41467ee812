"""Whose money is: the plan of domain's worked sale, and every reason to leave it undecided."""

from dataclasses import replace
from datetime import timedelta

import pytest

from builders import NOON
from marketkit.errors import Refusal
from marketkit.units import YUAN
from saleroom.allocations.rules import Owed, Payee, check_refund, refund_no, use_of
from saleroom.bookings.rules import Line

DAY = timedelta(days=1)
NAME = "东营示例有限公司"
NUMBER = "01M85BJR204TW3R95ZX2FJHYE5"
# Floor 200.00 × 10,000 tce × 20 %: a deposit of 400,000.00.
DEPOSIT = Line("S1", "IN", YUAN.parse("400000.00"), NOON, NAME, "6222", "1")
PAYEE = Payee(
    name=NAME,
    sale_state="OPEN",
    is_reconciled=False,
    deposit_due_at=NOON,
    registration_state="QUALIFIED",
    registered_at=NOON - 3 * DAY,
    deposit_state="PENDING",
    deposit_due_fen=YUAN.parse("400000.00"),
)
# Clearing at 226.50: a price of 2,265,000.00, of which 1,865,000.00 is still due.
PAYMENT = replace(DEPOSIT, bank_serial="S2", amount_fen=YUAN.parse("1865000.00"))
WINNER = replace(
    PAYEE,
    sale_state="CONFIRMED",
    is_reconciled=True,
    deposit_state="CONFIRMED",
    settlement_state="SIGNED",
    due_fen=YUAN.parse("2265000.00") - YUAN.parse("400000.00"),
    pay_by=NOON,
)


def test_the_worked_sale() -> None:
    assert use_of(DEPOSIT, PAYEE, NOON) == "DEPOSIT"
    assert use_of(PAYMENT, WINNER, NOON) == "PAYMENT"


@pytest.mark.parametrize("state", ["ANNOUNCED", "OPEN", "CLOSED"])
@pytest.mark.parametrize("registered", ["REGISTERED", "QUALIFIED"])
def test_a_deposit_may_come_until_it_is_reconciled(state: str, registered: str) -> None:
    payee = replace(PAYEE, sale_state=state, registration_state=registered)
    assert use_of(DEPOSIT, payee, NOON) == "DEPOSIT"


@pytest.mark.parametrize(
    ("changes", "line", "code"),
    [
        ({}, {"booked_at": NOON + DAY}, "BOOKED_IN_FUTURE"),
        ({}, {"other_name": "张三"}, "THIRD_PARTY_PAYER"),
        ({}, {"amount_fen": 1}, "DEPOSIT_AMOUNT_WRONG"),
        ({"deposit_due_at": NOON - DAY}, {}, "DEPOSIT_LATE"),
        ({"is_reconciled": True}, {}, "ALREADY_RECONCILED"),
        ({"deposit_state": "CONFIRMED"}, {}, "DEPOSIT_ALREADY_RECORDED"),
        ({"registration_state": "REFUSED"}, {}, "REGISTRATION_STATE_NOT_ALLOWED"),
        ({"registration_state": "WITHDRAWN"}, {}, "REGISTRATION_STATE_NOT_ALLOWED"),
        *(
            ({"sale_state": state}, {}, "SALE_STATE_NOT_ALLOWED")
            for state in ("DRAFT", "SUSPENDED", "OPENED", "CLEARED", "FAILED", "CANCELLED")
        ),
    ],
)
def test_money_that_is_no_deposit(
    changes: dict[str, object], line: dict[str, object], code: str
) -> None:
    with pytest.raises(Refusal) as refused:
        use_of(
            replace(DEPOSIT, **line),  # type: ignore[arg-type]  # any field
            replace(PAYEE, **changes),  # type: ignore[arg-type]  # any field
            NOON,
        )
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("changes", "line", "code"),
    [
        ({}, {"amount_fen": YUAN.parse("2265000.00")}, "PAYMENT_AMOUNT_WRONG"),
        ({"pay_by": NOON - DAY}, {}, "PAYMENT_LATE"),
        ({}, {"other_name": "张三"}, "THIRD_PARTY_PAYER"),
        *(
            ({"settlement_state": state}, {}, "SETTLEMENT_STATE_NOT_ALLOWED")
            for state in ("CONFIRMED", "PAID", "DELIVERED", "DEFAULTED")
        ),
    ],
)
def test_money_that_is_no_payment(
    changes: dict[str, object], line: dict[str, object], code: str
) -> None:
    with pytest.raises(Refusal) as refused:
        use_of(
            replace(PAYMENT, **line),  # type: ignore[arg-type]  # any field
            replace(WINNER, **changes),  # type: ignore[arg-type]  # any field
            NOON,
        )
    assert refused.value.code == code


def test_a_number_of_nobody_is_unknown() -> None:
    with pytest.raises(Refusal) as refused:
        use_of(DEPOSIT, None, NOON)
    assert refused.value.code == "SUB_ACCOUNT_UNKNOWN"


OUT = Line("S3", "OUT", 40_004_603, NOON, NAME, "6222", "", f"退款{NUMBER}")
OWED = Owed(40_004_603, NAME, "6222", is_returned=False)


def test_a_transfer_that_is_the_refund_as_listed() -> None:
    check_refund(OUT, OWED, NOON)
    check_refund(OUT, OWED._replace(account=None), NOON)


@pytest.mark.parametrize(
    ("line", "owed", "code"),
    [
        ({"booked_at": NOON + DAY}, OWED, "BOOKED_IN_FUTURE"),
        ({}, None, "REFUND_UNKNOWN"),
        ({}, OWED._replace(is_returned=True), "REFUND_RETURNED_ALREADY"),
        ({"amount_fen": 40_000_000}, OWED, "REFUND_NOT_AS_LISTED"),
        ({"other_name": "张三"}, OWED, "REFUND_NOT_AS_LISTED"),
        ({"other_account": "6223"}, OWED, "REFUND_NOT_AS_LISTED"),
    ],
)
def test_a_transfer_that_is_no_refund(
    line: dict[str, object], owed: Owed | None, code: str
) -> None:
    with pytest.raises(Refusal) as refused:
        check_refund(replace(OUT, **line), owed, NOON)  # type: ignore[arg-type]  # any field
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("memo", "number"),
    [
        (NUMBER, NUMBER),
        (f"退款{NUMBER}号", NUMBER),
        (f"REF {NUMBER} CNY", NUMBER),
        (f"X{NUMBER}", ""),
        (NUMBER.lower(), ""),
        ("货款", ""),
        ("", ""),
    ],
)
def test_a_refund_s_number_in_the_bank_s_words(memo: str, number: str) -> None:
    assert refund_no(memo) == number
