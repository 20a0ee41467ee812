"""What a request must survive before a handler sees it. Pure ASGI, so nothing is buffered twice."""

import re
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from marketkit.errors import Busy, NotFound, Refusal, Unauthenticated, Unreadable
from marketkit.identity import Caller, Verifier
from marketkit.strict_json import loads

BODY_BYTES_MAX = 256 * 1024
UPLOAD_BYTES_MAX = 20 * 1024 * 1024
UPLOADS_AT_ONCE = 4
UPLOAD_TYPES = frozenset(
    {
        "text/csv",
        "application/vnd.ms-excel",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    }
)
# More parameters than any route has are not even counted.
QUERY_FIELDS_MAX = 32
_PORT = re.compile(r":[0-9]{1,5}$", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_WITH_BODY = {"POST", "PUT", "PATCH", "DELETE"}


class BodyTooLarge(Refusal):
    title = "请求体过大"
    status = 413


class MediaTypeUnsupported(Refusal):
    title = "请求体须为application/json（UTF-8，不压缩），上传文件须为CSV或Excel"
    status = 415


class HostUnknown(Unreadable):
    title = "请求的主机名不是本系统的"


class PathUnknown(NotFound):
    title = "没有这个地址"
    code = "ROUTE_UNKNOWN"


class QueryAmbiguous(Unreadable):
    title = "查询参数重复或无法读取"


class Guard:
    """Refuses bodies too large, of another type, or not strict JSON; passes the rest on.

    A route tagged `upload` takes a file instead: a sheet of up to 20 MB, from a known caller; one
    at a time of each, four in all.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.uploading: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        _check_host(scope)
        _check_address(scope)
        if scope["method"] not in _WITH_BODY:
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if _takes_files(scope):
            caller = _caller(scope, headers)
            _check_file_type(headers)
            # Nobody holds them all, and all together they are no more than a process has room for.
            if caller.sub in self.uploading or len(self.uploading) >= UPLOADS_AT_ONCE:
                raise Busy(retry_after_s=1)
            self.uploading.add(caller.sub)
            try:
                body = await _body(headers, receive, UPLOAD_BYTES_MAX)
                await self.app(scope, _replay(body, receive), send)
            finally:
                self.uploading.discard(caller.sub)
            return
        body = await _body(headers, receive, BODY_BYTES_MAX)
        if body:
            _check_type(headers)
            scope.setdefault("state", {})["content"] = loads(body)
        await self.app(scope, _replay(body, receive), send)


def _check_host(scope: Scope) -> None:
    # Only what the parser read counts: X-Forwarded-Host and its like are anybody's word.
    app = scope.get("app")
    allowed: frozenset[str] = app.state.allowed_hosts if app else frozenset()
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    if allowed and _PORT.sub("", host).lower() not in allowed:
        raise HostUnknown()


def _check_address(scope: Scope) -> None:
    # A route's pattern would take an address with a line break at its end for its own.
    if _CONTROL.search(scope["path"]):
        raise PathUnknown()
    try:
        text = scope["query_string"].decode("ascii")
        said = parse_qsl(text, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
    except ValueError:
        raise QueryAmbiguous() from None
    names = [name for name, _ in said]
    if len(names) != len(set(names)) or any("\x00" in value for _, value in said):
        raise QueryAmbiguous()


def _takes_files(scope: Scope) -> bool:
    app = scope.get("app")
    uploads: frozenset[str] = app.state.uploads if app else frozenset()
    return scope["method"] == "POST" and scope["path"] in uploads


async def _body(headers: dict[bytes, bytes], receive: Receive, bytes_max: int) -> bytes:
    if int(headers.get(b"content-length", b"0")) > bytes_max:
        raise BodyTooLarge()
    chunks = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Unreadable()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        more = message.get("more_body", False)
        if size > bytes_max:
            raise BodyTooLarge()
    return b"".join(chunks)


def _check_type(headers: dict[bytes, bytes]) -> None:
    media, _, parameters = headers.get(b"content-type", b"").decode("latin-1").partition(";")
    charset = parameters.strip().lower()
    if (
        media.strip().lower() != "application/json"
        or charset not in {"", "charset=utf-8", 'charset="utf-8"'}
        or headers.get(b"content-encoding", b"identity") != b"identity"
    ):
        raise MediaTypeUnsupported()


def _caller(scope: Scope, headers: dict[bytes, bytes]) -> Caller:
    # Nobody unknown makes us hold 20 MB; which roles may is for the route to say.
    scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated()
    verifier: Verifier = scope["app"].state.verifier
    return verifier.caller(token)


def _check_file_type(headers: dict[bytes, bytes]) -> None:
    media = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0]
    if (
        media.strip().lower() not in UPLOAD_TYPES
        or headers.get(b"content-encoding", b"identity") != b"identity"
    ):
        raise MediaTypeUnsupported()


def _replay(body: bytes, receive: Receive) -> Receive:
    pending: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return again
