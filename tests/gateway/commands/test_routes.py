import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Request, Response
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from builders import Trust, a_client, a_key
from gateway.commands.routes import Upstream, routes, title_of
from gateway.commands.rules import CALLS_MIN
from gateway.settings import UpstreamSettings
from marketkit.db import Database, Session, new_id
from marketkit.doors import CommandDep, open_to
from marketkit.errors import Conflict
from marketkit.inner import add_documents
from marketkit.units import Form
from marketkit.web import create_app

AT = UpstreamSettings(
    api="http://api.test", inner="http://inner.test", source="/370500/energy-trade"
)
Answer = Callable[[httpx.Request], Awaitable[httpx.Response]]


class ThingIn(Form):
    number: int


class ThingOut(Form):
    thing_id: str
    number: int


class ThingTaken(Conflict):
    title = "示例物品已被占用"


class Echo(Form):
    target: str
    headers: dict[str, list[str]]


class Owner:
    """A service behind the gateway, in this process; `fault` is what the line to it does."""

    def __init__(self, house: Database, trust: Trust) -> None:
        router = APIRouter()
        _add_things(router)
        _add_bids(router)
        _add_files(router)
        self.app = create_app(house, trust.verifier, "owner", [router])
        add_documents(self.app, self.app)
        self.calls: list[str] = []
        self.fault: type[Exception] | None = None
        self._line = httpx.ASGITransport(self.app, raise_app_exceptions=False)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request.url.path)
        if self.fault is not None:
            raise self.fault("planted")
        # Both sides have their own streams: what the one read the other may read again.
        copy = httpx.Request(
            request.method, request.url, headers=request.headers, content=await request.aread()
        )
        answer = await self._line.handle_async_request(copy)
        return httpx.Response(
            answer.status_code, headers=answer.headers, content=await answer.aread()
        )


def _add_things(router: APIRouter) -> None:
    @router.post("/v1/things", status_code=201, response_model=ThingOut, **open_to("enterprise"))
    async def make_thing(form: ThingIn, command: CommandDep) -> Response:
        async def make(session: Session) -> ThingOut:
            if form.number < 0:
                raise ThingTaken()
            return ThingOut(thing_id=new_id(), number=form.number)

        return await command.run(make, status=201, location="/v1/things/{thing_id}")

    @router.get("/v1/things/{thing_id}", **open_to("anyone"))
    async def show_thing(thing_id: str, request: Request) -> Echo:
        said = request.headers
        target = request.scope["raw_path"].decode() + "?" + request.scope["query_string"].decode()
        return Echo(target=target, headers={name: said.getlist(name) for name in said})

    @router.get("/v1/secrets", **open_to("anyone", is_public=False))
    async def show_secret() -> str:
        return "secret"


def _add_bids(router: APIRouter) -> None:
    @router.post("/v1/sales/{sale_id}/sealed-bids", tags=["quiet"], **open_to("anyone"))
    async def place_sealed_bid(sale_id: str) -> str:
        return "taken"

    @router.post("/v1/trials/{name}", **open_to("anyone"))
    async def try_rule(name: str) -> str:
        return name


def _add_files(router: APIRouter) -> None:
    @router.post("/v1/bank-files", tags=["quiet", "upload"], **open_to("trading_center"))
    async def take_file(request: Request, response: Response) -> dict[str, Any]:
        response.headers["Content-Disposition"] = 'inline; filename="1.pdf"'
        return {"size": len(await request.body()), "type": request.headers["content-type"]}


@pytest.fixture
def trust() -> Trust:
    return Trust()


@pytest.fixture
def owner(kit_house: Database, trust: Trust) -> Owner:
    return Owner(kit_house, trust)


@pytest.fixture
async def upstream(owner: Owner) -> AsyncIterator[Upstream]:
    found = Upstream("energy", AT, httpx.MockTransport(owner.answer))
    yield found
    await found.close()


@pytest.fixture
async def gateway(
    gateway_house: Database, trust: Trust, upstream: Upstream
) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(gateway_house, trust.verifier, "gateway", [routes([upstream])])
    async with a_client(app) as client:
        yield client


@pytest.fixture
def enterprise(trust: Trust) -> dict[str, str]:
    return {"Authorization": f"Bearer {trust.token('enterprise', uscc='91370500MA3TEQT19H')}"}


async def test_a_command_goes_to_its_owner_and_its_answer_comes_back(
    gateway: httpx.AsyncClient, enterprise: dict[str, str]
) -> None:
    answer = await gateway.post(
        "/v1/energy/things", json={"number": 7}, headers=enterprise | a_key()
    )
    assert answer.status_code == 201
    thing = answer.json()
    assert thing["number"] == 7
    assert answer.headers["location"] == f"/v1/energy/things/{thing['thing_id']}"
    assert answer.headers["content-type"] == "application/json"


async def test_the_same_again_has_the_same_answer_byte_for_byte(
    gateway: httpx.AsyncClient, enterprise: dict[str, str]
) -> None:
    said = enterprise | a_key()
    sent = [gateway.post("/v1/energy/things", json={"number": 7}, headers=said) for _ in range(3)]
    first, *others = [await one for one in sent]
    assert first.status_code == 201
    for other in others:
        assert (other.status_code, other.content) == (201, first.content)
        assert other.headers["location"] == first.headers["location"]


@pytest.mark.parametrize(
    ("body", "key", "status", "code"),
    [
        (b'{"number": -1}', "k1", 409, "THING_TAKEN"),
        (b'{"number": "7"}', "k2", 422, "INPUT_INVALID"),
        (b'{"number": 7}', None, 400, "IDEMPOTENCY_KEY_MISSING"),
    ],
)
async def test_a_refusal_comes_back_as_it_is(
    gateway: httpx.AsyncClient,
    enterprise: dict[str, str],
    body: bytes,
    key: str | None,
    status: int,
    code: str,
) -> None:
    said = enterprise | {"Content-Type": "application/json"}
    said |= {"Idempotency-Key": key} if key else {}
    answer = await gateway.post("/v1/energy/things", content=body, headers=said)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_token_is_asked_for_at_the_door(gateway: httpx.AsyncClient, owner: Owner) -> None:
    answer = await gateway.post("/v1/energy/things", json={"number": 7}, headers=a_key())
    assert answer.status_code == 401
    assert "/v1/things" not in owner.calls


async def test_only_named_headers_go_on(gateway: httpx.AsyncClient) -> None:
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    said = {
        "X-User-ID": "mallory",
        "X-Forwarded-For": "10.0.0.1",
        "Cookie": "a=b",
        "traceparent": trace,
        "Accept": "application/json",
    }
    seen = (await gateway.get("/v1/energy/things/x", headers=said)).json()["headers"]
    assert not {"x-user-id", "x-forwarded-for", "cookie"} & set(seen)
    assert seen["accept"] == ["application/json"]
    assert seen["traceparent"][0].startswith("00-" + "a" * 32)
    assert seen["host"] == ["api.test"]


async def test_the_address_goes_on_as_it_was_written(gateway: httpx.AsyncClient) -> None:
    answer = await gateway.get("/v1/energy/things/%E7%A4%BA%20x?filter[a]=%2F&b=%E4%BE%8B")
    assert answer.json()["target"] == "/v1/things/%E7%A4%BA%20x?filter[a]=%2F&b=%E4%BE%8B"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/energy/secrets"),
        ("GET", "/v1/energy/none"),
        ("DELETE", "/v1/energy/secrets"),
        ("GET", "/v1/energy/../secrets"),
        ("GET", "/v1/energy/things/%2e%2e/secrets"),
        ("GET", "/v1/energy/openapi.json"),
        ("GET", "/v1/energy//v1/secrets"),
        ("GET", "/v1/land/things/x"),
    ],
)
async def test_what_is_not_public_is_nowhere(
    gateway: httpx.AsyncClient, owner: Owner, method: str, path: str
) -> None:
    answer = await gateway.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (404, "ROUTE_UNKNOWN")
    assert set(owner.calls) <= {"/openapi.json"}


@pytest.mark.parametrize("method", ["DELETE", "PUT", "OPTIONS", "HEAD", "TRACE"])
async def test_a_method_the_service_does_not_offer_is_refused_by_name(
    gateway: httpx.AsyncClient, owner: Owner, method: str
) -> None:
    answer = await gateway.request(method, "/v1/energy/things/x")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
    assert set(owner.calls) <= {"/openapi.json"}


@pytest.mark.parametrize("name", ["energy.shutdown_split", "sale.clearing", "party.uscc"])
async def test_a_trial_goes_where_its_name_says(gateway: httpx.AsyncClient, name: str) -> None:
    assert (await gateway.post(f"/v1/trials/{name}")).json() == name


@pytest.mark.parametrize("name", ["emission.fee", "nobody.knows", "energy"])
async def test_a_trial_that_nobody_has_is_unknown(gateway: httpx.AsyncClient, name: str) -> None:
    answer = await gateway.post(f"/v1/trials/{name}")
    assert answer.status_code == (200 if name == "energy" else 404)


async def test_what_a_service_offers_is_asked_once(
    gateway: httpx.AsyncClient, owner: Owner
) -> None:
    for _ in range(5):
        assert (await gateway.get("/v1/energy/things/x")).status_code == 200
        assert (await gateway.get("/v1/energy/none")).status_code == 404
    assert owner.calls.count("/openapi.json") == 1


@pytest.mark.parametrize(
    "fault", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError, AttributeError]
)
async def test_a_service_that_fails_is_answered_for(
    gateway: httpx.AsyncClient, owner: Owner, fault: type[Exception]
) -> None:
    assert (await gateway.get("/v1/energy/things/x")).status_code == 200
    owner.fault = fault
    answer = await gateway.get("/v1/energy/things/x")
    assert (answer.status_code, answer.json()["code"]) == (503, "UPSTREAM_DOWN")
    assert 1 <= int(answer.headers["retry-after"]) <= 3


async def test_a_service_never_heard_of_yet_is_answered_for(
    gateway: httpx.AsyncClient, owner: Owner
) -> None:
    owner.fault = httpx.ConnectError
    answer = await gateway.get("/v1/energy/things/x")
    assert (answer.status_code, answer.json()["code"]) == (503, "UPSTREAM_DOWN")
    owner.fault = None


async def test_a_service_that_keeps_failing_is_left_alone(
    gateway: httpx.AsyncClient, owner: Owner
) -> None:
    assert (await gateway.get("/v1/energy/things/x")).status_code == 200
    owner.fault = httpx.ConnectError
    for _ in range(CALLS_MIN):
        assert (await gateway.get("/v1/energy/things/x")).status_code == 503
    called = len(owner.calls)
    owner.fault = None
    answer = await gateway.get("/v1/energy/things/x")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) == 2
    assert len(owner.calls) == called
    await asyncio.sleep(2.6)
    assert (await gateway.get("/v1/energy/things/x")).status_code == 200
    assert (await gateway.get("/v1/energy/things/x")).status_code == 200


@asynccontextmanager
async def mute() -> AsyncIterator[str]:
    """An address that takes what is sent and never answers."""
    lines: list[asyncio.StreamWriter] = []

    async def hear(_: asyncio.StreamReader, line: asyncio.StreamWriter) -> None:
        lines.append(line)

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        for line in lines:
            line.close()
        server.close()
        await server.wait_closed()


async def test_a_service_that_hangs_is_waited_for_three_seconds(
    gateway_house: Database, trust: Trust, owner: Owner
) -> None:
    async def describe(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/openapi.json":
            return await owner.answer(request)
        return await line.handle_async_request(request)

    line = httpx.AsyncHTTPTransport(trust_env=False)
    async with mute() as address:
        at = AT.model_copy(update={"api": address})
        upstream = Upstream("energy", at, httpx.MockTransport(describe))
        app = create_app(gateway_house, trust.verifier, "gateway", [routes([upstream])])
        async with a_client(app) as client:
            began = asyncio.get_running_loop().time()
            answer = await client.get("/v1/energy/things/x")
            took_s = asyncio.get_running_loop().time() - began
        await upstream.close()
    await line.aclose()
    assert (answer.status_code, answer.json()["code"]) == (503, "UPSTREAM_DOWN")
    assert 2.9 < took_s < 9.0


async def test_a_call_goes_on_when_its_caller_has_left(
    gateway: httpx.AsyncClient, owner: Owner, upstream: Upstream
) -> None:
    assert (await gateway.get("/v1/energy/things/x")).status_code == 200
    reached, finished = asyncio.Event(), asyncio.Event()
    ended: list[str] = []

    async def slowly(request: httpx.Request) -> httpx.Response:
        reached.set()
        try:
            await finished.wait()
            ended.append("by itself")
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return httpx.Response(200)

    upstream._client = httpx.AsyncClient(transport=httpx.MockTransport(slowly))
    asking = asyncio.create_task(gateway.get("/v1/energy/things/x"))
    await reached.wait()
    asking.cancel()
    await asyncio.wait({asking})
    finished.set()
    await upstream.close()
    assert ended == ["by itself"]


async def test_a_bid_leaves_no_trace_in_metrics_and_logs(
    gateway: httpx.AsyncClient, owner: Owner
) -> None:
    path = "/v1/energy/sales/01CANARY/sealed-bids"
    assert (await gateway.post(path)).json() == "taken"
    before = generate_latest()
    with capture_logs() as logs:
        for _ in range(3):
            assert (await gateway.post(path)).status_code == 200
        owner.fault = httpx.ConnectError
        assert (await gateway.post(path)).status_code == 503
    assert logs == []
    assert _counts(generate_latest()) == _counts(before)
    owner.fault = None
    with capture_logs() as logs:
        assert (await gateway.get("/v1/energy/things/x")).status_code == 200
    assert [line["event"] for line in logs].count("request") >= 1
    assert _counts(generate_latest()) != _counts(before)


def _counts(metrics: bytes) -> list[bytes]:
    return [line for line in metrics.splitlines() if line.startswith(b"yaosu_http_")]


async def test_a_code_is_explained_by_whoever_gives_it(upstream: Upstream) -> None:
    assert await title_of([upstream], "THING_TAKEN") == "示例物品已被占用"
    assert await title_of([upstream], "ROUTE_UNKNOWN") == "没有这个地址"
    assert await title_of([upstream], "NO_SUCH_CODE") is None
    assert await title_of([], "NO_SUCH_CODE") is None


async def test_a_file_goes_to_its_owner_as_it_is(gateway: httpx.AsyncClient, trust: Trust) -> None:
    body = b"\xef\xbb\xbf" + b"x" * 1_000_000
    headers = {"Authorization": f"Bearer {trust.token()}", "Content-Type": "text/csv"}
    answer = await gateway.post("/v1/energy/bank-files", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"size": len(body), "type": "text/csv"}
    assert answer.headers["content-disposition"] == 'inline; filename="1.pdf"'
    elsewhere = await gateway.post("/v1/energy/things", content=body, headers=headers)
    assert elsewhere.status_code == 413
    unknown = headers | {"Authorization": "Bearer forged"}
    nobody = await gateway.post("/v1/energy/bank-files", content=body, headers=unknown)
    assert nobody.status_code == 401
