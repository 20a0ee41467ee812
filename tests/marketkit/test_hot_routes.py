"""A hot route answers whatever comes as FastAPI's own does, and is described alike."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Query, Response
from fastapi.routing import APIRoute

from builders import Trust, a_client, a_key
from databases import rows
from marketkit.db import Database
from marketkit.doors import CommandDep, HotRoute, open_to
from marketkit.web import create_app
from toy_app import ThingIn, keep

pytestmark = pytest.mark.usefixtures("toy")
TRUST = Trust()
GOOD = {"name": "煤", "quantity_tce": "1.000"}


def application(house: Database, route_class: type[APIRoute]) -> FastAPI:
    router = APIRouter(route_class=route_class)

    @router.post("/v1/rooms/{room}/things", status_code=201, **open_to("trading_center"))
    async def keep_thing(room: str, form: ThingIn, command: CommandDep) -> Response:
        return await command.run(lambda s: keep(s, form), status=201, location="/v1/rooms")

    @router.post("/v1/rooms/{room}/others", status_code=201, **open_to("trading_center"))
    async def keep_other(
        room: str, form: ThingIn, command: CommandDep, limit: Annotated[int, Query(ge=1)] = 1
    ) -> Response:
        return await command.run(lambda s: keep(s, form), status=201, location="/v1/rooms")

    return create_app(house, TRUST.verifier, "toy", [router])


def sent(
    client: httpx.AsyncClient, *, path: str = "things", key: str | None = None, **said: Any
) -> Any:
    token = {"Authorization": f"Bearer {TRUST.token(said.pop('role', 'trading_center'))}"}
    keyed = a_key() if key is None else {"Idempotency-Key": key}
    headers = said.pop("headers", token) | keyed
    return client.post(f"/v1/rooms/一号/{path}", headers=headers, **said)


Case = Callable[[httpx.AsyncClient], Any]
CASES: dict[str, Case] = {
    "good": lambda client: sent(client, json=GOOD),
    "a key twice": lambda client: sent(client, json=GOOD, key="twice"),
    "no body": lambda client: sent(client),
    "null": lambda client: sent(client, content=b"null", headers=typed()),
    "a list": lambda client: sent(client, json=[GOOD]),
    "empty": lambda client: sent(client, json={}),
    "an unknown field": lambda client: sent(client, json=GOOD | {"body": 1}),
    "a field of another kind": lambda client: sent(client, json=GOOD | {"name": 1}),
    "two faults": lambda client: sent(client, json={"name": "", "quantity_tce": "1.23456"}),
    "another day": lambda client: sent(client, json=GOOD | {"due_on": "2022-02-30"}),
    "no token": lambda client: sent(client, json={"wrong": 1}, headers={}),
    "another role": lambda client: sent(client, json={"wrong": 1}, role="enterprise"),
    "no key": lambda client: sent(client, json={"wrong": 1}, key=" "),
    "of a signature that is not its": lambda client: sent(client, path="others", json=GOOD),
    "and what is wrong with it": lambda client: sent(client, path="others?limit=0", json={}),
}


def typed() -> dict[str, str]:
    bearer = f"Bearer {TRUST.token('trading_center')}"
    return {"Authorization": bearer, "Content-Type": "application/json"}


def without_trace(answer: httpx.Response) -> tuple[int, dict[str, Any], Sequence[str]]:
    said = {name: value for name, value in answer.json().items() if name != "trace_id"}
    kept = ("content-type", "location", "www-authenticate")
    return answer.status_code, said, [answer.headers.get(name, "") for name in kept]


@pytest.mark.parametrize("name", CASES)
async def test_it_answers_as_fastapi_does(kit_house: Database, name: str) -> None:
    answers = []
    for route_class in (APIRoute, HotRoute):
        async with a_client(application(kit_house, route_class)) as client:
            answers.append(without_trace(await CASES[name](client)))
        await rows(kit_house, "DELETE FROM toy.thing")
    assert answers[0] == answers[1]
    assert (answers[1][0] == 201) == (name in {"good", "a key twice", GENERAL})


GENERAL = "of a signature that is not its"


def test_it_is_described_as_fastapi_s_is(kit_house: Database) -> None:
    general, hot = (application(kit_house, one).openapi() for one in (APIRoute, HotRoute))
    assert general == hot
