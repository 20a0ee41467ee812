"""Tokens of the development issuer, for whoever asks: demonstrations and tests only."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from marketkit.doors import open_to
from marketkit.identity import LIFE_S_MAX, Verifier, mint
from marketkit.signing import Signer
from marketkit.units import Form, Text

ISSUER = "yaosu-dev"

_Name = Annotated[Text, Field(max_length=64)]


class DevTokenIn(Form):
    """Who the token is to speak for, as its claims will say."""

    sub: _Name
    roles: Annotated[list[_Name], Field(min_length=1, max_length=12)]
    region_code: _Name | None = None
    department: _Name | None = None
    uscc: _Name | None = None


class DevTokenOut(Form):
    token: str
    expires_in: int


class DevelopmentInProduction(SystemExit):
    """Production refuses to start where the development issuer could speak or is believed."""


def routes(env: str, issuer_key: Path, verifier: Verifier) -> APIRouter:
    """`POST /v1/dev-tokens` where there is an issuer's key; nothing where there is none."""
    router = APIRouter(tags=["logins"])
    if env == "prod" and (issuer_key.exists() or ISSUER in verifier.issuers):
        raise DevelopmentInProduction("the development issuer: not for production")
    if not issuer_key.exists():
        return router
    signer = Signer.read(issuer_key)

    @router.post("/v1/dev-tokens", summary="演示用访问令牌", **open_to("anyone"))
    async def make_dev_token(claims: DevTokenIn) -> DevTokenOut:
        token = mint(signer, ISSUER, claims.model_dump(exclude_none=True))
        return DevTokenOut(token=token, expires_in=LIFE_S_MAX)

    return router
