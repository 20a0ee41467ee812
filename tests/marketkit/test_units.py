import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from marketkit.units import (
    MINOR_MAX,
    MU,
    SHANGHAI,
    TCE,
    TONNE,
    TONNE_PER_YEAR,
    YUAN,
    AmountYuan,
    AmountYuanOrZero,
    Day,
    Form,
    Instant,
    LongText,
    Quantity,
    QuantityTce,
    QuantityTceOrZero,
    SignedQuantity,
    Text,
    Unit,
    amount_fen,
    day_of,
    format_instant,
    half_up,
    split,
)

UNITS = [TCE, TONNE, TONNE_PER_YEAR, MU, YUAN, Unit("piece", 0)]
minor = st.integers(-MINOR_MAX, MINOR_MAX)
INSTANT, DAY, TEXT = TypeAdapter(Instant), TypeAdapter(Day), TypeAdapter(Text)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
@given(amount=minor)
def test_what_is_written_is_read_back(unit: Unit, amount: int) -> None:
    assert unit.parse(unit.format(amount), signed=True) == amount


@pytest.mark.parametrize(
    ("unit", "text", "amount"),
    [
        (TCE, "1250.000", 1_250_000),
        (TCE, "1250", 1_250_000),
        (TCE, "0.001", 1),
        (TCE, "0", 0),
        (TCE, "9223372036854775.807", MINOR_MAX),
        (YUAN, "226.5", 22_650),
        (MU, "0.0001", 1),
        (TONNE_PER_YEAR, "12.000001", 12_000_001),
    ],
)
def test_a_decimal_text_is_minor_units(unit: Unit, text: str, amount: int) -> None:
    assert unit.parse(text) == amount


MALFORMED = [
    "", " ", "1 ", " 1", "+1", "-1", "-0", "01", "007", ".5", "5.", "1.0001", "1e3", "1E-400",
    "1_000", "1,000", "１", "٣", "NaN", "Infinity", "0x10", "1.2.3", "一", "1\n", "\x00",
    "9223372036854775.808", "9" * 100_000, "0." + "0" * 50,
]  # fmt: skip


@pytest.mark.parametrize("text", MALFORMED)
def test_rows_13_to_20_a_quantity_has_one_spelling(text: str) -> None:
    with pytest.raises(ValueError, match=r"须为十进制数字文本，至多3位小数|数值超出可表示范围"):
        TCE.parse(text)


@pytest.mark.parametrize("value", [7, 0.1, True, None, ["1"], b"1"])
@pytest.mark.parametrize("kind", [QuantityTce, QuantityTceOrZero, AmountYuan, Quantity])
def test_rows_10_to_19_a_quantity_is_a_text(kind: Any, value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(value, strict=True)


def test_a_positive_quantity_is_not_nothing() -> None:
    for kind in (QuantityTce, AmountYuan):
        for text in ("0", "0.00"):
            with pytest.raises(ValidationError):
                TypeAdapter[int](kind).validate_python(text)
    assert TypeAdapter[int](QuantityTceOrZero).validate_python("0.000") == 0
    assert TypeAdapter[int](AmountYuanOrZero).validate_python("0") == 0


def test_only_movements_are_below_nothing() -> None:
    signed = TypeAdapter[str](SignedQuantity)
    assert signed.validate_python("-12.345678") == "-12.345678"
    for text in ("--1", "-", "-01"):
        with pytest.raises(ValidationError):
            signed.validate_python(text)


def test_an_edge_says_its_form_to_the_description() -> None:
    schema = TypeAdapter[int](QuantityTce).json_schema()
    pattern = r"^(?![0.]+$)(0|[1-9][0-9]{0,18})(\.[0-9]{1,3})?$"
    assert schema == {"type": "string", "format": "decimal", "pattern": pattern}
    assert TypeAdapter[int](QuantityTce).dump_python(TCE.parse("1.5"), mode="json") == "1.500"
    or_zero = TypeAdapter[int](QuantityTceOrZero).json_schema()["pattern"]
    for text, is_positive in {"0": False, "0.000": False, "0.001": True, "10": True}.items():
        assert bool(re.search(pattern, text)) is is_positive
        assert re.search(or_zero, text)


@given(
    total=st.integers(0, 10**15),
    weights=st.lists(st.integers(0, 10**9), min_size=1, max_size=30).filter(sum),
)
def test_a_split_is_exact_and_fair_to_less_than_one(total: int, weights: list[int]) -> None:
    shares = split(total, weights)
    whole = sum(weights)
    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share * whole - total * weight) < whole
        assert share == 0 or weight > 0


def test_a_tie_goes_to_the_earlier() -> None:
    assert split(10, [1, 1, 1]) == [4, 3, 3]
    assert split(1, [0, 1, 1]) == [0, 1, 0]
    assert split(0, [5, 7]) == [0, 0]


@given(numerator=st.integers(0, 10**18), denominator=st.integers(1, 10**9))
def test_a_half_is_rounded_up(numerator: int, denominator: int) -> None:
    rounded = half_up(numerator, denominator)
    assert (2 * rounded - 1) * denominator <= 2 * numerator < (2 * rounded + 1) * denominator


def test_money_is_rounded_once_an_award() -> None:
    # 226.50 yuan x 0.003 tce = 0.6795 yuan
    assert amount_fen(22_650, 3, TCE) == 68
    assert amount_fen(100, 5, TCE) == 1  # half a fen
    assert amount_fen(100, 4, TCE) == 0


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2022-06-01T12:00:00+08:00", datetime(2022, 6, 1, 4, tzinfo=UTC)),
        ("2022-06-01T04:00:00Z", datetime(2022, 6, 1, 4, tzinfo=UTC)),
        ("2022-06-01T04:00:00.5Z", datetime(2022, 6, 1, 4, 0, 0, 500_000, tzinfo=UTC)),
        ("2022-06-01T03:59:59.999999-00:00", datetime(2022, 6, 1, 3, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_an_instant_is_read_in_any_zone(text: str, at: datetime) -> None:
    found = INSTANT.validate_python(text)
    assert found == at
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "value",
    [
        "2022-06-01T12:00:00", "2022-06-01 12:00:00+08:00", "2022-06-01", "2022-06-01T24:00:00Z",
        "2022-06-01T12:00:60Z", "2022-02-30T12:00:00Z", "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00", "2022-06-01T12:00Z", "2022-06-01T12:00:00.1234567Z",
        "２022-06-01T12:00:00Z", "2022-W22-3T12:00:00Z", "0", 0, 1e12, None, True,
        datetime(2022, 6, 1), date(2022, 6, 1), "1901-12-31T23:59:59.999999Z",
        "3000-01-01T07:59:59.999999+07:59", datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=SHANGHAI),
    ],
)  # fmt: skip
def test_rows_48_to_50_an_instant_has_a_zone_and_exists(value: object) -> None:
    with pytest.raises(ValidationError):
        INSTANT.validate_python(value)


@given(at=st.datetimes(datetime(1902, 1, 1), datetime.max.replace(2999), timezones=st.just(UTC)))
def test_an_instant_is_written_in_the_citys_zone_to_the_microsecond(at: datetime) -> None:
    assert INSTANT.validate_python(format_instant(at)) == at


@pytest.mark.parametrize(
    "value", ["2022-02-30", "2022-6-1", "20220601", "2022-06-01T00:00:00Z", 1, None, ""]
)
def test_row_50_a_day_is_a_day(value: object) -> None:
    with pytest.raises(ValidationError):
        DAY.validate_python(value)
    with pytest.raises(ValidationError):
        DAY.validate_python(datetime(2022, 6, 1, tzinfo=UTC))


def test_a_day_falls_in_the_city() -> None:
    assert day_of(datetime(2022, 5, 31, 16, tzinfo=UTC)) == date(2022, 6, 1)
    assert day_of(datetime(2022, 5, 31, 15, 59, tzinfo=UTC)) == date(2022, 5, 31)


def test_row_52_twins_of_a_name_are_one() -> None:
    assert TEXT.validate_python("e\u0301") == TEXT.validate_python("\u00e9")
    assert TEXT.validate_python("  煤 电\u3000") == "煤 电"
    assert TEXT.validate_python("😀") == "😀"


@pytest.mark.parametrize(
    "value",
    ["", " ", "\u3000", "\u00a0 ", "a\x00", "a\nb", "a\u200bb", "a\u202eb", "\ufeff", "\ud800",
     "a\ufffe", "a\uffff",
     "\ue000", "x" * 201, "x" * 1_000_000, 7, None],
)  # fmt: skip
def test_rows_6_7_52_and_54_a_text_says_what_is_seen(value: object) -> None:
    with pytest.raises(ValidationError):
        TEXT.validate_python(value, strict=True)


def test_a_long_text_is_longer() -> None:
    long = TypeAdapter[str](LongText)
    assert len(long.validate_python("x" * 4_000)) == 4_000
    with pytest.raises(ValidationError):
        long.validate_python("x" * 4_001)


def test_a_form_is_strict_and_frozen() -> None:
    class Slip(Form):
        count: int

    for wrong in ({"count": True}, {"count": "7"}, {"count": 1.0}, {"count": 1, "more": 2}, {}):
        with pytest.raises(ValidationError):
            Slip.model_validate(wrong)
    with pytest.raises(ValidationError):
        Slip(count=1).count = 2  # type: ignore[misc]  # what is refused


def test_an_instant_is_written_by_the_summer_time_of_its_year() -> None:
    assert format_instant(datetime(1988, 7, 1, tzinfo=UTC)) == "1988-07-01T09:00:00+09:00"
