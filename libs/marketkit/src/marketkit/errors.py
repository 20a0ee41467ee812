"""Refusals: why a command changes nothing, each with a stable code and the article it rests on.

    Refusal
    ├── Unreadable         400  the request cannot be read
    ├── Unauthenticated    401  no good credential or signature
    ├── Forbidden          403  this caller may not, whatever the state
    ├── NotFound           404  unknown, or another region's
    ├── Conflict           409  state or limit: right at another time, perhaps
    ├── RuleBroken         422  read, but wrong whatever the state
    │   └── InputInvalid        malformed fields
    └── Busy               503  not now; ask again with the same key

Subclasses live beside the rule that raises them; the code of one is its name in UPPER_SNAKE.
"""

import re
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

# What a defect of our own code or an unknown shape raises; a broken link or a timeout does not.
DEFECTS = (
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError,
    RuntimeError,
)  # fmt: skip


class FieldFault(NamedTuple):
    """What is wrong with one field: where (a JSON pointer) and why, never what was sent."""

    pointer: str
    message: str


class Refusal(Exception):
    """A command that may not take effect. `title` is Chinese, for a person; `code` is for ever."""

    title: ClassVar[str] = "请求被拒绝"
    status: ClassVar[int] = 422
    article: str | None = None
    code: ClassVar[str] = "REFUSAL"

    def __init_subclass__(cls) -> None:
        if "code" not in cls.__dict__:
            cls.code = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).upper()

    def __init__(
        self,
        detail: str = "",
        *,
        article: str | None = None,
        errors: Sequence[FieldFault] = (),
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.article = article or self.article
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s


class Unreadable(Refusal):
    title = "请求无法读取"
    status = 400


class Unauthenticated(Refusal):
    title = "未通过身份验证"
    status = 401


class Forbidden(Refusal):
    title = "无权进行此操作"
    status = 403


class NotFound(Refusal):
    title = "对象不存在"
    status = 404


class Conflict(Refusal):
    title = "当前状态不允许此操作"
    status = 409


class RuleBroken(Refusal):
    title = "不符合规定"
    status = 422


class InputInvalid(RuleBroken):
    title = "输入内容有误"


class Busy(Refusal):
    title = "系统繁忙，请稍后用同一幂等键重试"
    status = 503


def problem(refusal: Refusal, trace_id: str = "", instance: str = "") -> dict[str, Any]:
    """The RFC 9457 problem document of a refusal; it never echoes what was sent."""
    document: dict[str, Any] = {
        "type": f"/problems/{refusal.code}",
        "title": refusal.title,
        "status": refusal.status,
        "code": refusal.code,
    }
    optional = {
        "detail": refusal.detail,
        "article": refusal.article,
        "errors": [fault._asdict() for fault in refusal.errors],
        "instance": instance,
        "trace_id": trace_id,
    }
    return document | {name: value for name, value in optional.items() if value}


def titles() -> dict[str, str]:
    """The Chinese title of every code this program may answer; a code keeps its owner's title."""
    found: dict[str, str] = {}
    waiting = [Refusal]
    while waiting:
        kind = waiting.pop(0)
        found.setdefault(kind.code, kind.title)
        waiting += kind.__subclasses__()
    return found
