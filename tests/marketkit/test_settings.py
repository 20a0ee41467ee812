from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import ValidationError

from marketkit import settings


class Settings(settings.Settings):
    service: ClassVar[str] = "land-index"
    market: ClassVar[str] = "land"


GIVEN = {
    "YAOSU_ENV": "prod",
    "YAOSU_DATABASE_URL": "postgresql+psycopg://yaosu_app@/yaosu_land",
    "YAOSU_KAFKA_SERVERS": "127.0.0.1:9092",
    "YAOSU_API_PORT": "8001",
    "YAOSU_INNER_PORT": "8002",
    "YAOSU_KEYS_DIR": "/keys",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_settings_come_from_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("YAOSU_ALLOWED_HOSTS", '["portal.example"]')
    found = Settings()
    assert found.allowed_hosts == ("portal.example",)
    assert (found.env, found.api_port, found.keys_dir) == ("prod", 8001, Path("/keys"))
    assert (found.source, found.topic) == ("/370500/land-index", "yaosu.land.v1")
    environment.setenv("YAOSU_CITY", "370600")
    assert Settings().source == "/370600/land-index"
    with pytest.raises(ValidationError):
        found.api_port = 1  # type: ignore[misc]  # what is refused


@pytest.mark.parametrize("name", GIVEN)
def test_what_has_no_default_must_be_given(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.delenv(name)
    with pytest.raises(ValidationError, match=name.removeprefix("YAOSU_").lower()):
        Settings()


def test_there_are_three_environments(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("YAOSU_ENV", "production")
    with pytest.raises(ValidationError):
        Settings()
