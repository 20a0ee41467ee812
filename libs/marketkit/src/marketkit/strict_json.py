"""JSON at an edge: one reading of every text, or a refusal that echoes nothing of it. Pure."""

import json
import math
import re
from typing import Any

from pydantic import ValidationError

from marketkit.errors import FieldFault, InputInvalid, Unreadable

DEPTH_MAX = 32
DIGITS_MAX = 4_300
FAULTS_MAX = 50

# The closing quote is optional, so that an unfinished text is passed over once, not once a quote.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]|[\]}]', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}", re.ASCII)


class JsonUnreadable(Unreadable):
    title = "输入内容无法读取"
    code = InputInvalid.code


def loads(body: bytes) -> Any:
    """The value a JSON text says, when every reader would read the same.

    Raises:
        InputInvalid: Nothing was sent.
        JsonUnreadable: No UTF-8, a byte order mark, nested too deeply, no JSON, a key twice in one
            object, a number that is none or beyond reach.
        InputInvalid: Half of a surrogate pair stands in a text.
    """
    if not body.strip():
        raise InputInvalid("请求体为空")
    text = _decode(body)
    _check_depth(text)
    try:
        value = _DECODER.decode(text)
    except ValueError:
        raise JsonUnreadable("不是合法的JSON") from None
    if _SURROGATE.search(text):
        _check_surrogates(value)
    return value


def faults(error: ValidationError) -> InputInvalid:
    """The refusal that tells each fault: a JSON pointer and a reason, never what was sent."""
    found = error.errors(include_url=False, include_input=False)
    return InputInvalid(
        "输入字段有误",
        errors=[
            FieldFault(_pointer(one["loc"]), _message(dict(one))) for one in found[:FAULTS_MAX]
        ],
    )


def _decode(body: bytes) -> str:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise JsonUnreadable("不是UTF-8编码") from None
    if text.startswith("\ufeff"):
        raise JsonUnreadable("不允许字节顺序标记")
    return text


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return
    depth = 0
    for token in _TOKEN.finditer(text):
        mark = text[token.start()]
        if mark in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise JsonUnreadable(f"嵌套超过{DEPTH_MAX}层")
        elif mark in "]}":
            depth -= 1


def _check_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise InputInvalid("文本中含有不成对的代理字符") from None


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise JsonUnreadable("同一对象中有重复的字段")
    return read


def _read_constant(name: str) -> Any:
    raise JsonUnreadable("数字须为有限值")


def _read_fraction(text: str) -> Any:
    number = float(text)
    if math.isinf(number):
        raise JsonUnreadable("数字须为有限值")
    return number


def _read_integer(text: str) -> int:
    if len(text) > DIGITS_MAX:
        raise JsonUnreadable("数字位数过多")
    return int(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_read_object,
    parse_constant=_read_constant,
    parse_float=_read_fraction,
    parse_int=_read_integer,
)


def _pointer(loc: tuple[int | str, ...]) -> str:
    # A key may itself be hostile: the pointer ends before one that is no plain name.
    pointer = ""
    for step in loc:
        if not _NAME.fullmatch(str(step)):
            break
        pointer += f"/{step}"
    return pointer


_MESSAGES = {
    "missing": "缺少必填字段",
    "extra_forbidden": "未知字段",
    "string_type": "须为文本",
    "string_too_short": "文本过短",
    "string_too_long": "文本过长",
    "string_pattern_mismatch": "格式不符",
    "bool_type": "须为true或false",
    "list_type": "须为列表",
    "tuple_type": "须为列表",
    "too_long": "条目过多",
    "too_short": "条目过少",
    "literal_error": "不是允许的取值",
    "enum": "不是允许的取值",
}
_FAMILIES = (
    ("int_", "须为整数"),
    ("dict_", "须为对象"),
    ("model_", "须为对象"),
    ("greater_", "超出允许范围"),
    ("less_", "超出允许范围"),
)


def _message(fault: dict[str, Any]) -> str:
    kind = str(fault["type"])
    if kind == "value_error":
        # Only our own validators speak Chinese; a library's message may quote the input.
        said = str(fault["ctx"]["error"])
        return said if "\u4e00" <= said[:1] <= "\u9fff" else "取值有误"
    family = next((text for prefix, text in _FAMILIES if kind.startswith(prefix)), "取值有误")
    return _MESSAGES.get(kind, family)
