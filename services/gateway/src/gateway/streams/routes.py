"""The board's changes as server-sent events, one event a change, resumable."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from gateway.streams.actions import Hub
from gateway.streams.rules import Noticed, PositionSeal
from marketkit.db import Database
from marketkit.doors import open_to
from marketkit.signing import canonical
from marketkit.units import format_instant

SSE = "text/event-stream"
KEEP_ALIVE_S = 15.0
RECONNECT_MS = 2000
ID_LENGTH_MAX = 1024

_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def routes(
    house: Database,
    sources: Mapping[str, str],
    mac_key: bytes,
    is_stopping: Callable[[], bool],
    keep_alive_s: float = KEEP_ALIVE_S,
) -> APIRouter:
    """`GET /v1/board/stream`: `change` events, and `reset` where all must be looked at anew."""
    hub = Hub(house, list(sources.values()), is_stopping)
    seal = PositionSeal(mac_key, list(sources.values()))
    # A stream lasts as long as somebody looks: its duration would spoil the histogram.
    router = APIRouter(tags=["streams", "quiet"])

    @router.get(
        "/v1/board/stream",
        summary="变更推送（SSE）",
        response_class=StreamingResponse,
        responses={200: {"content": {SSE: {"schema": {"type": "string"}}}}},
        **open_to("anyone"),
    )
    async def stream_board(
        header: Annotated[str, Header(alias="last-event-id", max_length=ID_LENGTH_MAX)] = "",
        last_event_id: Annotated[str, Query(max_length=ID_LENGTH_MAX)] = "",
    ) -> StreamingResponse:
        given = header or last_event_id
        since = seal.open(given) if given else None
        hub.check_room()
        written = _written(hub.watch(since, keep_alive_s), seal)
        return StreamingResponse(written, headers=_HEADERS, media_type=SSE)

    return router


async def _written(notices: AsyncIterator[Noticed], seal: PositionSeal) -> AsyncIterator[bytes]:
    async for noticed in notices:
        yield _event(noticed, seal).encode()


def _event(noticed: Noticed, seal: PositionSeal) -> str:
    what, position, shown = noticed
    if what == "pause":
        return ": keep-alive\n\n"
    place = f"id: {seal.seal(position)}\n"
    if what == "began":
        # Without data nothing is dispatched, but the browser knows where to go on.
        return f"retry: {RECONNECT_MS}\n{place}\n"
    said = {}
    if shown is not None:
        said = {
            "market": shown.market,
            "kind": shown.kind,
            "sale_id": shown.sale_id or None,
            "changed_at": format_instant(shown.changed_at),
        }
    return f"event: {what}\n{place}data: {canonical(said).decode()}\n\n"
