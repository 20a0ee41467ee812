from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from builders import Trust, a_client, a_signer, public_key
from gateway.logins.routes import ISSUER, routes
from marketkit.db import Database
from marketkit.identity import LIFE_S_MAX, Issuer, TokenInvalid, Verifier
from marketkit.signing import Signer, b64
from marketkit.web import create_app


@pytest.fixture
def signer() -> Signer:
    return a_signer()


@pytest.fixture
def key_file(signer: Signer, tmp_path: Path) -> Path:
    file = tmp_path / "issuer.key"
    file.write_text(b64(signer.private.private_bytes_raw()), "ascii")
    return file


@pytest.fixture
def verifier(signer: Signer) -> Verifier:
    return Verifier({ISSUER: Issuer("people", {signer.kid: public_key(signer)})})


@pytest.fixture
async def desk(
    gateway_house: Database, key_file: Path, verifier: Verifier
) -> AsyncIterator[httpx.AsyncClient]:
    logins = routes("embedded", key_file, verifier)
    async with a_client(create_app(gateway_house, verifier, "gateway", [logins])) as client:
        yield client


async def test_a_token_speaks_for_whom_it_was_asked(
    desk: httpx.AsyncClient, verifier: Verifier
) -> None:
    claims = {"sub": "officer-1", "roles": ["bureau_officer"], "region_code": "370500"}
    answer = await desk.post("/v1/dev-tokens", json=claims | {"department": "energy"})
    assert answer.status_code == 200
    assert answer.json()["expires_in"] == LIFE_S_MAX
    caller = verifier.caller(answer.json()["token"])
    assert caller.sub == f"{ISSUER}|officer-1"
    assert caller.roles == {"bureau_officer"}
    assert (caller.region_code, caller.department, caller.uscc) == ("370500", "energy", "")


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": "x", "roles": []},
        {"sub": "", "roles": ["enterprise"]},
        {"sub": "x", "roles": ["enterprise"], "iss": "other"},
        {"sub": "x", "roles": "enterprise"},
    ],
)
async def test_a_token_for_nobody_is_refused(
    desk: httpx.AsyncClient, claims: dict[str, object]
) -> None:
    answer = await desk.post("/v1/dev-tokens", json=claims)
    assert (answer.status_code, answer.json()["code"]) == (422, "INPUT_INVALID")


async def test_a_token_never_makes_a_service(desk: httpx.AsyncClient, verifier: Verifier) -> None:
    answer = await desk.post("/v1/dev-tokens", json={"sub": "x", "roles": ["service"]})
    with pytest.raises(TokenInvalid):
        verifier.caller(answer.json()["token"])


async def test_without_a_key_there_is_no_desk(
    gateway_house: Database, verifier: Verifier, tmp_path: Path
) -> None:
    logins = routes("embedded", tmp_path / "none", verifier)
    async with a_client(create_app(gateway_house, Trust().verifier, "gateway", [logins])) as client:
        answer = await client.post("/v1/dev-tokens", json={"sub": "x", "roles": ["enterprise"]})
    assert answer.status_code == 404


def test_production_does_not_start_with_the_key(key_file: Path) -> None:
    with pytest.raises(SystemExit, match="not for production"):
        routes("prod", key_file, Trust().verifier)


def test_production_does_not_start_believing_the_issuer(verifier: Verifier, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="not for production"):
        routes("prod", tmp_path / "none", verifier)


async def test_production_has_no_desk(gateway_house: Database, tmp_path: Path) -> None:
    verifier = Trust().verifier
    logins = routes("prod", tmp_path / "none", verifier)
    async with a_client(create_app(gateway_house, verifier, "gateway", [logins])) as client:
        answer = await client.post("/v1/dev-tokens", json={"sub": "x", "roles": ["enterprise"]})
    assert answer.status_code == 404
