"""Row 40: under which names a service answers, and what it never believes."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from builders import Trust, a_client, a_key
from energy_trade.settings import Settings
from hostile.house import energy_app
from marketkit.db import Database

NAMES = frozenset({"portal.test", "127.0.0.1", "[::1]"})
BELIEVED_BY_NOBODY = {
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-Host": "evil.test",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-User": "admin",
    "X-Original-URL": "/v1/accounts",
    "X-HTTP-Method-Override": "DELETE",
    "X-User-Id": "admin",
    "X-User-Role": "trading_center",
    "Forwarded": "for=127.0.0.1;host=evil.test",
}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("portal.test", 200),
        ("PORTAL.test:8443", 200),
        ("127.0.0.1:8370", 200),
        ("[::1]:8370", 200),
        ("evil.test", 400),
        ("portal.test.evil.test", 400),
        ("evil.test:portal.test", 400),
        ("portal.test:80:80", 400),
        ("portal.test@evil.test", 400),
        ("", 400),
    ],
)
async def test_a_foreign_host_is_refused(
    energy_house: Database, tmp_path: Path, host: str, status: int
) -> None:
    app = energy_app(energy_house, Trust(), tmp_path)
    app.state.allowed_hosts = NAMES
    async with a_client(app, Host=host, **{"X-Forwarded-Host": "portal.test"}) as client:
        answer = await client.get("/v1/pool")
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["code"] == "HOST_UNKNOWN"
        assert "evil" not in answer.text


async def test_without_names_any_host_is_served(energy_house: Database, tmp_path: Path) -> None:
    async with a_client(energy_app(energy_house, Trust(), tmp_path), Host="any.test") as client:
        assert (await client.get("/v1/pool")).status_code == 200


async def test_nobody_becomes_somebody_by_a_header(energy_house: Database, tmp_path: Path) -> None:
    app = energy_app(energy_house, Trust(), tmp_path)
    async with a_client(app, **BELIEVED_BY_NOBODY, **a_key()) as client:
        assert (await client.get("/v1/accounts")).status_code == 401
        assert (await client.post("/v1/key-officers", json={})).status_code == 401


async def test_what_is_answered_names_no_host_of_the_caller_s(
    energy_house: Database, tmp_path: Path
) -> None:
    trust = Trust()
    app = energy_app(energy_house, trust, tmp_path)
    token = trust.token("county_officer", region_code="370502")
    said = {
        "uscc": "913705000000000074",
        "project_code": "2205-370502-04-01-000007",
        "name": "示例项目",
        "is_dual_high": False,
    }
    async with a_client(app, token, **BELIEVED_BY_NOBODY, **a_key()) as client:
        answer = await client.post("/v1/screenings", json=said)
    assert answer.status_code == 201
    assert "evil" not in f"{answer.headers}{answer.text}"


def settings(**changes: Any) -> Settings:
    said: dict[str, Any] = {
        "env": "prod",
        "database_url": "postgresql+psycopg://yaosu_app@postgres/yaosu_energy",
        "kafka_servers": "kafka:9092",
        "api_port": 8000,
        "inner_port": 9000,
        "keys_dir": Path("/run/keys"),
    }
    return Settings(**(said | changes))


def test_production_must_know_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="YAOSU_ALLOWED_HOSTS"):
        settings()
    monkeypatch.setenv("YAOSU_ALLOWED_HOSTS", '["portal.test", "energy-api"]')
    assert settings().allowed_hosts == ("portal.test", "energy-api")


def test_a_demonstration_need_not() -> None:
    assert settings(env="embedded").allowed_hosts == ()
