"""The HTTP application of the gateway: its routers, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from fastapi import FastAPI

from gateway.board import routes as board
from gateway.commands import routes as commands
from gateway.commands.routes import Upstream
from gateway.logins import routes as logins
from gateway.settings import Settings
from gateway.streams import routes as streams
from gateway.streams.actions import Hub
from gateway.streams.rules import PositionSeal
from marketkit.program import Parts
from marketkit.signing import Signer
from marketkit.web import create_app as create


class DevelopmentInProduction(SystemExit):
    """Production refuses to start where the development issuer could speak or is believed."""


def create_app(parts: Parts) -> FastAPI:
    settings = cast(Settings, parts.settings)
    upstreams = {market: Upstream(market, at) for market, at in settings.upstreams.items()}
    sources = {market: at.source for market, at in settings.upstreams.items()}
    hub = Hub(parts.house, list(sources.values()), parts.stopping.is_set)
    seal = PositionSeal(parts.mac_key, list(sources.values()))
    routers = [
        streams.routes(hub, seal),
        board.routes(sources),
        commands.routes(upstreams),
    ]
    if settings.issuer_key.exists():
        routers.append(logins.routes(Signer.read(settings.issuer_key)))
    if settings.env == "prod" and (
        settings.issuer_key.exists() or logins.ISSUER in parts.verifier.issuers
    ):
        raise DevelopmentInProduction("the development issuer: not for production")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        for upstream in upstreams.values():
            await upstream.close()

    return create(parts.house, parts.verifier, "gateway 统一门户", routers, lifespan=lifespan)
