"""What a file must be before a handler sees it: a sheet, of a known caller, not too large."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, Request

from builders import Trust, a_client
from marketkit.db import Database
from marketkit.doors import open_to
from marketkit.guard import UPLOAD_BYTES_MAX
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


async def test_no_other_address_takes_files(client: httpx.AsyncClient) -> None:
    for path in ("/v1/commands", "/v1/files/", "/v1/files/x"):
        answer = await client.post(path, content=b"a", headers=CSV)
        assert answer.status_code == 415
    assert (await client.put("/v1/files", content=b"a", headers=CSV)).status_code == 415
