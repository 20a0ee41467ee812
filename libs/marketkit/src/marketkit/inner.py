"""The inner port: health, metrics, API documents, and the log for other services."""

from datetime import timedelta
from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from starlette.staticfiles import StaticFiles

from marketkit.checkpoint import keys_document
from marketkit.db import House, Session, instant, sql, undurable
from marketkit.doors import AskDep, open_to
from marketkit.errors import Busy, Conflict, Forbidden, titles
from marketkit.feed import checkpoint_lines, heads_document, range_lines
from marketkit.outbox import PARTITIONS
from marketkit.units import Form, Instant

NDJSON = "application/x-ndjson"
_LINES: dict[str, Any] = {
    "response_class": Response,
    "responses": {200: {"content": {NDJSON: {"schema": {"type": "string"}}}}},
}
_PLAIN: dict[int | str, dict[str, Any]] = {
    200: {"content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}}
}


class ClockNotMovable(Forbidden):
    title = "本系统时钟不可调整"


class ClockOnlyForwards(Conflict):
    title = "演示时钟只能向前，且不得超过当前时间"


class ClockMove(Form):
    """Where the demonstration's clock is to stand; never before where it stands now."""

    to: Instant


class ClockOut(Form):
    now: Instant
    is_moved: bool


def feed_routes(mac_key: bytes) -> APIRouter:
    """Ranges, heads, checkpoints and the public keys, for role `service`."""
    router = APIRouter(tags=["feed"])
    services = open_to("service", is_public=False)

    @router.get("/v1/events", **_LINES, **services)
    async def events(
        ask: AskDep,
        partition: Annotated[int, Query(ge=0, lt=PARTITIONS)],
        first: Annotated[int, Query(ge=1, lt=2**63, alias="from")],
    ) -> Response:
        body = await ask.run(lambda s: range_lines(s, partition, first, mac_key), "worker")
        return Response(body, media_type=NDJSON)

    @router.get("/v1/events/heads", **services)
    async def heads(ask: AskDep) -> dict[str, Any]:
        return await ask.run(heads_document, "worker")

    @router.get("/v1/checkpoints", **_LINES, **services)
    async def checkpoints(
        ask: AskDep, after: Annotated[int, Query(ge=0, lt=2**63)] = 0
    ) -> Response:
        body = await ask.run(lambda s: checkpoint_lines(s, after), "worker")
        return Response(body, media_type=NDJSON)

    @router.get("/v1/keys", **open_to("anyone", is_public=False))
    async def keys(ask: AskDep) -> dict[str, Any]:
        return await ask.run(keys_document, "worker")

    return router


def health_routes(revisions: frozenset[str]) -> APIRouter:
    router = APIRouter(tags=["health"])
    anyone = open_to("anyone", is_public=False)

    @router.get("/healthz", **anyone)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", **anyone)
    async def readyz(request: Request, ask: AskDep) -> dict[str, str]:
        if request.app.state.is_stopping():
            raise Busy("正在停止")
        try:
            rows = await ask.run(lambda s: sql(s, "SELECT revision FROM served_revision"), "worker")
            wrong = await ask.run(undurable, "worker")
        except (SQLAlchemyError, OSError):
            raise Busy("数据库不可用") from None
        if wrong:
            # Some can be changed while we run; who set them learns it here.
            raise Busy(f"数据库可能丢失已提交的数据：{'，'.join(wrong)}")
        if not revisions <= {row.revision for row in rows.all()}:
            raise Busy("数据库结构未升级到本版本，或已不再支持本版本")
        return {"status": "ready"}

    @router.get("/metrics", response_class=Response, responses=_PLAIN, **anyone)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


def clock_routes(env: str) -> APIRouter:
    """The demonstration's clock: forwards only, and not at all in production."""
    router = APIRouter(tags=["clock"])

    @router.get("/v1/clock", **open_to("service", is_public=False))
    async def clock(ask: AskDep) -> ClockOut:
        return await ask.run(_clock, "worker")

    @router.post("/v1/clock", **open_to("service", is_public=False))
    async def move_clock(move: ClockMove, ask: AskDep) -> ClockOut:
        if env == "prod":
            raise ClockNotMovable()
        return await ask.run(lambda session: _move_clock(session, move), "worker")

    return router


async def _clock(session: Session) -> ClockOut:
    row = (await sql(session, "SELECT clock_offset FROM house")).one()
    return ClockOut(now=await instant(session), is_moved=row.clock_offset != timedelta(0))


async def _move_clock(session: Session, move: ClockMove) -> ClockOut:
    house = await session.get_one(House, 1, with_for_update=True)
    machine = (await sql(session, "SELECT clock_timestamp() AS at")).one().at
    used = (await sql(session, "SELECT EXISTS (SELECT FROM log) AS used")).one().used
    offset = min(move.to - machine, timedelta(0))
    # A database that has told nothing yet may start anywhere in the past.
    if used and offset < house.clock_offset:
        raise ClockOnlyForwards()
    house.clock_offset = offset
    await session.flush()
    return await _clock(session)


def add_documents(inner: FastAPI, public: FastAPI) -> None:
    """Serve the public API's description and a page of it, without any other host."""
    assets = str(files("fastapi_offline").joinpath("static"))
    inner.mount("/docs/assets", StaticFiles(directory=assets))

    @inner.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        # Whoever shows a refusal to a person may look up its title by its code.
        return public.openapi() | {"x-refusals": titles()}

    @inner.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=public.title,
            swagger_js_url="/docs/assets/swagger-ui-bundle.js",
            swagger_css_url="/docs/assets/swagger-ui.css",
            swagger_favicon_url="/docs/assets/favicon.png",
        )
