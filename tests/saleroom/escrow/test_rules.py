"""Where money lies, in the worked sale of the domain; and each thing that may not agree."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from builders import NOON
from marketkit.units import TCE, YUAN
from saleroom.escrow.rules import (
    Booked,
    Contract,
    Owing,
    Party,
    Receipt,
    Sums,
    mismatches_of,
    sums_of,
)

DAY = timedelta(days=1)
NOW = NOON + 30 * DAY
DEPOSIT = YUAN.parse("400000.00")
PAYMENT = YUAN.parse("1865000.00")
PRICE = YUAN.parse("2265000.00")
QUANTITY = TCE.parse("10000.000")


def booked(use: str, amount_fen: int, day: int = 0, **changes: object) -> Booked:
    at = NOON + day * DAY
    direction = "OUT" if use == "REFUND" else "IN"
    return Booked(use.lower(), direction, use, amount_fen, at, at)._replace(**changes)  # type: ignore[arg-type]  # any field


def a_winner() -> Party:
    """400,000.00 before the sale, 1,865,000.00 after it, 2,265,000.00 to the treasury."""
    return Party(
        sale_id="sale",
        registration_id="winner",
        deposit_state="CONVERTED",
        deposit_fen=DEPOSIT,
        contract=Contract("DELIVERED", PRICE, QUANTITY, NOON + 2 * DAY, NOON + 3 * DAY),
        bookings=[booked("DEPOSIT", DEPOSIT), booked("PAYMENT", PAYMENT, 2)],
        receipts=[Receipt("国库1", "PRICE", PRICE, NOON + 3 * DAY)],
        credited_minor=QUANTITY,
    )


def a_loser() -> Party:
    return Party(
        sale_id="sale",
        registration_id="loser",
        deposit_state="REFUNDED",
        deposit_fen=DEPOSIT,
        bookings=[booked("DEPOSIT", DEPOSIT)],
        refunds=[Owing("R1", DEPOSIT, 4603, NOON + 2 * DAY, NOON + 9 * DAY, NOON + 4 * DAY, "out")],
    )


def a_defaulter() -> Party:
    return Party(
        sale_id="sale",
        registration_id="defaulter",
        deposit_state="FORFEITED",
        deposit_fen=DEPOSIT,
        contract=Contract("DEFAULTED", PRICE, QUANTITY, None, NOON + 3 * DAY),
        bookings=[booked("DEPOSIT", DEPOSIT)],
        receipts=[Receipt("国库2", "FORFEIT", DEPOSIT, NOON + 5 * DAY)],
    )


OUT = booked("REFUND", DEPOSIT + 4603, 4, bank_serial="out")


def test_the_worked_sale_is_matched_to_the_fen() -> None:
    parties = [a_winner(), a_loser(), a_defaulter()]
    sums = sums_of(parties, [OUT], [], NOW)
    assert sums == Sums(
        received=3 * DEPOSIT + PAYMENT,
        returned=DEPOSIT,
        remitted=PRICE + DEPOSIT,
        interest=4603,
        paid_out=DEPOSIT + 4603,
    )
    assert sums.received == sums.placed
    assert mismatches_of(parties, [OUT], [], NOW) == []


@pytest.mark.parametrize(
    ("day", "where"),
    [
        (1, {"deposits": 3 * DEPOSIT}),
        (2.5, {"deposits": DEPOSIT, "prices": PRICE, "to_return": DEPOSIT}),
        (3.5, {"forfeits": DEPOSIT, "remitted": PRICE, "to_return": DEPOSIT}),
        (4.5, {"forfeits": DEPOSIT, "remitted": PRICE, "returned": DEPOSIT}),
        (5.5, {"remitted": PRICE + DEPOSIT, "returned": DEPOSIT}),
    ],
)
def test_where_it_lay_on_each_day(day: Any, where: dict[str, int]) -> None:
    sums = sums_of([a_winner(), a_loser(), a_defaulter()], [OUT], [], NOON + day * DAY)
    assert sums.placed == sums.received == sum(where.values())
    assert {name: getattr(sums, name) for name in where} == where


def test_money_that_came_before_it_was_somebody_s() -> None:
    party = a_loser()
    party.bookings = [booked("DEPOSIT", DEPOSIT, used_at=NOON + DAY + DAY)]
    party.refunds = []
    party.deposit_state = "CONFIRMED"
    sums = sums_of([party], [], [], NOON + DAY)
    assert (sums.unallocated, sums.deposits) == (DEPOSIT, 0)
    assert sums_of([party], [], [], NOW).deposits == DEPOSIT


def test_stray_money_until_and_after_it_goes_back() -> None:
    stray = booked("RETURN", 1234, used_at=NOON + DAY)
    owing = Owing("R2", 1234, 0, NOON + DAY, NOON + 8 * DAY, None, cause="STRAY")
    assert sums_of([], [stray], [owing], NOON + DAY).unallocated == 1234
    assert sums_of([], [stray], [owing], NOON + 2 * DAY).to_return == 1234
    (late,) = mismatches_of([], [stray], [owing], NOW)
    assert (late.code, late.refund_no, late.expected) == ("REFUND_OVERDUE", "R2", 1234)


def spoil(change: Callable[[Party], None]) -> list[str]:
    party = a_winner()
    change(party)
    return [one.code for one in mismatches_of([party], [], [], NOW)]


def test_each_thing_that_does_not_agree() -> None:
    def contract(**changes: object) -> Callable[[Party], None]:
        def change(party: Party) -> None:
            assert party.contract is not None
            party.contract = party.contract._replace(**changes)  # type: ignore[arg-type]  # any field

        return change

    def put(**changes: object) -> Callable[[Party], None]:
        return lambda party: vars(party).update(changes)

    assert spoil(put(credited_minor=QUANTITY - 1)) == ["CREDIT_MISMATCH"]
    assert spoil(put(receipts=[])) == ["RECEIPT_MISMATCH"]
    assert spoil(put(bookings=[booked("DEPOSIT", DEPOSIT)])) == ["MONEY_MISMATCH", "SUM_MISMATCH"]
    short = [booked("DEPOSIT", DEPOSIT), booked("PAYMENT", PAYMENT - 1, 2)]
    assert spoil(put(bookings=short)) == ["MONEY_MISMATCH", "SUM_MISMATCH"]
    assert spoil(contract(state="PAID", ended_at=None)) == ["RECEIPT_MISMATCH", "CREDIT_MISMATCH"]
    defaulter = a_defaulter()
    defaulter.receipts = []
    assert [one.code for one in mismatches_of([defaulter], [], [], NOW)] == ["FORFEIT_NOT_REMITTED"]


def test_what_the_bank_paid_out_must_be_what_was_ordered() -> None:
    loser = a_loser()
    (less,) = mismatches_of([loser], [OUT._replace(amount_fen=DEPOSIT)], [], NOW)
    assert (less.code, less.expected, less.found) == ("REFUND_MISMATCH", DEPOSIT + 4603, DEPOSIT)
    (unknown,) = mismatches_of([], [replace_use(OUT, "UNALLOCATED")], [], NOW)
    assert unknown.code == "OUT_UNKNOWN"


def test_a_transfer_to_the_treasury_bears_its_receipt_s_number() -> None:
    transfer = replace_use(OUT, "UNALLOCATED")._replace(memo="国库1", amount_fen=PRICE)
    assert mismatches_of([a_winner()], [transfer], [], NOW) == []


def replace_use(one: Booked, use: str) -> Booked:
    return one._replace(use=use)


def test_undecided_money_is_named() -> None:
    (found,) = mismatches_of([], [booked("UNALLOCATED", 5, used_at=None)], [], NOW)
    assert (found.code, found.found) == ("MONEY_UNALLOCATED", 5)
    assert mismatches_of([], [booked("UNALLOCATED", 5, used_at=None)], [], NOON) == []
