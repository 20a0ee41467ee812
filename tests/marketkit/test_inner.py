"""The inner port: ready only when it can serve, a clock that goes forwards, documents."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from builders import Trust, a_client
from databases import LAND, Migrated, Package, rows
from marketkit import migrations
from marketkit.db import Database, instant
from marketkit.inner import add_documents, clock_routes, health_routes
from marketkit.web import create_app
from toy_app import toy_app
from toys import Noted, tell_facts

HEADS = migrations.heads(LAND.name, LAND.libraries)


@asynccontextmanager
async def inner(
    house: Database,
    *,
    revisions: frozenset[str] = HEADS,
    env: str = "test",
    stopping: bool = False,
    role: str = "service",
) -> AsyncIterator[httpx.AsyncClient]:
    trust = Trust.in_services(house)
    app = create_app(house, trust.verifier, "inner", [health_routes(revisions), clock_routes(env)])
    app.state.is_stopping = lambda: stopping
    add_documents(app, toy_app(house, trust))
    token = trust.token_of(house.source) if role == "service" else trust.token(role)
    async with a_client(app, token) as client:
        yield client


async def test_it_is_alive_whatever_else(kit_house: Database) -> None:
    async with inner(kit_house, stopping=True) as client:
        answer = await client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ({}, 200),
        ({"stopping": True}, 503),
        ({"revisions": HEADS | {"energy_trade_0007"}}, 503),
    ],
)
async def test_it_is_ready_when_it_can_serve(
    kit_house: Database, state: dict[str, Any], status: int
) -> None:
    async with inner(kit_house, **state) as client:
        answer = await client.get("/readyz")
    assert answer.status_code == status
    if status == 503:
        assert answer.headers["retry-after"] == "1"


async def test_a_database_that_went_on_serves_the_release_before(
    kit_house: Database, migrated: Callable[[Package], Migrated]
) -> None:
    async def status() -> int:
        async with inner(kit_house) as client:
            return (await client.get("/readyz")).status_code

    with migrated(LAND).superuser() as connection:
        connection.execute("INSERT INTO served_revision VALUES ('marketkit_9999')")
        assert await status() == 200
        connection.execute("DELETE FROM served_revision WHERE revision = ANY(%s)", [sorted(HEADS)])
        assert await status() == 503


@pytest.mark.parametrize("level", ["off", "local", "remote_write"])
async def test_a_database_that_may_lose_commits_is_not_ready(
    kit_house: Database, migrated: Callable[[Package], Migrated], level: str
) -> None:
    database = migrated(LAND)
    place = f"DATABASE {database.name} SET synchronous_commit"
    with database.superuser() as connection:
        connection.execute(f"ALTER {place} = {level}".encode())
    try:
        fresh_house = Database(kit_house.url, kit_house.source, "land", kit_house.signer)
        async with inner(fresh_house) as client:
            answer = await client.get("/readyz")
        await fresh_house.close()
    finally:
        with database.superuser() as connection:
            connection.execute(f"ALTER DATABASE {database.name} RESET synchronous_commit".encode())
    assert answer.status_code == 503
    assert f"synchronous_commit={level}" in answer.json()["detail"]


async def test_without_its_database_it_is_not_ready(kit_house: Database) -> None:
    gone = Database(
        "postgresql+psycopg://yaosu_app@127.0.0.1:1/nowhere", "/s", "m", kit_house.signer
    )
    async with inner(gone) as client:
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).status_code == 200
    await gone.close()


async def test_metrics_are_shown(kit_house: Database) -> None:
    async with inner(kit_house) as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "yaosu_http_request_duration_seconds" in answer.text


def text(at: datetime) -> str:
    return at.isoformat()


SPRING = datetime(2022, 4, 1, 1, tzinfo=UTC)


async def test_the_clock_goes_forwards_only(kit_house: Database) -> None:
    async with inner(kit_house) as client:

        async def move(to: datetime) -> httpx.Response:
            return await client.post("/v1/clock", json={"to": text(to)})

        assert (await client.get("/v1/clock")).json()["is_moved"] is False
        # Before anything is told it may begin anywhere.
        for start in (SPRING + timedelta(days=30), SPRING):
            answer = await move(start)
            assert answer.status_code == 200
            now = datetime.fromisoformat(answer.json()["now"])
            assert timedelta(0) <= now - start < timedelta(seconds=5)
        await tell_facts(kit_house, ("k", Noted(number=1)))
        assert (await move(SPRING + timedelta(days=60))).status_code == 200
        back = await move(SPRING + timedelta(days=59))
        assert (back.status_code, back.json()["code"]) == (409, "CLOCK_ONLY_FORWARDS")
        at = await kit_house.run(instant)
        assert timedelta(0) <= at - (SPRING + timedelta(days=60)) < timedelta(seconds=9)
        # It ends at the machine's own time, and stays there.
        assert (await move(datetime.now(UTC) + timedelta(days=1))).json()["is_moved"] is False
        assert (await move(datetime.now(UTC) - timedelta(days=1))).status_code == 409
    (row,) = await rows(kit_house, "SELECT clock_offset FROM house")
    assert row.clock_offset == timedelta(0)


async def test_in_production_the_clock_does_not_move(kit_house: Database) -> None:
    async with inner(kit_house, env="prod") as client:
        answer = await client.post("/v1/clock", json={"to": text(SPRING)})
    assert (answer.status_code, answer.json()["code"]) == (403, "CLOCK_NOT_MOVABLE")
    (row,) = await rows(kit_house, "SELECT clock_offset FROM house")
    assert row.clock_offset == timedelta(0)


@pytest.mark.parametrize("role", ["system_admin", "trading_center"])
async def test_only_a_service_moves_the_clock(kit_house: Database, role: str) -> None:
    async with inner(kit_house, role=role) as client:
        assert (await client.get("/v1/clock")).status_code == 403
        answer = await client.post("/v1/clock", json={"to": text(SPRING)})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "to", ["2022-04-01T00:00:00", "2022-04-01", "1648771200", 1648771200, None, "now"]
)
async def test_row_49_a_clock_is_moved_to_an_instant_with_a_zone(
    kit_house: Database, to: object
) -> None:
    async with inner(kit_house) as client:
        assert (await client.post("/v1/clock", json={"to": to})).status_code == 422


async def test_documents_need_no_other_host(kit_house: Database) -> None:
    async with inner(kit_house) as client:
        described = (await client.get("/openapi.json")).json()
        page = (await client.get("/docs")).text
        assert "/v1/things" in described["paths"]
        assert "/metrics" not in described["paths"]
        for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
            assert f"/docs/assets/{asset}" in page
            assert (await client.get(f"/docs/assets/{asset}")).status_code == 200
    assert "http://" not in page
    assert "https://" not in page
