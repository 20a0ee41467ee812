"""Sheets for a bank: CSV and Excel of texts only, so that nothing in them is ever calculated."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from xlsxwriter import Workbook

Encoding = Literal["utf-8", "gbk"]

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
CSV: dict[Encoding, str] = {"utf-8": "text/csv; charset=utf-8", "gbk": "text/csv; charset=gb18030"}
# What a route that answers sheets says of itself.
SHEETS: dict[int | str, dict[str, Any]] = {200: {"content": {XLSX: {}, "text/csv": {}}}}

_INJECTION = ("=", "+", "-", "@", "\t", "\r")


def download(name: str) -> dict[str, str]:
    """The header of an answer that a browser keeps as a file."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def csv_bytes(rows: Iterable[Sequence[str]], encoding: Encoding = "utf-8") -> bytes:
    """A CSV that Excel opens as it is: with a BOM, or in GBK; nothing in it is a formula."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([_escaped(cell) for cell in row] for row in rows)
    if encoding == "gbk":
        # What GBK has no sign for is written in four bytes of its superset.
        return text.getvalue().encode("gb18030")
    return text.getvalue().encode("utf-8-sig")


def _escaped(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_INJECTION) else cell


def xlsx_bytes(rows: Sequence[Sequence[str]]) -> bytes:
    """An .xlsx of text cells only, its first row frozen."""
    file = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with Workbook(file, options) as book:
        sheet = book.add_worksheet("Sheet1")
        text = book.add_format({"num_format": "@"})
        sheet.set_column(0, max(map(len, rows), default=1) - 1, 24, text)
        sheet.freeze_panes(1, 0)
        for line, row in enumerate(rows):
            for column, cell in enumerate(row):
                sheet.write_string(line, column, cell, text)
    return file.getvalue()
