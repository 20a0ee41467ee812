"""What a booking of the bank is, and what a deposit bears: worked cases."""

import itertools
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOON
from marketkit.units import YUAN
from saleroom.bookings.actions import new_sub_account
from saleroom.bookings.rules import (
    Line,
    ThirdPartyPayer,
    check_payer,
    folded,
    interest_fen,
    is_same,
    is_sub_account,
    with_check_digits,
)

LINE = Line(
    "S1", "IN", 40_000_000, NOON, "东营（示例）有限公司", "6222", "12345678901235", "保证金"
)
TYPED = replace(LINE, other_name=None, other_account=None, sub_account="", memo="")


class TestSubAccounts:
    def test_two_digits_check_twelve(self) -> None:
        # ISO 7064 MOD 97-10: 123456789012 × 100 mod 97 = 54, and 98 − 54 = 44.
        assert 12345678901200 % 97 == 54
        assert with_check_digits("123456789012") == "12345678901244"
        assert is_sub_account("12345678901244")

    @pytest.mark.parametrize(
        "text",
        ["", "1234567890123", "12345678901245", "１２３４５６７８９０１２４４", "1234567890123a"],
    )
    def test_what_is_none(self, text: str) -> None:
        assert not is_sub_account(text)

    @given(st.integers(10**11, 10**12 - 1), st.integers(0, 13), st.integers(1, 9))
    def test_a_digit_mistyped_is_found(self, digits: int, place: int, shift: int) -> None:
        number = with_check_digits(str(digits))
        wrong = str((int(number[place]) + shift) % 10)
        assert not is_sub_account(number[:place] + wrong + number[place + 1 :])

    def test_numbers_come_by_chance_and_tell_no_order(self) -> None:
        numbers = [new_sub_account() for _ in range(2_000)]
        assert len(set(numbers)) == len(numbers)
        assert all(is_sub_account(number) and number[0] != "0" for number in numbers)
        rises = sum(one < two for one, two in itertools.pairwise(numbers))
        assert 800 < rises < 1_200


class TestPayers:
    @pytest.mark.parametrize(
        ("payer", "registered"),
        [
            ("东营(示例)有限公司", "东营（示例）有限公司"),
            ("东营（示例） 有限公司", "东营（示例）有限公司"),
            ("东营\u3000示例有限公司", "东营示例有限公司"),
            ("Cafe\u0301公司", "Caf\u00e9公司"),
        ],
    )
    def test_two_spellings_are_one_name(self, payer: str, registered: str) -> None:
        assert folded(payer) == folded(registered)
        check_payer(payer, registered)

    def test_who_paid_is_not_always_known(self) -> None:
        check_payer(None, "东营示例有限公司")

    @pytest.mark.parametrize("payer", ["东营示例有限责任公司", "张三", ""])
    def test_a_third_party_does_not_pay(self, payer: str) -> None:
        with pytest.raises(ThirdPartyPayer) as refused:
            check_payer(payer, "东营示例有限公司")
        assert refused.value.article == "notice"


class TestSameness:
    def test_what_a_person_typed_is_the_line_that_adds_who_paid(self) -> None:
        assert is_same(LINE, LINE, is_typed=False)
        assert is_same(TYPED, LINE, is_typed=True)
        assert is_same(replace(TYPED, sub_account=LINE.sub_account), LINE, is_typed=True)
        named = replace(TYPED, other_name=LINE.other_name)
        assert is_same(named, LINE, is_typed=True)
        assert not is_same(replace(named, other_name="别家公司"), LINE, is_typed=True)
        assert not is_same(replace(named, other_account="6223"), LINE, is_typed=True)

    @pytest.mark.parametrize(
        "changes",
        [
            {"amount_fen": 1},
            {"direction": "OUT"},
            {"booked_at": NOON.replace(minute=1)},
            {"other_name": "别家公司"},
            {"other_account": "6223"},
            {"sub_account": "1"},
        ],
    )
    @pytest.mark.parametrize("is_typed", [False, True])
    def test_anything_else_is_another_line(self, changes: dict[str, Any], is_typed: bool) -> None:
        assert not is_same(LINE, replace(LINE, **changes), is_typed=is_typed)

    @pytest.mark.parametrize("unsaid", [{"sub_account": ""}, {"other_account": None}])
    def test_what_the_bank_did_not_say_is_not_added_by_its_next_file(
        self, unsaid: dict[str, Any]
    ) -> None:
        assert not is_same(replace(LINE, **unsaid), LINE, is_typed=False)

    def test_a_memo_is_words(self) -> None:
        assert is_same(LINE, replace(LINE, memo="货款"), is_typed=False)


class TestInterest:
    def test_the_worked_case(self) -> None:
        # 400,000.00 yuan at 0.35 % for 12 days: 400,000 × 0.0035 × 12 / 365 = 46.027… yuan.
        since, until = date(2022, 10, 20), date(2022, 11, 1)
        assert interest_fen(YUAN.parse("400000.00"), 35, since, until) == YUAN.parse("46.03")

    def test_half_a_fen_is_rounded_up(self) -> None:
        # 36,500 fen at 0.5 % for one day: 0.5 fen exactly.
        assert interest_fen(36_500, 50, date(2022, 6, 1), date(2022, 6, 2)) == 1
        assert interest_fen(36_499, 50, date(2022, 6, 1), date(2022, 6, 2)) == 0

    def test_a_leap_year_has_365_days_too(self) -> None:
        year = (date(2024, 1, 1), date(2024, 12, 31))
        assert interest_fen(1_000_000, 100, *year) == 10_000

    @pytest.mark.parametrize(("rate_bp", "until"), [(0, date(2023, 6, 1)), (35, date(2022, 6, 1))])
    def test_no_rate_or_no_day_bears_nothing(self, rate_bp: int, until: date) -> None:
        assert interest_fen(40_000_000, rate_bp, date(2022, 6, 1), until) == 0

    def test_a_day_before_it_came_bears_nothing(self) -> None:
        assert interest_fen(40_000_000, 35, date(2022, 6, 2), date(2022, 6, 1)) == 0
