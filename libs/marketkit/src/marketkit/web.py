"""HTTP: an application whose refusals are problem documents and whose commits precede answers.

Two applications stand on two ports: the public one, and the inner one for operators and services.
"""

import re
import secrets
import time
from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from prometheus_client import Counter, Histogram
from pydantic import ValidationError
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from marketkit.db import Database, sqlstate
from marketkit.description import PROBLEM_TYPE, complete
from marketkit.doors import HotRoute
from marketkit.errors import Busy, NotFound, Refusal, Unauthenticated, Unreadable, problem
from marketkit.guard import Guard
from marketkit.identity import Verifier
from marketkit.logs import log
from marketkit.signing import canonical
from marketkit.strict_json import faults

DURATION = Histogram(
    "yaosu_http_request_duration_seconds", "HTTP requests", ["method", "route", "status_class"]
)
UNEXPECTED = Counter("yaosu_http_unexpected_errors_total", "Requests answered 500")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_TRACE = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)


class RouteUnknown(NotFound):
    title = "没有这个地址"


class MethodNotAllowed(Refusal):
    title = "该地址不支持此方法"
    status = 405

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        super().__init__()
        self.allowed = tuple(allowed)


class StorageFull(Refusal):
    title = "存储空间不足，暂停写入"
    status = 507


class Unexpected(Refusal):
    title = "系统内部错误，已记录"
    status = 500


METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_HTTP_REFUSALS: dict[int, type[Refusal]] = {404: RouteUnknown, 405: MethodNotAllowed}
# No connection, lock or statement out of time, server going down or full: later, the same key.
_BUSY_STATES = ("", "55P03", "57014", "57P01", "57P02", "57P03", "53300", "25P03", "40P01")
_SQL_REFUSALS: dict[str, type[Refusal]] = {state: Busy for state in _BUSY_STATES}
_SQL_REFUSALS["53100"] = StorageFull


def problem_response(refusal: Refusal, trace_id: str) -> Response:
    headers = {}
    if refusal.retry_after_s or isinstance(refusal, Busy):
        headers["Retry-After"] = str(refusal.retry_after_s or 1)
    if isinstance(refusal, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return Response(
        canonical(problem(refusal, trace_id)),
        refusal.status,
        headers,
        media_type=PROBLEM_TYPE,
    )


def _refusal_of(error: Exception) -> Refusal:
    match error:
        case Refusal():
            return error
        case RequestValidationError():
            return faults(ValidationError.from_exception_data("request", _details(error)))
        case HTTPException():
            return _HTTP_REFUSALS.get(error.status_code, Unreadable)()
        case PoolTimeout():
            return Busy()
        case DataError():
            # The driver refuses some values itself, without a state: no reason to try again.
            return Unexpected()
        case DBAPIError():
            return _SQL_REFUSALS.get(sqlstate(error), Unexpected)()
        case _:
            return Unexpected()


def _details(error: RequestValidationError) -> list[Any]:
    kept = []
    for fault in error.errors():
        place = fault["loc"][1:] if fault["loc"][:1] == ("body",) else fault["loc"]
        kind = fault["type"] if fault["type"] in {"missing", "extra_forbidden"} else "value_error"
        said = fault.get("ctx", {}).get("error")
        reason = said if isinstance(said, ValueError) else ValueError(_plain(fault["type"]))
        detail: dict[str, Any] = {"type": kind, "loc": place, "input": None}
        kept.append(detail | ({"ctx": {"error": reason}} if kind == "value_error" else {}))
    return kept


def _plain(kind: str) -> str:
    return "不是允许的取值" if kind == "literal_error" else "类型或格式不符"


class Observed:
    """Gives each request its trace id, its log line and metric, and every error its document."""

    def __init__(self, app: ASGIApp, quiet_routes: frozenset[str] = frozenset()) -> None:
        self.app = app
        self.quiet_routes = quiet_routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = _TRACE.fullmatch(headers.get(b"traceparent", b"").decode("latin-1"))
        trace_id = given[1] if given else secrets.token_hex(16)
        scope.setdefault("state", {})["trace_id"] = trace_id
        status = 0
        began = time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", trace_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(trace_id=trace_id):
            try:
                await self.app(scope, receive, watched)
            except Exception as error:  # the last door: nothing passes it unanswered
                if status:
                    raise
                await _answer_error(error, trace_id)(scope, receive, watched)
            self._note(scope, status, time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, duration_s: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        # A bid's route shows in no metric and no log: their number is nobody's before opening.
        if route in self.quiet_routes or scope["state"].get("is_quiet"):
            return
        # Whoever invents methods makes no series of them.
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        DURATION.labels(method, route, f"{status // 100}xx").observe(duration_s)
        said: dict[str, Any] = {"duration_s": round(duration_s, 4)}
        caller = scope["state"].get("caller")
        if status == 403 and caller is not None:
            # Who tried what they may not.
            said["principal"] = caller.sub
        log.info("request", method=method, route=route, status=status, **said)


def _answer_error(error: Exception, trace_id: str) -> Response:
    refusal = _refusal_of(error)
    if isinstance(refusal, Unexpected):
        UNEXPECTED.inc()
        log.error("unexpected_error", exc_info=error)
    answer = problem_response(refusal, trace_id)
    if isinstance(error, HTTPException):
        answer.headers.update(error.headers or {})  # Allow, of a method that is not
    return answer


async def _handle(request: Request, error: Exception) -> Response:
    answer = _answer_error(error, request.state.trace_id)
    if answer.status_code == MethodNotAllowed.status:
        # Whoever forwards knows the methods of an address better than its one route does.
        known = error.allowed if isinstance(error, MethodNotAllowed) else _methods(request)
        answer.headers["Allow"] = ", ".join(known)
    return answer


def _methods(request: Request) -> list[str]:
    """Every method of the address, whichever route has it."""
    scopes = {method: {**request.scope, "method": method} for method in METHODS}
    return [
        method
        for method, scope in scopes.items()
        if any(route.matches(scope)[0] == Match.FULL for route in request.app.routes)
    ]


class _Application(FastAPI):
    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = complete(super().openapi())
        return self.openapi_schema


def create_app(
    house: Database, verifier: Verifier, title: str, routers: list[APIRouter], **options: Any
) -> FastAPI:
    """An application of these routers, guarded and observed.

    It answers under any name until `app.state.allowed_hosts` says which, and anyone as often as
    they ask until `app.state.rates` says how often.
    """
    app = _Application(
        title=title,
        version="0.1.0",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        # What it would tell of a request that does not fit is what stood in it.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        **options,
    )
    app.state.house = house
    app.state.verifier = verifier
    app.state.meetings = {}
    app.state.allowed_hosts = frozenset()
    app.state.rates = None
    # Flat, for an included router is looked through twice; sought from the top, the hot ones first.
    routes = [route for router in routers for route in router.routes]
    app.router.routes.extend(sorted(routes, key=lambda one: not isinstance(one, HotRoute)))
    named = [route for route in routes if isinstance(route, APIRoute)]
    for route in named:
        route.operation_id = route.name
    quiet = frozenset(route.path for route in named if "quiet" in route.tags)
    app.state.uploads = frozenset(route.path for route in named if "upload" in route.tags)
    for kind in (Refusal, RequestValidationError, HTTPException, DBAPIError, PoolTimeout):
        app.add_exception_handler(kind, _handle)
    app.add_middleware(Guard)
    app.add_middleware(Observed, quiet_routes=quiet)
    return app
