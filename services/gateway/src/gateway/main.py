"""The HTTP application of the gateway: its routers, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from fastapi import FastAPI

from gateway.board import routes as board
from gateway.board.reactions import REACTIONS
from gateway.commands import routes as commands
from gateway.logins import routes as logins
from gateway.pages import routes as pages
from gateway.settings import Settings
from gateway.streams import routes as streams
from marketkit import replay
from marketkit.program import Parts
from marketkit.web import create_app as create


def create_app(parts: Parts) -> FastAPI:
    settings = cast(Settings, parts.settings)
    upstreams = commands.upstreams(settings.upstreams)
    routers = [
        logins.routes(settings.env, settings.issuer_key, parts.verifier),
        streams.routes(parts.house, settings.sources, parts.mac_key, parts.stopping.is_set),
        board.routes(settings.sources),
        replay.routes(REACTIONS),
        commands.routes(upstreams),
        pages.routes(settings.sources, *commands.asked_for_pages(upstreams)),
    ]

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        for upstream in upstreams:
            await upstream.close()

    return create(parts.house, parts.verifier, "gateway 统一门户", routers, lifespan=lifespan)
