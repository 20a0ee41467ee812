"""Sheets of a bank: CSV and Excel, read in a process of their own that may be killed.

A sheet is somebody else's bytes: read under limits of size, memory and time, its cells told as
they stand. `python -m saleroom.sheets` reads one from its input and writes JSON.
"""

import asyncio
import csv
import io
import json
import resource
import sys
import zipfile
from datetime import date, datetime, time
from typing import Literal, NamedTuple
from xml.parsers import expat

from python_calamine import CalamineError, CalamineWorkbook
from xlsxwriter.utility import xl_rowcol_to_cell

from marketkit.errors import Busy, RuleBroken

Kind = Literal["TEXT", "NUMBER", "TIME", "FORMULA"]

BYTES_MAX = 20 * 1024 * 1024
UNZIPPED_BYTES_MAX = 200 * 1024 * 1024
ROWS_MAX = 20_000
COLUMNS_MAX = 40
CHARACTERS_MAX = 8_000_000
MEMORY_BYTES_MAX = 1536 * 1024 * 1024
READ_S_MAX = 20
_XLS = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


class SheetUnreadable(RuleBroken):
    title = "文件无法读取，请使用UTF-8或GBK编码的CSV，或xlsx、xls文件"


class SheetTooLarge(RuleBroken):
    title = "文件行数、列数、字数或解压后大小超过上限"


class Cell(NamedTuple):
    """One cell as it stands; a FORMULA is one whose value nobody has stored."""

    kind: Kind
    text: str


async def read_sheet(body: bytes) -> list[list[Cell]]:
    """The rows of the first sheet, read by a process that is killed when it takes too long.

    Raises:
        SheetUnreadable: neither CSV nor Excel, or one that cannot be read.
        SheetTooLarge: more rows, columns or unzipped bytes than are read.
        Busy: it took too long.
    """
    pipe = asyncio.subprocess.PIPE
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "saleroom.sheets",
        stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        said, _ = await asyncio.wait_for(reader.communicate(body), READ_S_MAX)
    except TimeoutError:
        raise Busy() from None
    finally:
        if reader.returncode is None:
            reader.kill()
            await reader.wait()
    if reader.returncode == SheetTooLarge.status % 256:
        raise SheetTooLarge()
    if reader.returncode != 0:
        raise SheetUnreadable()
    return [[Cell(*cell) for cell in row] for row in json.loads(said)]


def cells_of(body: bytes) -> list[list[Cell]]:
    """The rows of a sheet; read in this process.

    Raises:
        SheetUnreadable, SheetTooLarge: as `read_sheet`.
    """
    rows = _excel(body) if body.startswith((b"PK", _XLS)) else _csv(body)
    if len(rows) > ROWS_MAX or any(len(row) > COLUMNS_MAX for row in rows):
        raise SheetTooLarge()
    # A text that many cells share stands in the file once, and in what they say as often.
    if sum(len(cell.text) for row in rows for cell in row) > CHARACTERS_MAX:
        raise SheetTooLarge()
    return rows


def _csv(body: bytes) -> list[list[Cell]]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = body.decode("gb18030")
        except UnicodeDecodeError:
            raise SheetUnreadable() from None
    if "\x00" in text:
        raise SheetUnreadable()
    try:
        found = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        raise SheetUnreadable() from None
    return [[Cell("TEXT", _plain(cell)) for cell in row] for row in found]


def _plain(text: str) -> str:
    # What writers put before a code so that Excel leaves it a text.
    if text.startswith('="') and text.endswith('"'):
        text = text[2:-1]
    return text.strip().removeprefix("'")


def _excel(body: bytes) -> list[list[Cell]]:
    formulas = _check_zip(body) if body.startswith(b"PK") else set()
    try:
        sheet = CalamineWorkbook.from_filelike(io.BytesIO(body)).get_sheet_by_index(0)
        if sheet.total_height > ROWS_MAX or sheet.total_width > COLUMNS_MAX:
            raise SheetTooLarge()
        rows = sheet.to_python(skip_empty_area=False)
    except (CalamineError, OSError, ValueError, IndexError):
        raise SheetUnreadable() from None
    return [
        [
            Cell("FORMULA", "") if (line, column) in formulas else _cell(value)
            for column, value in enumerate(row)
        ]
        for line, row in enumerate(rows)
    ]


def _cell(value: object) -> Cell:
    match value:
        case bool():
            return Cell("TEXT", str(value).upper())
        case int():
            return Cell("NUMBER", str(value))
        case datetime():
            return Cell("TIME", value.isoformat())
        case date() | time():
            return Cell("TEXT", value.isoformat())
        case str():
            return Cell("TEXT", value.strip())
        case _:
            # A number of Excel's is binary; its shortest decimal form is what was typed.
            text = repr(value)
            return Cell("NUMBER", text.removesuffix(".0"))


def _check_zip(body: bytes) -> set[tuple[int, int]]:
    """The cells of the first sheet whose formula has no stored value; refuses bombs before."""
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as packed:
            if sum(part.file_size for part in packed.infolist()) > UNZIPPED_BYTES_MAX:
                raise SheetTooLarge()
            names = [part for part in packed.namelist() if part.startswith("xl/worksheets/sheet")]
            return _formulas(packed.read(min(names, key=lambda n: (len(n), n)))) if names else set()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, expat.ExpatError):
        raise SheetUnreadable() from None


def _formulas(sheet: bytes) -> set[tuple[int, int]]:
    found: set[tuple[int, int]] = set()
    inside: dict[str, str] = {}

    def begin(name: str, attributes: dict[str, str]) -> None:
        tag = name.rpartition(":")[2]
        if tag == "c":
            inside.clear()
            inside["c"] = attributes.get("r", "")
        elif tag in {"f", "v", "t"}:
            inside[tag] = ""

    def end(name: str) -> None:
        if name.rpartition(":")[2] == "c" and "f" in inside and not {"v", "t"} & set(inside):
            found.add(_place(inside["c"]))

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.Parse(sheet, True)
    return found


def _place(address: str) -> tuple[int, int]:
    letters = address.rstrip("0123456789")
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - ord("A") + 1
    return int(address[len(letters) :] or 1) - 1, column - 1


def address_of(row: int, column: int) -> str:
    """The cell's address as Excel says it, both counted from 0."""
    address: str = xl_rowcol_to_cell(row, column)
    return address


def main() -> int:
    """Read a sheet from the input, tell its cells on the output; the answer is the exit code."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (READ_S_MAX, READ_S_MAX))
    try:
        json.dump(cells_of(sys.stdin.buffer.read(BYTES_MAX + 1)), sys.stdout)
    except SheetTooLarge:
        return SheetTooLarge.status % 256
    except SheetUnreadable:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
