"""What a file must be before a handler sees it: a sheet, of a known caller, not too large."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Request

from builders import Trust, a_client
from marketkit.db import Database
from marketkit.doors import open_to
from marketkit.guard import UPLOAD_BYTES_MAX, UPLOADS_AT_ONCE
from marketkit.web import create_app

CSV = {"Content-Type": "text/csv"}


@pytest.fixture
def trust() -> Trust:
    return Trust()


@pytest.fixture
async def client(kit_house: Database, trust: Trust) -> AsyncIterator[httpx.AsyncClient]:
    router = APIRouter()

    @router.post("/v1/files", tags=["upload"], **open_to("trading_center"))
    async def take(request: Request) -> dict[str, int]:
        return {"size": len(await request.body())}

    @router.post("/v1/commands", **open_to("trading_center"))
    async def command(request: Request) -> dict[str, int]:
        return {"size": len(await request.body())}

    app = create_app(kit_house, trust.verifier, "toy", [router])
    async with a_client(app, trust.token()) as client:
        yield client


async def test_a_file_goes_through_as_it_is(client: httpx.AsyncClient) -> None:
    body = b"\x00\xff" * (UPLOAD_BYTES_MAX // 2)
    answer = await client.post("/v1/files", content=body, headers=CSV)
    assert (answer.status_code, answer.json()) == (200, {"size": UPLOAD_BYTES_MAX})


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        (CSV | {"Content-Encoding": "gzip"}, 415, "MEDIA_TYPE_UNSUPPORTED"),
        ({"Content-Type": "application/json"}, 415, "MEDIA_TYPE_UNSUPPORTED"),
        ({}, 415, "MEDIA_TYPE_UNSUPPORTED"),
        (CSV | {"Authorization": "Bearer forged"}, 401, "TOKEN_INVALID"),
        (CSV | {"Authorization": "Basic eA=="}, 401, "UNAUTHENTICATED"),
    ],
)
async def test_what_is_no_file_of_a_known_caller(
    client: httpx.AsyncClient, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await client.post("/v1/files", content=b"a", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_more_than_20_mb_is_not_even_read(client: httpx.AsyncClient) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while taken < 4 * UPLOAD_BYTES_MAX:
            taken += 65_536
            yield b"x" * 65_536

    answer = await client.post("/v1/files", content=endless(), headers=CSV)
    assert (answer.status_code, answer.json()["code"]) == (413, "BODY_TOO_LARGE")
    assert taken <= UPLOAD_BYTES_MAX + 2 * 65_536


async def test_so_many_are_held_at_once_and_one_of_each(
    client: httpx.AsyncClient, trust: Trust
) -> None:
    begun, going_on = asyncio.Semaphore(0), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        begun.release()  # its bytes are asked for: it is taken in
        yield b"a"
        await going_on.wait()

    async def send(number: int, body: Any = b"a") -> httpx.Response:
        token = trust.token(sub=f"clerk-{number}")
        headers = CSV | {"Authorization": f"Bearer {token}"}
        return await client.post("/v1/files", content=body, headers=headers)

    sending = []
    for number in range(UPLOADS_AT_ONCE):
        sending.append(asyncio.create_task(send(number, slow())))
        await begun.acquire()
        again = await send(number)
        assert (again.status_code, again.json()["code"]) == (503, "BUSY")
        assert again.headers["Retry-After"] == "1"
        assert (await send(99)).is_success is (number < UPLOADS_AT_ONCE - 1)
    going_on.set()
    assert {one.status_code for one in await asyncio.gather(*sending)} == {200}
    for number in range(UPLOADS_AT_ONCE + 1):
        assert (await send(number)).is_success


async def test_no_other_address_takes_files(client: httpx.AsyncClient) -> None:
    for path in ("/v1/commands", "/v1/files/", "/v1/files/x"):
        answer = await client.post(path, content=b"a", headers=CSV)
        assert answer.status_code == 415
    assert (await client.put("/v1/files", content=b"a", headers=CSV)).status_code == 415
