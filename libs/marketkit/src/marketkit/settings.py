"""What an operator chooses, read once from the environment (prefix `YAOSU_`) and passed down."""

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import PositiveInt, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings every service has. A service adds its name and market, nothing else by default."""

    model_config = SettingsConfigDict(
        env_prefix="YAOSU_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    service: ClassVar[str]
    market: ClassVar[str]

    env: Literal["embedded", "test", "prod"]
    city: str = "370500"
    database_url: str
    migrate_url: str = ""
    kafka_servers: str
    host: str = "127.0.0.1"
    allowed_hosts: tuple[str, ...] = ()
    api_port: int
    inner_port: int
    keys_dir: Path
    pool_size: int = 10
    requests_per_s: PositiveInt = 20

    @model_validator(mode="after")
    def _names_are_known_in_production(self) -> Self:
        if self.env == "prod" and not self.allowed_hosts:
            raise ValueError("YAOSU_ALLOWED_HOSTS: production must know its own names")
        return self

    @property
    def source(self) -> str:
        """Who speaks: the CloudEvents source and the issuer of this service's own tokens."""
        return f"/{self.city}/{self.service}"

    @property
    def topic(self) -> str:
        return f"yaosu.{self.market}.v1"
