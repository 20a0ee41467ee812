"""Who may come in by a route, and what a command must bring along."""

from collections.abc import Callable

import pytest

from builders import Trust, a_client, a_key
from databases import rows
from marketkit.db import Database
from toy_app import toy_app

pytestmark = pytest.mark.usefixtures("toy")
THING = {"name": "煤", "quantity_tce": "1.000"}


TRUST = Trust()


def bearer(*roles: str, **claims: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TRUST.token(*roles, **claims)}"}


# A token lives ten minutes: it is made when the test runs, not when it is found.
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        (lambda: {}, 401, "UNAUTHENTICATED"),
        (lambda: {"Authorization": ""}, 401, "UNAUTHENTICATED"),
        (lambda: {"Authorization": "Bearer"}, 401, "UNAUTHENTICATED"),
        (lambda: {"Authorization": "Basic YTpi"}, 401, "UNAUTHENTICATED"),
        (lambda: {"Authorization": "Bearer nonsense"}, 401, "TOKEN_INVALID"),
        (lambda: bearer("enterprise"), 403, "ROLE_NOT_ALLOWED"),
        (lambda: bearer("system_admin"), 403, "ROLE_NOT_ALLOWED"),
        (lambda: bearer("county_officer", department="energy"), 403, "ROLE_NOT_ALLOWED"),
        (lambda: bearer("bureau_officer", department="land"), 403, "ROLE_NOT_ALLOWED"),
        (lambda: bearer("bureau_officer"), 403, "ROLE_NOT_ALLOWED"),
        (lambda: bearer("bureau_officer", department="energy"), 200, None),
        (lambda: bearer("auditor"), 200, None),
        # Another of the caller's roles opens the door the department leaves shut.
        (lambda: bearer("auditor", "bureau_officer", department="land"), 200, None),
    ],
)
async def test_a_door_is_open_to_its_roles(
    kit_house: Database, headers: Callable[[], dict[str, str]], status: int, code: str | None
) -> None:
    async with a_client(toy_app(kit_house, TRUST)) as client:
        answer = await client.get("/v1/officers", headers=headers())
    assert (answer.status_code, answer.json().get("code")) == (status, code)
    assert ("www-authenticate" in answer.headers) == (status == 401)


async def test_row_60_two_credentials_are_none(kit_house: Database) -> None:
    async with a_client(toy_app(kit_house, TRUST)) as client:
        twice = [("Authorization", bearer("auditor")["Authorization"])] * 2
        answer = await client.get("/v1/officers", headers=twice)
    assert (answer.status_code, answer.json()["code"]) == (400, "UNREADABLE")


async def test_who_may_not_is_told_so_before_what_is_wrong(kit_house: Database) -> None:
    async with a_client(toy_app(kit_house, TRUST)) as client:
        for headers, status in (({}, 401), (bearer("enterprise"), 403)):
            answer = await client.post("/v1/things", json={"wrong": 1}, headers=headers)
            assert answer.status_code == status


KEYS: dict[str, list[tuple[str, str | bytes]]] = {
    "none": [],
    "empty": [("Idempotency-Key", "")],
    "blank": [("Idempotency-Key", " ")],
    "too long": [("Idempotency-Key", "x" * 201)],
    "with a blank": [("Idempotency-Key", "a b")],
    "with a break": [("Idempotency-Key", "a\nb")],
    "beyond ascii": [("Idempotency-Key", "键".encode())],
    "twice": [("Idempotency-Key", "a"), ("Idempotency-Key", "a")],
}


@pytest.mark.parametrize("name", KEYS)
async def test_row_65_a_command_brings_one_good_key(kit_house: Database, name: str) -> None:
    given = [*bearer("trading_center").items(), *KEYS[name]]
    headers = [
        (key.encode(), said if isinstance(said, bytes) else said.encode()) for key, said in given
    ]
    async with a_client(toy_app(kit_house, TRUST)) as client:
        answer = await client.post("/v1/things", json=THING, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "IDEMPOTENCY_KEY_MISSING")
    assert await rows(kit_house, "SELECT * FROM stored_answer") == []


@pytest.mark.parametrize("key", ["x", "x" * 200, "'; DROP TABLE toy.thing; --".replace(" ", "_")])
async def test_row_65_a_key_is_only_a_text(kit_house: Database, key: str) -> None:
    headers = bearer("trading_center") | {"Idempotency-Key": key}
    async with a_client(toy_app(kit_house, TRUST)) as client:
        answer = await client.post("/v1/things", json=THING, headers=headers)
    assert answer.status_code == 201
    assert len(await rows(kit_house, "SELECT * FROM toy.thing")) == 1


async def test_row_66_one_callers_key_is_not_anothers(kit_house: Database) -> None:
    key = a_key()
    async with a_client(toy_app(kit_house, TRUST)) as client:
        for sub, name in (("a", "煤"), ("b", "气")):
            who = bearer("trading_center", sub=sub)
            answer = await client.post("/v1/things", json=THING | {"name": name}, headers=who | key)
            assert answer.status_code == 201
    stored = await rows(kit_house, "SELECT principal FROM stored_answer ORDER BY principal")
    assert [row.principal for row in stored] == [
        "https://people.test|a",
        "https://people.test|b",
    ]


async def test_a_description_says_who_may_call(kit_house: Database) -> None:
    paths = toy_app(kit_house, TRUST).openapi()["paths"]
    officers = paths["/v1/officers"]["get"]
    assert officers["x-roles"] == ["bureau_officer", "auditor"]
    assert officers["x-department"] == "energy"
    assert officers["x-public"] is True
    assert paths["/v1/things/{name}"]["get"]["x-roles"] == ["anyone"]
    assert "department" not in str(paths["/v1/things/{name}"]["get"].get("x-department", ""))
