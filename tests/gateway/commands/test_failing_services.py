"""What the gateway answers for a service that fails, hangs or is left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from builders import Trust, a_client
from gateway.commands.routes import Upstream, routes
from gateway.commands.rules import CALLS_MIN
from gateway_owner import AT, Owner
from marketkit.db import Database
from marketkit.web import create_app


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
