"""What a line of the bank's file says, and what its money may be. Pure: no clock, no database."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from marketkit.errors import Conflict, NotFound, RuleBroken
from marketkit.units import SHANGHAI, YUAN, Text, in_reach
from saleroom.bookings.rules import Direction, Line, folded
from saleroom.sheets import Cell

# The template's header; what some banks call the same stands behind it.
HEADER: dict[str, tuple[str, ...]] = {
    "流水号": (),
    "入账时间": (),
    "方向": (),
    "金额": (),
    "对方户名": ("付款户名",),
    "对方账号": ("付款账号",),
    "子账号": ("收款子账号",),
    "摘要": (),
}
DIRECTIONS: dict[str, Direction] = {
    "收": "IN", "收入": "IN", "贷": "IN", "付": "OUT", "支出": "OUT", "借": "OUT",
}  # fmt: skip
VERDICTS = {
    "DEPOSIT_BOOKED": "已记为保证金",
    "PAYMENT_BOOKED": "已记为成交价款",
    "REFUND_CONFIRMED": "退款已由银行付出",
    "LINE_MALFORMED": "该行内容有误，未入账",
}

# More than any city sells: sums of bookings stay within what can be written down.
BOOKING_FEN_MAX = 10**14
_SERIAL = re.compile(r"[!-~]{1,64}", re.ASCII)
_ACCOUNT = re.compile(r"[0-9A-Za-z-]{1,40}", re.ASCII)
_ROUNDED = re.compile(r"[0-9](\.[0-9]+)?E\+[0-9]+", re.ASCII | re.IGNORECASE)
_GROUPED = re.compile(r"[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]{1,2})?", re.ASCII)
_WHEN = re.compile(
    r"(\d{4})[-/](\d\d?)[-/](\d\d?)[ T](\d\d?):(\d\d)(?::(\d\d))?(?:\+08:00)?", re.ASCII
)
_TEXT: TypeAdapter[str] = TypeAdapter(Text)


class HeaderWrong(RuleBroken):
    title = "表头与模板不符"


class BankFileUnknown(NotFound):
    title = "银行文件不存在"


class SerialContentDiffers(Conflict):
    title = "该流水号已登记，但内容与本行不同"


class Fault(NamedTuple):
    """Why a row is no line: which field, in which column, what is wrong with it."""

    field: str
    column: int
    reason: str


def columns_of(header: Sequence[Cell]) -> dict[str, int]:
    """Where each field stands.

    Raises:
        HeaderWrong: a column is missing, or stands twice.
    """
    said = [folded(cell.text) for cell in header]
    found: dict[str, int] = {}
    for name, others in HEADER.items():
        places = [index for index, text in enumerate(said) if text in {name, *others}]
        if len(places) != 1:
            raise HeaderWrong(f"缺少或重复：{name}")
        found[name] = places[0]
    return found


def is_blank(row: Sequence[Cell]) -> bool:
    return all(cell.kind != "FORMULA" and not cell.text for cell in row)


def line_of(row: Sequence[Cell], columns: Mapping[str, int]) -> Line | Fault:
    """A row as a booking of the bank, or the first thing that is wrong with it."""
    cells = {
        name: row[index] if index < len(row) else Cell("TEXT", "")
        for name, index in columns.items()
    }
    for name, cell in cells.items():
        if cell.kind == "FORMULA":
            return Fault(name, columns[name], "公式没有计算结果，请改为数值或文本")
    field = ""
    try:
        said: dict[str, object] = {}
        for field, (read, key) in _FIELDS.items():
            said[key] = read(cells[field])
    except ValidationError:
        return Fault(field, columns[field], "为空、过长或含有不允许的字符")
    except ValueError as error:
        return Fault(field, columns[field], str(error))
    return Line(**said)  # type: ignore[arg-type]  # each reader answers its field's type


def _serial(cell: Cell) -> str:
    _require_text(cell)
    if not _SERIAL.fullmatch(cell.text) or _ROUNDED.fullmatch(cell.text):
        raise ValueError("须为1至64位字母、数字或符号，且未被改写为科学计数")
    return cell.text


def _when(cell: Cell) -> datetime:
    found = _WHEN.fullmatch(cell.text.partition(".")[0] if cell.kind == "TIME" else cell.text)
    if cell.kind == "NUMBER" or not found:
        raise ValueError("须为北京时间，如2022-10-21 09:30:00")
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
    try:
        at = datetime(year, month, day, hour, minute, second, tzinfo=SHANGHAI)
    except ValueError:
        raise ValueError("没有这个时间") from None
    return in_reach(at)


def _direction(cell: Cell) -> Direction:
    if cell.text not in DIRECTIONS:
        raise ValueError("须为“收”或“付”")
    return DIRECTIONS[cell.text]


def _amount(cell: Cell) -> int:
    text = cell.text.replace(",", "") if _GROUPED.fullmatch(cell.text) else cell.text
    amount_fen = YUAN.parse(text)
    if not 0 < amount_fen <= BOOKING_FEN_MAX:
        raise ValueError("须大于零，且不超过一万亿元")
    return amount_fen


def _name(cell: Cell) -> str:
    return _TEXT.validate_python(cell.text)


def _account(cell: Cell) -> str:
    _require_text(cell)
    text = cell.text.replace(" ", "")
    if not _ACCOUNT.fullmatch(text):
        raise ValueError("须为1至40位数字、字母或连字符")
    return text


def _sub_account(cell: Cell) -> str:
    _require_text(cell)
    # Of any other text nobody has the number: the money is kept, undecided.
    text = "".join(cell.text.split())
    if len(text) > 40 or not text.isprintable():
        raise ValueError("过长或含有不允许的字符")
    return text


def _memo(cell: Cell) -> str:
    return _TEXT.validate_python(cell.text) if cell.text else ""


def _require_text(cell: Cell) -> None:
    if cell.kind != "TEXT":
        raise ValueError("须为文本格式；数字格式会丢失超过15位的数字")


_FIELDS = {
    "流水号": (_serial, "bank_serial"),
    "入账时间": (_when, "booked_at"),
    "方向": (_direction, "direction"),
    "金额": (_amount, "amount_fen"),
    "对方户名": (_name, "other_name"),
    "对方账号": (_account, "other_account"),
    "子账号": (_sub_account, "sub_account"),
    "摘要": (_memo, "memo"),
}
