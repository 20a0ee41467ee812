"""What an application says of itself in OpenAPI, completed so that clients made from it are right.

Keys, credentials, refusals and what follows on what are said here, once, out of what the routes
declare; by hand at no route. Pure.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

PROBLEM_TYPE = "application/problem+json"
KEY = "Idempotency-Key"
KEY_PATTERN = r"^[!-~]{1,200}$"
# What PostgreSQL has no text for is in no question (`marketkit.guard`).
QUERY_PATTERN = r"^[^\u0000]*$"

_TEXT = {"type": "string"}
_FAULT = {
    "type": "object",
    "properties": {"pointer": _TEXT, "message": _TEXT},
    "required": ["pointer", "message"],
    "additionalProperties": False,
}
_PROBLEM = {
    "type": "object",
    "description": "问题文档（RFC 9457）：code稳定不变，article为所依据的条款。",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "code": {"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$"},
        **dict.fromkeys(("detail", "article", "instance", "trace_id"), _TEXT),
        "errors": {"type": "array", "items": _FAULT},
    },
    "required": ["type", "title", "status", "code"],
    "additionalProperties": False,
}
# The statuses' meaning is that of `marketkit.errors`.
_SAID = {
    400: "请求无法读取",
    401: "未通过身份验证",
    403: "无权进行此操作",
    404: "对象不存在，或属于其他地区",
    408: "请求未在规定时间内发送完毕",
    409: "当前状态不允许此操作",
    413: "请求体过大",
    414: "请求地址过长",
    415: "只接受application/json（UTF-8，不压缩）",
    422: "不符合规定，或输入内容有误",
    429: "请求过于频繁",
    431: "请求头过大或过多",
    500: "系统内部错误，已记录",
    503: "系统繁忙，请稍后用同一幂等键重试",
    507: "存储空间不足，暂停写入",
}
_HEADERS = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}
_ALWAYS = (400, 408, 414, 431, 500, 503)


class Described(NamedTuple):
    """One operation as the document has it."""

    path: str
    method: str
    said: dict[str, Any]

    @property
    def is_command(self) -> bool:
        return any(one["name"] == KEY for one in self.said.get("parameters", ()))

    def statuses(self) -> set[int]:
        """Every refusal it may answer, from what it takes and who may call it."""
        found = set(_ALWAYS)
        found |= set() if "anyone" in self.said["x-roles"] else {401, 403, 429}
        # What is asked of an object may be right at another time, too.
        found |= {404, 409} if "{" in self.path or self.is_command else set()
        found |= {413, 415} if self.method != "get" else set()
        found |= {409, 422, 507} if self.method != "get" else set()
        return found | ({422} if "422" in self.said["responses"] else set())


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """The document with all that its routes leave unsaid; it is changed in place."""
    operations = list(described(document))
    for one in operations:
        _complete(one)
    schemas = {
        name: schema
        for name, schema in document.get("components", {}).get("schemas", {}).items()
        if name not in {"HTTPValidationError", "ValidationError"}  # FastAPI's own, never answered
    }
    document["components"] = {
        "schemas": dict(sorted({**schemas, "Problem": _PROBLEM}.items())),
        "responses": {f"Refused{status}": _refused(status) for status in _SAID},
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
    }
    for one in operations:
        if links := dict(_links(one, operations)):
            _success(one)["links"] = links
    return document


def described(document: dict[str, Any]) -> Iterator[Described]:
    """Every operation of the document."""
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            yield Described(path, method, said)


def _complete(one: Described) -> None:
    for parameter in one.said.get("parameters", ()):
        if parameter["name"] == KEY:
            parameter |= {"required": True, "schema": {"type": "string", "pattern": KEY_PATTERN}}
        schema = parameter["schema"]
        for text in [schema, *schema.get("anyOf", ())] if parameter["in"] == "query" else ():
            if text.get("type") == "string" and not {"format", "enum"} & text.keys():
                text.setdefault("pattern", QUERY_PATTERN)
    if "anyone" not in one.said["x-roles"]:
        one.said["security"] = [{"token": []}]
    refused = {
        str(status): {"$ref": f"#/components/responses/Refused{status}"}
        for status in sorted(one.statuses())
    }
    one.said["responses"] |= refused
    for media in _success(one).get("content", {}).values():
        media.get("schema", {}).pop("title", None)  # made up of a function's name


def _refused(status: int) -> dict[str, Any]:
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    said: dict[str, Any] = {"description": _SAID[status], "content": content}
    if status in _HEADERS:
        said["headers"] = {_HEADERS[status]: {"required": True, "schema": _TEXT}}
    return said


def _success(one: Described) -> dict[str, Any]:
    said: dict[str, Any] = next(
        said for status, said in one.said["responses"].items() if status.startswith("2")
    )
    return said


def _links(maker: Described, operations: list[Described]) -> Iterator[tuple[str, Any]]:
    # What a command makes is found, and gone on with, at the addresses below its own.
    if maker.method != "post":
        return
    for one in operations:
        below = one.path.removeprefix(maker.path)
        if below != one.path and (made := re.match(r"/{(\w+)}", below)):
            known = re.findall(r"{(\w+)}", maker.path)
            if set(re.findall(r"{(\w+)}", one.path)) == {*known, made[1]}:
                yield (
                    one.said["operationId"],
                    {
                        "operationId": one.said["operationId"],
                        "parameters": {name: f"$request.path.{name}" for name in known}
                        | {made[1]: f"$response.body#/{made[1]}"},
                    },
                )
