"""Schemathesis on every application: no 5xx, nothing invalid accepted, nothing said untruly.

`make fuzz` sends as many as it is told, in one share for each processor: a share is a process with
databases and seeds of its own, and sends YAOSU_FUZZ_REQUESTS. `./test` sends a few of each
operation, drawn by one seed each time; what the world put into them has new ids.
"""

import gc
import os
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from anyio.from_thread import start_blocking_portal
from fastapi import APIRouter, FastAPI, Response

from builders import Trust
from databases import LAND, Migrated, Package
from hostile.generated import Door, Findings, Mixture, send_all
from hostile.served import Town, served, town
from marketkit.db import Database
from marketkit.doors import open_to
from marketkit.units import Form, QuantityTce
from marketkit.web import create_app

WANTED = int(os.environ.get("YAOSU_FUZZ_REQUESTS", "0"))
SHARE = int(os.environ.get("YAOSU_FUZZ_SHARE", "0"))
EACH = 20
# Never answered by any server of ours, of which one says as much as seven.
ONE_METHOD = ["put"]


def config(seed: int, each: int, *phases: str) -> dict[str, Any]:
    """So many examples of each operation in these phases, the same for the same seed."""
    named: dict[str, Any] = {
        name: {"enabled": name in phases}
        for name in ("examples", "coverage", "fuzzing", "stateful")
    }
    named["coverage"]["unexpected-methods"] = ONE_METHOD
    named["stateful"]["max-steps"] = 8
    return {
        "seed": seed,
        # Ours is stricter: `good_data_is_understood`.
        "checks": {
            "positive_data_acceptance": {"enabled": False},
            # Any refusal is one: an address of 8 kB is refused before its text is looked at.
            "negative_data_rejection": {"expected-statuses": ["4xx"]},
        },
        "generation": {"max-examples": each, "no-shrink": True, "database": "none"},
        "phases": named,
        "continue-on-failure": True,
        "workers": 1,
    }


@pytest.fixture(scope="module", autouse=True)
def _nothing_left_over() -> Iterator[None]:
    """Lines that generated requests left half open end here, not in a later test's warnings."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def open_town(
    migrated: Callable[[Package], Migrated], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Town]:
    keys = tmp_path_factory.mktemp("keys")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(town(migrated, keys)) as made,
    ):
        yield made


def faults(findings: list[Findings]) -> str:
    return "\n\n".join(
        f"{found.door}: {kind}\n{said}" for found in findings for kind, said in found.faults.items()
    )


@pytest.mark.timeout(600)
def test_some_of_everything(open_town: Town) -> None:
    findings = [
        send_all(door, open_town.mixture, config(1, 2, "fuzzing", "stateful"))
        for door in open_town.doors
    ]
    print(*(found.line() for found in findings), f"{time.process_time():.1f}", sep="\n")
    assert faults(findings) == ""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_bound_of_every_operation(open_town: Town) -> None:
    doors = [door for door in open_town.doors if "by the gateway" not in door.name]
    findings = [send_all(door, open_town.mixture, config(1, 1, "coverage")) for door in doors]
    print(*(found.line() for found in findings), sep="\n")
    assert faults(findings) == ""


@pytest.mark.skipif(not WANTED, reason="the long run is `make fuzz`")
@pytest.mark.timeout(0)
def test_as_many_as_wanted(open_town: Town) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    findings: list[Findings] = []
    began, seed = time.monotonic(), time.time_ns() + SHARE
    while sum(found.count for found in findings) < WANTED:
        seed += 1
        for door in open_town.doors:
            findings.append(
                send_all(door, open_town.mixture, config(seed, EACH, "fuzzing", "stateful"))
            )
            count = sum(found.count for found in findings)
            spent = time.monotonic() - began
            said = f"share {SHARE}: {spent:.0f} s, {count} in all; seed {seed}, "
            print(said + findings[-1].line(), faults(findings[-1:]), flush=True)
    assert faults(findings) == ""


class ThingIn(Form):
    quantity_tce: QuantityTce


def faulty() -> APIRouter:
    """One fault of each kind."""
    router = APIRouter()
    anyone = open_to("anyone")

    @router.post("/v1/accepting", **anyone)
    async def accept(body: dict[str, Any]) -> dict[str, Any]:
        return body

    @router.post("/v1/failing", **anyone)
    async def fail(form: ThingIn) -> ThingIn:
        raise LookupError

    @router.get("/v1/undeclared", **anyone)
    async def undeclared() -> Response:
        return Response(b"{}", 418, media_type="application/json")

    @router.get("/v1/untrue", response_model=ThingIn, **anyone)
    async def untrue() -> Response:
        return Response(b"{}", media_type="application/json")

    @router.get("/v1/open", **open_to("auditor") | {"dependencies": []})
    async def open_door() -> dict[str, str]:
        return {}

    # Of a county that no token is of.
    @router.get("/v1/foreign", **open_to("county_officer") | {"dependencies": []})
    async def foreign() -> Response:
        return Response(b'{"rows":[{"region_code":"370522"}]}', media_type="application/json")

    @router.post("/v1/misunderstanding", **anyone)
    async def misunderstand(form: ThingIn) -> Response:
        return Response(
            b'{"code":"UNREADABLE","status":400,"title":"x","type":"x"}',
            400,
            media_type="application/problem+json",
        )

    return router


def faulty_app(house: Database) -> tuple[FastAPI, dict[str, Any]]:
    app = create_app(house, Trust().verifier, "faulty", [faulty()])
    said = app.openapi()
    form = {"$ref": "#/components/schemas/ThingIn"}
    body = said["paths"]["/v1/accepting"]["post"]["requestBody"]["content"]["application/json"]
    body["schema"] = form
    return app, said


def test_each_kind_of_fault_is_found(migrated: Callable[[Package], Migrated]) -> None:
    """Or else finding none would prove nothing. No database is asked."""
    house = migrated(LAND).database()
    app, said = faulty_app(house)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(served(app)) as url:
        found = send_all(
            Door("faulty", url, said), Mixture(Trust()), config(1, 5, "fuzzing", "coverage")
        )
    print(found.line(), sorted(found.faults))
    assert set(found.faults) >= {
        "POST /v1/accepting: Schema-violating request accepted",
        "POST /v1/failing: Server error",
        "GET /v1/undeclared: Undocumented status code",
        "GET /v1/untrue: Response violates schema",
        "GET /v1/open: API accepts requests without authentication",
        "GET /v1/foreign: Custom check failed: `nobody_sees_anothers_rows`",
        "POST /v1/misunderstanding: Custom check failed: `good_data_is_understood`",
    }
