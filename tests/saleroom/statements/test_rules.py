"""What a row of the bank's file says: worked rows, and everything that is none."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from bank_files import a_row
from marketkit.units import YUAN
from saleroom.bookings.rules import Line
from saleroom.sheets import Cell
from saleroom.statements.rules import HEADER, Fault, HeaderWrong, columns_of, is_blank, line_of

COLUMNS = {name: index for index, name in enumerate(HEADER)}


def texts(row: Sequence[str]) -> list[Cell]:
    return [Cell("TEXT", text) for text in row]


def read(**changes: str) -> Line | Fault:
    return line_of(texts(a_row(**changes)), COLUMNS)


def test_a_row_is_a_line() -> None:
    line = read(金额="1865000.00", 摘要="成交价款", 对方户名="东营（示例）有限公司")
    assert isinstance(line, Line)
    assert line.amount_fen == YUAN.parse("1865000.00")
    assert (line.bank_serial, line.direction, line.memo) == ("S0001", "IN", "成交价款")
    assert line.booked_at == datetime(2022, 10, 17, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "fen"), [("1,865,000.00", 186_500_000), ("0.01", 1), ("400000", 40_000_000)]
)
def test_amounts_people_write(text: str, fen: int) -> None:
    line = read(金额=text)
    assert isinstance(line, Line)
    assert line.amount_fen == fen


@pytest.mark.parametrize(
    "text",
    ["", "0", "0.00", "-1.00", "+1.00", "1.001", "1e6", "１００", "NaN", "1,00", "1 000", "￥1.00",
     "99999999999999999999", "1000000000000.01"],
)  # fmt: skip
def test_what_is_no_amount(text: str) -> None:
    fault = read(金额=text)
    assert isinstance(fault, Fault)
    assert (fault.field, fault.column) == ("金额", COLUMNS["金额"])


@pytest.mark.parametrize(
    "text",
    ["2022-10-17 09:00:00", "2022/10/17 9:00", "2022-10-17T09:00:00", "2022-10-17T09:00:00+08:00"],
)
def test_times_banks_write(text: str) -> None:
    line = read(入账时间=text)
    assert isinstance(line, Line)
    assert line.booked_at == datetime(2022, 10, 17, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "2022-10-17", "2022-02-30 09:00:00", "2022-10-17 24:00:00", "17.10.2022 09:00",
     "2022-10-17T09:00:00Z", "44851.375", "0001-01-01 00:00:00", "9999-12-31 23:59:59"],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    fault = read(入账时间=text)
    assert isinstance(fault, Fault)
    assert fault.field == "入账时间"


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("流水号", ""),
        ("流水号", "1.23457E+18"),
        ("流水号", "流水"),
        ("流水号", "x" * 65),
        ("方向", ""),
        ("方向", "转"),
        ("对方户名", ""),
        ("对方户名", "某\u200b公司"),
        ("对方户名", "某" * 201),
        ("对方账号", "6.22E+18"),
        ("对方账号", ""),
        ("子账号", "1" * 41),
        ("子账号", "3705\x00"),
        ("摘要", "a\x1b[31m"),
        ("摘要", "字" * 201),
    ],
)
def test_a_field_that_says_nothing_usable(field: str, text: str) -> None:
    fault = read(**{field: text})
    assert isinstance(fault, Fault)
    assert fault.field == field
    assert text == "" or text not in fault.reason


@pytest.mark.parametrize(
    ("text", "sub_account"),
    [("", ""), ("\u3000", ""), ("3705 0212\u00a034", "3705021234"), ("无", "无")],
)
def test_an_odd_sub_account_loses_no_money(text: str, sub_account: str) -> None:
    line = read(子账号=text)
    assert isinstance(line, Line)
    assert line.sub_account == sub_account


@pytest.mark.parametrize("field", ["流水号", "对方账号", "子账号"])
@pytest.mark.parametrize("kind", ["NUMBER", "TIME"])
def test_a_code_in_a_number_s_cell_is_refused(field: str, kind: str) -> None:
    row = texts(a_row())
    row[COLUMNS[field]] = Cell(kind, "6222000000000000000")  # type: ignore[arg-type]  # a parameter
    fault = line_of(row, COLUMNS)
    assert isinstance(fault, Fault)
    assert fault.field == field
    assert "文本" in fault.reason


def test_a_formula_nobody_calculated_is_refused_wherever_it_stands() -> None:
    row = texts(a_row())
    row[COLUMNS["摘要"]] = Cell("FORMULA", "")
    fault = line_of(row, COLUMNS)
    assert isinstance(fault, Fault)
    assert (fault.field, fault.column) == ("摘要", COLUMNS["摘要"])


def test_an_amount_and_a_time_may_be_excel_s_own() -> None:
    row = texts(a_row())
    row[COLUMNS["金额"]] = Cell("NUMBER", "400000.5")
    row[COLUMNS["入账时间"]] = Cell("TIME", "2022-10-17T09:00:00")
    line = line_of(row, COLUMNS)
    assert isinstance(line, Line)
    assert line.amount_fen == 40_000_050


def test_a_short_row_lacks_its_last_fields() -> None:
    line = line_of(texts(a_row()[:6]), COLUMNS)
    assert isinstance(line, Line)
    assert (line.sub_account, line.memo) == ("", "")


def test_columns_may_stand_in_any_order_and_bear_the_bank_s_names() -> None:
    said = [
        "摘要",
        "收款子账号",
        "付款账号",
        "付款户名",
        "金额",
        "方向",
        "入账时间",
        "流水号",
        "余额",
    ]
    columns = columns_of(texts(said))
    assert columns["流水号"] == 7
    assert columns["子账号"] == 1


@pytest.mark.parametrize(
    "header", [[], ["流水号"], [*HEADER, "流水号"], [name for name in HEADER if name != "金额"]]
)
def test_a_header_that_is_another(header: list[str]) -> None:
    with pytest.raises(HeaderWrong):
        columns_of(texts(header))


def test_a_blank_row_is_no_line() -> None:
    assert is_blank(texts(["", "", ""]))
    assert not is_blank([Cell("FORMULA", "")])
