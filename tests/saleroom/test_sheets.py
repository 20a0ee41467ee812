"""Sheets as banks and offices send them, and as ours are written: nothing in them is a formula."""

import io
import zipfile
from datetime import datetime

import pytest
from xlsxwriter import Workbook

from saleroom.exports import csv_bytes, xlsx_bytes
from saleroom.sheets import (
    CHARACTERS_MAX,
    Cell,
    SheetTooLarge,
    SheetUnreadable,
    address_of,
    cells_of,
    read_sheet,
)

HOSTILE = [
    '=HYPERLINK("http://example.com")',
    "+1",
    "-1",
    "@x",
    "\tx",
    "https://example.com",
    "东营",
]


def an_excel_s() -> bytes:
    """What Excel would send: numbers, a time, a formula with a value and one without."""
    file = io.BytesIO()
    with Workbook(file, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_number(0, 0, 400000)
        sheet.write_number(0, 1, 0.1)
        sheet.write_number(0, 2, 6222000000000000123)
        when = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        sheet.write_datetime(0, 3, datetime(2022, 10, 17, 9), when)
        sheet.write_formula(1, 0, "=1+1", None, 2)
        sheet.write_formula(1, 1, "=A1&B1", None, "")
        sheet.write_boolean(1, 2, True)
    return file.getvalue()


def without_value(body: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as old, zipfile.ZipFile(made, "w") as new:
        for part in old.infolist():
            said = old.read(part)
            new.writestr(part, said.replace(b"<f>1+1</f><v>2</v>", b"<f>1+1</f>"))
    return made.getvalue()


def test_what_excel_holds_is_told_as_it_stands() -> None:
    first, second = cells_of(an_excel_s())
    assert first == [
        Cell("NUMBER", "400000"),
        Cell("NUMBER", "0.1"),
        Cell("NUMBER", "6.222e+18"),
        Cell("TIME", "2022-10-17T09:00:00"),
    ]
    assert second[0] == Cell("NUMBER", "2")
    assert second[2] == Cell("TEXT", "TRUE")


def test_a_formula_without_a_stored_value_is_found() -> None:
    _, second = cells_of(without_value(an_excel_s()))
    assert second[0] == Cell("FORMULA", "")
    assert address_of(1, 0) == "A2"


@pytest.mark.parametrize("encoding", ["utf-8", "gbk"])
def test_a_csv_of_ours_holds_no_formula_and_is_read_again(encoding: str) -> None:
    body = csv_bytes([HOSTILE], encoding)  # type: ignore[arg-type]  # one of the two
    text = body.decode("utf-8-sig" if encoding == "utf-8" else "gb18030")
    assert text.startswith("\"'=HYPERLINK")
    ((first, plus, *_, chinese),) = cells_of(body)
    assert (first.text, plus.text, chinese.text) == (HOSTILE[0], "+1", "东营")


def test_an_xlsx_of_ours_holds_texts_only() -> None:
    ((*found,),) = cells_of(xlsx_bytes([HOSTILE]))
    assert [cell.kind for cell in found] == ["TEXT"] * len(HOSTILE)
    assert [cell.text for cell in found] == [text.strip() for text in HOSTILE]


def test_a_code_that_excel_was_told_to_leave_alone() -> None:
    assert cells_of(b'="6222000000000000123",\'007\n') == [
        [Cell("TEXT", "6222000000000000123"), Cell("TEXT", "007")]
    ]


async def test_a_process_of_its_own_reads_the_same() -> None:
    assert await read_sheet(an_excel_s()) == cells_of(an_excel_s())
    with pytest.raises(SheetUnreadable):
        await read_sheet(b"PK\x03\x04")


def test_entities_are_not_unfolded() -> None:
    lol = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    sheet = f'<!DOCTYPE x [<!ENTITY l0 "lol">{lol}]><x>&l9;</x>'
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("xl/worksheets/sheet1.xml", sheet)
    with pytest.raises(SheetUnreadable):
        cells_of(file.getvalue())


def test_a_text_that_many_cells_share_counts_as_often_as_it_is_said() -> None:
    file = io.BytesIO()
    with Workbook(file, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for row in range(CHARACTERS_MAX // 32_000 + 1):
            sheet.write_string(row, 0, "é" * 32_000)
    assert len(file.getvalue()) < 20_000
    with pytest.raises(SheetTooLarge):
        cells_of(file.getvalue())
