"""Rows 88, 89, 91 and 92: too much, too short, too curious, and what nobody foresaw."""

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from builders import Trust, a_client, a_uscc
from databases import ENERGY, GATEWAY, PACKAGES, fresh, rows, until_idle
from hostile.house import World, service
from hostile.test_sockets import Server
from marketkit.db import Database, new_id
from marketkit.doors import CommandDep, open_to
from marketkit.program import listening
from marketkit.rates import BURST_S
from marketkit.web import DURATION, UNEXPECTED, create_app
from toy_market import CLOSES

FLOOD = 300
# So low that a machine with other work to do is fast enough to break it.
PER_S = 1
OTHERS = 20


@dataclass
class Site:
    """energy-trade on a port of loopback, as its program starts it, with a sale just open."""

    world: World
    trust: Trust
    app: FastAPI
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def bids(self) -> str:
        return f"/v1/sales/{self.world.room.sale_id}/sealed-bids"

    def bidder(self, number: int = 1) -> dict[str, str]:
        token = self.trust.token(
            "enterprise", sub=f"person-of-{number}", region_code="", uscc=a_uscc(number)
        )
        return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def listening_on(app: FastAPI) -> AsyncIterator[int]:
    server = Server(listening(app, "127.0.0.1", 0))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server.port
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
async def site(energy_house: Database, tmp_path: Path) -> AsyncIterator[Site]:
    trust = Trust()
    app, _ = service("energy_trade", energy_house, trust, tmp_path, requests_per_s=PER_S)
    world = await World.of(energy_house)
    async with listening_on(app) as port:
        yield Site(world, trust, app, port)


def counted() -> dict[str, float]:
    """How often each route was answered, by its metric."""
    return {
        f"{one.labels['route']} {one.labels['status_class']}": one.value
        for metric in DURATION.collect()
        for one in metric.samples
        if one.name.endswith("_count")
    }


async def flood(site: Site, client: httpx.AsyncClient) -> list[httpx.Response]:
    """Questions of one bidder as fast as they go, with more tokens than one."""
    tokens = [site.bidder() for _ in range(4)]
    gate = asyncio.Semaphore(32)

    async def one(number: int) -> httpx.Response:
        async with gate:
            return await client.get(site.bids, headers=tokens[number % 4])

    return await asyncio.gather(*(one(number) for number in range(FLOOD)))


async def others(site: Site, client: httpx.AsyncClient) -> list[tuple[int, float]]:
    """What other bidders are answered meanwhile, and how long each waited."""
    found = []
    for number in range(OTHERS):
        began = time.perf_counter()
        answer = await client.get(site.bids, headers=site.bidder(2 + number))
        found.append((answer.status_code, time.perf_counter() - began))
        await asyncio.sleep(0.02)
    return found


async def test_88_one_bidder_in_haste_is_put_off_and_nobody_else(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    limits = httpx.Limits(max_connections=64)
    before = counted()
    async with httpx.AsyncClient(base_url=site.url, limits=limits, trust_env=False) as client:
        began = time.monotonic()
        flooded, served = await asyncio.gather(flood(site, client), others(site, client))
        spent_s = time.monotonic() - began
    statuses = Counter(answer.status_code for answer in flooded)
    # Nobody is let in more often than was agreed; and nobody less.
    assert statuses.keys() == {200, 429}
    assert PER_S * BURST_S <= statuses[200] <= PER_S * (BURST_S + spent_s) + 1
    refused = next(answer for answer in flooded if answer.status_code == 429)
    assert refused.json()["code"] == "TOO_MANY_REQUESTS"
    assert refused.headers["content-type"] == "application/problem+json"
    assert all(
        int(answer.headers["retry-after"]) >= 1 for answer in flooded if answer.status_code == 429
    )
    # The others are all served.
    assert [status for status, _ in served] == [200] * OTHERS
    # And nothing tells that somebody asked after bids, or how often.
    assert counted() == before
    assert "sealed-bids" not in caplog.text


async def test_88_a_bid_refused_for_haste_may_be_sent_again_with_its_key(site: Site) -> None:
    key = {"Idempotency-Key": new_id()}
    async with httpx.AsyncClient(base_url=site.url, trust_env=False) as client:
        await flood(site, client)
        # While more of it comes: what falls free meanwhile is not the bid's.
        _, answer = await asyncio.gather(
            flood(site, client),
            client.post(site.bids, json=site.world.sealed, headers=site.bidder() | key),
        )
        assert answer.status_code == 429
        assert await rows(site.world.house, "SELECT id FROM sealed_bid") == []
        await asyncio.sleep(int(answer.headers["retry-after"]))
        again = await client.post(site.bids, json=site.world.sealed, headers=site.bidder() | key)
    assert again.status_code == 201, again.text


async def test_88_idle_connections_stand_in_nobody_s_way(site: Site) -> None:
    lines = [await asyncio.open_connection("127.0.0.1", site.port) for _ in range(300)]
    async with httpx.AsyncClient(base_url=site.url, trust_env=False) as client:
        for number in range(OTHERS):
            answer = await client.get(site.bids, headers=site.bidder(number))
            assert answer.status_code == 200, answer.text
    # And each is hung up on in time, with an answer.
    heads = await asyncio.wait_for(asyncio.gather(*(reader.read(12) for reader, _ in lines)), 10)
    assert {head for head in heads} == {b"HTTP/1.1 408"}
    for _, writer in lines:
        writer.close()


def said(site: Site, key: str) -> bytes:
    """A bid as it goes over the line."""
    body = json.dumps(site.world.sealed).encode()
    head = (
        f"POST {site.bids} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: {key}\r\nAuthorization: {site.bidder()['Authorization']}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def test_70_an_upload_across_the_close_is_late(site: Site) -> None:
    """Begun in time, whole too late: the instant is that under the sale's lock."""
    whole = said(site, "late")
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(whole[:-10])
    await writer.drain()
    await asyncio.sleep(0.1)
    site.world.house.fixed_instant = CLOSES
    writer.write(whole[-10:])
    answer = await asyncio.wait_for(reader.readuntil(b"}"), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 409"), answer
    assert b"BIDDING_CLOSED" in answer


@pytest.mark.parametrize("delay_s", [0.0, 0.002, 0.01, 0.05])
async def test_89_a_line_cut_after_sending_has_its_effect_once(site: Site, delay_s: float) -> None:
    """Whether it was cut before, in or after the answer: sent again it has one effect."""
    _, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(said(site, "cut"))
    await writer.drain()
    await asyncio.sleep(delay_s)
    writer.transport.abort()
    async with httpx.AsyncClient(base_url=site.url, trust_env=False) as client:
        for _ in range(100):
            again = await client.post(
                site.bids,
                json=site.world.sealed,
                headers=site.bidder() | {"Idempotency-Key": "cut"},
            )
            if again.status_code not in {409, 429, 503}:
                break
            await asyncio.sleep(0.05)
    assert again.status_code == 201, again.text
    assert len(await rows(site.world.house, "SELECT id FROM sealed_bid")) == 1
    await until_idle(site.world.house)


async def test_89_half_a_request_has_none(site: Site) -> None:
    whole = said(site, "half")
    for part in (whole[:40], whole[:-1], whole[: len(whole) // 2]):
        _, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(part)
        await writer.drain()
        writer.transport.abort()
    await asyncio.sleep(0.2)
    assert await rows(site.world.house, "SELECT key FROM stored_answer") == []
    await until_idle(site.world.house)


CURIOUS = (
    "/docs", "/docs/", "/redoc", "/openapi.json", "/v1/openapi.json", "/metrics", "/debug",
    "/.git/config", "/.env", "/healthz", "/readyz", "/v1/events", "/v1/events/heads",
    "/v1/checkpoints", "/v1/clock", "/v1/keys", "/admin", "/static/../settings.py",
    "/docs/assets/swagger-ui.css",
)  # fmt: skip


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
async def test_91_what_is_inside_is_not_outside(
    package: Any, migrated: Any, tmp_path: Path
) -> None:
    async with fresh(migrated(package)) as house:
        app, inner = service(package.name, house, Trust(), tmp_path)
        async with a_client(app) as client:
            answers = {path: await client.get(path) for path in CURIOUS}
        assert {answer.status_code for answer in answers.values()} == {404}
        assert all(answer.json()["code"] for answer in answers.values())
        async with a_client(inner) as client:
            assert (await client.get("/metrics")).status_code == 200


async def test_91_nor_through_the_gateway(migrated: Any, tmp_path: Path) -> None:
    async with fresh(migrated(GATEWAY)) as house, fresh(migrated(ENERGY)) as energy:
        trust = Trust()
        _, inside = service("energy_trade", energy, trust, tmp_path)
        async with listening_on(inside) as port:
            said = {
                "api": f"http://127.0.0.1:{port}",
                "inner": f"http://127.0.0.1:{port}",
                "source": energy.source,
            }
            app, _ = service("gateway", house, trust, tmp_path, upstreams={"energy": said})
            async with a_client(app) as client:
                for path in ("/docs", "/openapi.json", "/metrics", "/healthz", "/events", "/clock"):
                    answer = await client.get(f"/v1/energy{path}")
                    assert (answer.status_code, answer.json()["code"]) == (404, "ROUTE_UNKNOWN")


def _broken() -> APIRouter:
    router = APIRouter()

    @router.get("/v1/broken", **open_to("anyone"))
    async def broken() -> None:
        raise RuntimeError("an account of 91370500")

    @router.post("/v1/broken", **open_to("trading_center"))
    async def breaking(command: CommandDep) -> None:
        await command.run(_fail)

    @router.get("/v1/fine", **open_to("anyone"))
    async def fine() -> dict[str, str]:
        return {"status": "fine"}

    return router


async def _fail(session: Any) -> Any:
    raise LookupError("an account of 91370500")


async def test_92_what_nobody_foresaw_is_a_problem_and_the_line_goes_on(
    kit_house: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    trust = Trust()
    app = create_app(kit_house, trust.verifier, "test", [_broken()])
    before = UNEXPECTED._value.get()
    headers = {"Authorization": f"Bearer {trust.token()}", "Idempotency-Key": "one"}
    async with listening_on(app) as port:
        url = f"http://127.0.0.1:{port}"
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(base_url=url, limits=limits, trust_env=False) as client:
            answers = [
                await client.get("/v1/broken"),
                await client.post("/v1/broken", headers=headers),
                # The same key has no answer kept, so it may be tried again.
                await client.post("/v1/broken", headers=headers),
            ]
            fine = await client.get("/v1/fine")
    for answer in answers:
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        document = answer.json()
        assert (document["code"], document["status"]) == ("UNEXPECTED", 500)
        assert document["trace_id"] == answer.headers["x-request-id"]
        assert "connection" not in answer.headers
        assert "91370500" not in answer.text
    assert fine.status_code == 200
    assert UNEXPECTED._value.get() == before + 3
    assert await rows(kit_house, "SELECT key FROM stored_answer") == []
