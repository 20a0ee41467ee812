"""The public side of the gateway on a port of this machine: board, stream and pages."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

from builders import MAC_KEY, Trust
from gateway.board import routes as board
from gateway.pages import routes as pages
from gateway.streams import routes as streams
from marketkit.db import Database
from marketkit.strict_http import StrictHttp
from marketkit.web import create_app
from told_board import ENERGY

EMISSION = "/370500/emission-trade"
SOURCES = {"energy": ENERGY, "emission": EMISSION}
STOP_S_MAX = 5


async def no_title(code: str) -> str | None:
    return None


async def no_proof(sale_id: str, kind: str, paper_id: str, sm3: str) -> dict[str, Any] | None:
    return None


@asynccontextmanager
async def site(house: Database, *, keep_alive_s: float = 15.0) -> AsyncIterator[str]:
    """Its address; at the end it must stop in time, whoever still listens."""
    stopping = threading.Event()
    routers = [
        streams.routes(house, SOURCES, MAC_KEY, stopping.is_set, keep_alive_s),
        board.routes(SOURCES),
        pages.routes(SOURCES, no_title, no_proof),
    ]
    app = create_app(house, Trust().verifier, "gateway", routers)
    async with served(app, stopping.set) as address:
        yield address


@asynccontextmanager
async def served(app: FastAPI, stop: Callable[[], None] = lambda: None) -> AsyncIterator[str]:
    """The address of an application on a port of this machine; `stop` is called before its end."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_config=None, http=StrictHttp, ws="none", lifespan="off"
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        stop()
        server.should_exit = True
        async with asyncio.timeout(STOP_S_MAX):
            await serving
