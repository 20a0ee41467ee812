"""Forwards commands and questions to the service that owns them; it decides nothing itself.

A bid's route shows in no metric and no log of the gateway either.
"""

import asyncio
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import httpx
from fastapi import APIRouter, Request, Response
from prometheus_client import Gauge

from gateway.commands.rules import (
    METHODS,
    TRIAL_MARKETS,
    UPLOADS,
    Breaker,
    Operation,
    allowed,
    find,
    operations_of,
)
from gateway.settings import UpstreamSettings
from marketkit.doors import caller_of, open_to
from marketkit.errors import Busy, titles
from marketkit.feed import UNANSWERED
from marketkit.logs import log
from marketkit.trial import TrialUnknown
from marketkit.web import MethodNotAllowed, RouteUnknown

T = TypeVar("T")

SPARED = Gauge("yaosu_gateway_upstream_spared", "1 while calls to it are refused", ["market"])

CALLS_MAX = 64
WAITING_MAX = 2 * CALLS_MAX
POOL_TIMEOUTS_MAX = 3
CALL_S = 3.0
ANSWER_S_MAX = 3.5
DESCRIBE_EVERY_S = 3.0
DESCRIPTION_FRESH_S = 60.0

# What goes on and what comes back; anything else, `X-User-Id` and its like, stays behind.
_ASKED = (b"authorization", b"idempotency-key", b"content-type", b"if-match", b"accept")
_ANSWERED = (
    "content-type",
    "content-disposition",
    "retry-after",
    "www-authenticate",
    "etag",
    "cache-control",
)


class UpstreamDown(Busy):
    title = "业务系统暂不可用，请稍后用同一幂等键重试"


class Upstream:
    """One service behind the gateway. Calls to it are bounded in number and time, never cancelled.

    A cancelled call would keep its place in the pool for good (httpcore#1093); so who gives up
    waiting leaves the call to end by its own timeouts.
    """

    def __init__(
        self,
        market: str,
        at: UpstreamSettings,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.market = market
        self._at = at
        self._transport = transport
        self._client = self._new_client()
        self._places = asyncio.Semaphore(CALLS_MAX)
        self._breaker = Breaker()
        self._running: set[asyncio.Task[Any]] = set()
        self._pool_timeout_count = 0
        self._operations: tuple[Operation, ...] | None = None
        self._titles: Mapping[str, str] = {}
        self._description: asyncio.Task[None] | None = None
        self._described_s = 0.0

    def _new_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            timeout=httpx.Timeout(CALL_S, connect=1.0, pool=1.0),
            limits=httpx.Limits(
                max_connections=CALLS_MAX + 16, max_keepalive_connections=CALLS_MAX
            ),
            headers={"Accept-Encoding": "identity", "User-Agent": "yaosu-gateway"},
            transport=self._transport,
            trust_env=False,
        )

    async def close(self) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=CALL_S)
        await self._client.aclose()

    async def operation(self, method: str, path: str) -> Operation | None:
        """What the service offers there; it is asked afresh when it is not known to.

        Raises:
            UpstreamDown: the service has not yet said what it offers.
        """
        found = find(self._operations or (), method, path)
        if found is None:
            await asyncio.shield(self._describe(DESCRIBE_EVERY_S))
            if self._operations is None:
                raise UpstreamDown()
            return find(self._operations, method, path)
        self._describe(DESCRIPTION_FRESH_S)
        return found

    async def title(self, code: str) -> str | None:
        """The Chinese title of a refusal of this service; None if it knows none of this code."""
        if code not in self._titles:
            await asyncio.shield(self._describe(DESCRIBE_EVERY_S))
        return self._titles.get(code)

    def allowed(self, path: str) -> list[str]:
        """The methods the service offers people at this path, as far as it is described."""
        return allowed(self._operations or (), path)

    def _describe(self, every_s: float) -> "asyncio.Task[None]":
        now_s = asyncio.get_running_loop().time()
        task = self._description
        if task is None or (task.done() and now_s >= self._described_s + every_s):
            self._described_s = now_s
            task = self._description = self._begin(self._ask_description())
        return task

    async def _ask_description(self) -> None:
        try:
            answer = await self._client.get(f"{self._at.inner}/openapi.json")
            answer.raise_for_status()
            description = answer.json()
            self._operations = operations_of(description)
            self._titles = description.get("x-refusals", {})
        except (*UNANSWERED, ValueError, LookupError) as error:
            log.warning("upstream_not_described", market=self.market, reason=type(error).__name__)

    def _begin(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def send(
        self, method: str, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> httpx.Response:
        """The service's answer, whatever its status.

        Raises:
            Busy: too many wait already.
            UpstreamDown: it is spared, or gives no answer in time; whether it acted is unknown.
        """
        now_s = asyncio.get_running_loop().time()
        if len(self._running) >= CALLS_MAX + WAITING_MAX:
            raise Busy()
        if not self._breaker.admits(now_s, _rest_s()):
            raise UpstreamDown(retry_after_s=2)
        url = httpx.URL(self._at.api).copy_with(raw_path=target)
        request = self._client.build_request(method, url, headers=headers, content=body)
        task = self._begin(self._call(request, now_s + ANSWER_S_MAX))
        await asyncio.wait({task}, timeout=ANSWER_S_MAX)
        answer: httpx.Response | None = task.result() if task.done() else None
        if answer is None:
            raise UpstreamDown()
        return answer

    async def _call(self, request: httpx.Request, until_s: float) -> httpx.Response | None:
        loop = asyncio.get_running_loop()
        async with self._places:
            if loop.time() >= until_s:
                return None
            answer = None
            try:
                answer = await self._client.send(request)
                self._pool_timeout_count = 0
            except httpx.PoolTimeout:
                self._note_pool_timeout()
            except UNANSWERED:
                pass  # not logged: a bid may be among the calls that fail
            self._note_end(loop.time(), has_failed=answer is None)
            return answer

    def _note_end(self, now_s: float, *, has_failed: bool) -> None:
        was_open = self._breaker.is_open
        self._breaker.note(now_s, has_failed=has_failed, rest_s=_rest_s())
        if self._breaker.is_open != was_open:
            log.warning("upstream_spared", market=self.market, is_spared=not was_open)
            SPARED.labels(self.market).set(not was_open)

    def _note_pool_timeout(self) -> None:
        self._pool_timeout_count += 1
        if self._pool_timeout_count >= POOL_TIMEOUTS_MAX:
            log.error("upstream_client_replaced", market=self.market)
            self._begin(self._client.aclose())
            self._client = self._new_client()
            self._pool_timeout_count = 0


def _rest_s() -> float:
    # Spread, so that gateways do not probe together.
    return 1.5 + secrets.randbelow(1000) / 1000


def upstreams(settings: Mapping[str, UpstreamSettings]) -> list[Upstream]:
    return [Upstream(market, at) for market, at in settings.items()]


def routes(upstreams: Sequence[Upstream]) -> APIRouter:
    """`/v1/<market>/…` and `/v1/trials/<name>`, as far as the services call them public."""
    router = APIRouter(tags=["commands"], include_in_schema=False)
    # Those nobody offers too: it is the service's address that does not support them.
    methods = [*(method.upper() for method in METHODS), "HEAD", "OPTIONS", "TRACE"]
    by_market = {upstream.market: upstream for upstream in upstreams}
    for upstream in upstreams:
        for place in UPLOADS:
            router.add_api_route(
                f"/v1/{upstream.market}/{place}",
                _forwarder(upstream),
                methods=methods,
                name=f"upload_{upstream.market}_{place}",
                tags=["upload"],
                **open_to("anyone"),
            )
        router.add_api_route(
            f"/v1/{upstream.market}/{{path:path}}",
            _forwarder(upstream),
            methods=methods,
            name=f"forward_{upstream.market}",
            **open_to("anyone"),
        )

    @router.post("/v1/trials/{name}", **open_to("anyone"))
    async def try_rule(request: Request, name: str) -> Response:
        upstream = by_market.get(TRIAL_MARKETS.get(name.partition(".")[0], ""))
        if upstream is None:
            raise TrialUnknown()
        return await _forward(request, upstream, "")

    return router


def asked_for_pages(upstreams: Sequence[Upstream]) -> tuple[Any, Any]:
    """`title_of` and `proof_of`, as pages ask them."""
    return partial(title_of, upstreams), partial(proof_of, upstreams)


async def title_of(upstreams: Sequence[Upstream], code: str) -> str | None:
    """The Chinese title of a refusal, the gateway's own or any service's; None if unknown."""
    if code in titles():
        return titles()[code]
    told = await asyncio.gather(*(upstream.title(code) for upstream in upstreams))
    return next((title for title in told if title is not None), None)


async def proof_of(
    upstreams: Sequence[Upstream], sale_id: str, kind: str, paper_id: str, sm3: str
) -> dict[str, Any] | None:
    """What the service that issued a paper says of it; None if none issued it with this digest.

    Raises:
        UpstreamDown: a service that may have issued it gives no answer.
    """
    path = f"/v1/sales/{sale_id}/papers/{kind}/{paper_id}/proof"
    told = await asyncio.gather(
        *(_proof_from(upstream, path, sm3) for upstream in upstreams), return_exceptions=True
    )
    for said in told:
        if isinstance(said, dict):
            return said
    for said in told:
        if isinstance(said, BaseException):
            raise said
    return None


async def _proof_from(upstream: Upstream, path: str, sm3: str) -> dict[str, Any] | None:
    offered = await upstream.operation("GET", path)
    if offered is None or not offered.is_public:
        return None
    answer = await upstream.send("GET", f"{path}?sm3={sm3}".encode(), [], b"")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    if answer.status_code != httpx.codes.OK:
        raise UpstreamDown()
    proven: dict[str, Any] = answer.json()
    return proven


def _forwarder(upstream: Upstream) -> Any:
    async def forward(request: Request) -> Response:
        return await _forward(request, upstream, f"/{upstream.market}")

    return forward


async def _forward(request: Request, upstream: Upstream, inset: str) -> Response:
    scope = request.scope
    # Until it is known to be no bid's route, nothing counts it.
    request.state.is_quiet = True
    path = scope["path"].replace(f"/v1{inset}/", "/v1/", 1)
    target = scope["raw_path"].replace(f"/v1{inset}/".encode(), b"/v1/", 1)
    operation = await upstream.operation(request.method, path)
    if operation is None and _is_plain(target) and (others := upstream.allowed(path)):
        raise MethodNotAllowed(others)
    request.state.is_quiet = operation is not None and operation.is_quiet
    if operation is None or not operation.is_public or not _is_plain(target):
        raise RouteUnknown()
    if operation.needs_token:
        caller_of(request)
    query = scope["query_string"]
    answer = await upstream.send(
        request.method,
        target + b"?" + query if query else target,
        _headers(request),
        await request.body() if request.method != "GET" else b"",
    )
    return _response(answer, inset)


def _is_plain(target: bytes) -> bool:
    return all(0x20 < byte < 0x7F for byte in target)


def _headers(request: Request) -> list[tuple[bytes, bytes]]:
    trace = f"00-{request.state.trace_id}-{secrets.token_hex(8)}-01"
    passed = [(name, value) for name, value in request.headers.raw if name in _ASKED]
    return [*passed, (b"traceparent", trace.encode())]


def _response(answer: httpx.Response, inset: str) -> Response:
    headers = {name: answer.headers[name] for name in _ANSWERED if name in answer.headers}
    if "location" in answer.headers:
        headers["location"] = answer.headers["location"].replace("/v1/", f"/v1{inset}/", 1)
    return Response(answer.content, answer.status_code, headers)
