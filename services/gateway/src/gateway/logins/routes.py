"""Tokens of the development issuer, for whoever asks: demonstrations and tests only."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from marketkit.doors import open_to
from marketkit.identity import LIFE_S_MAX, mint
from marketkit.signing import Signer
from marketkit.units import Form

ISSUER = "yaosu-dev"

_Name = Annotated[str, Field(min_length=1, max_length=64)]


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


def routes(signer: Signer) -> APIRouter:
    router = APIRouter(tags=["logins"])

    @router.post("/v1/dev-tokens", summary="演示用访问令牌", **open_to("anyone"))
    async def make_dev_token(claims: DevTokenIn) -> DevTokenOut:
        token = mint(signer, ISSUER, claims.model_dump(exclude_none=True))
        return DevTokenOut(token=token, expires_in=LIFE_S_MAX)

    return router
