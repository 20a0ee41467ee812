"""Pages for people under `/`; what they show is the board, and they need no script to be read."""

from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from contracts import asyncapi
from contracts.catalogue import event_types
from gateway.board import actions as board
from gateway.board.actions import BoardSaleUnknown, Page
from gateway.board.routes import PageNumber
from gateway.board.rules import ENDED_STATES
from gateway.holdings import rules as wording
from gateway.pages import rules
from marketkit.codes import CITY, REGION_NAMES
from marketkit.db import Session
from marketkit.doors import AskDep, Asked, open_to
from marketkit.errors import Busy, NotFound

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
ProofOf = Callable[[str, str, str, str], Awaitable[dict[str, Any] | None]]
STATIC = {"board.css": "text/css", "board.js": "text/javascript"}


class FileUnknown(NotFound):
    title = "没有这个文件"


def _words() -> Environment:
    found = Environment(
        loader=PackageLoader("gateway.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals.update(rules=rules, wording=wording, city=REGION_NAMES[CITY])
    return found


WORDS = _words()


def routes(
    sources: Mapping[str, str],
    title_of: Callable[[str], Awaitable[str | None]],
    proof_of: ProofOf,
) -> APIRouter:
    """The pages, their style sheet and their script.

    Args:
        sources: By market, the name under which its service speaks.
        title_of: The title of a refusal's code, the gateway's own or a service's.
        proof_of: What its service says of a paper: by sale, kind, id and digest.
    """
    router = APIRouter(tags=["pages"], include_in_schema=False)
    _add_board(router, sources)
    _add_events(router)
    _add_proofs(router, proof_of)
    anyone = open_to("anyone", is_public=False)

    @router.get("/problems/{code}", **anyone)
    async def problem(code: str) -> Response:
        title = rules.BID_CODES.get(code) or await title_of(code)
        if title is None:
            return _page("missing.html", NotFound.status, said="没有这个代码的说明")
        return _page("problem.html", code=code, title=title)

    @router.get("/static/{name}", **anyone)
    async def static(name: str) -> Response:
        if name not in STATIC:
            raise FileUnknown()
        body = files("gateway.pages").joinpath("static", name).read_bytes()
        return Response(body, headers=HEADERS, media_type=f"{STATIC[name]}; charset=utf-8")

    return router


def _add_board(router: APIRouter, sources: Mapping[str, str]) -> None:
    anyone = open_to("anyone", is_public=False)

    @router.get("/", **anyone)
    async def home(ask: AskDep) -> Response:
        totals = await ask.run(board.holdings, "market")
        return _page("home.html", totals=totals, **await _seen(ask, sources, _home))

    @router.get("/sales/{sale_id}", **anyone)
    async def sale(sale_id: str, ask: AskDep, page: PageNumber = 1) -> Response:
        try:
            seen = await _seen(ask, sources, lambda s: _sale(s, sale_id, page))
        except BoardSaleUnknown as unknown:
            return _page("missing.html", unknown.status, said=unknown.title)
        return _page("sale.html", **seen)

    @router.get("/announcements", **anyone)
    async def announcements(ask: AskDep, page: PageNumber = 1) -> Response:
        return _page("announcements.html", **await _seen(ask, sources, lambda s: _news(s, page)))


def _add_events(router: APIRouter) -> None:
    """What other systems may rely on: the events, their schemas, the wires."""
    anyone = open_to("anyone", is_public=False)

    @router.get("/events", **anyone)
    async def events() -> Response:
        channels = rules.channels(asyncapi.document())
        count = sum(len(channel["events"]) for channel in channels)
        return _page("events.html", channels=channels, count=count)

    @router.get("/asyncapi.json", **anyone)
    async def wires() -> Response:
        return Response(asyncapi.text(), headers=HEADERS, media_type="application/json")

    @router.get("/schemas/{name}", **anyone)
    async def schema(name: str) -> Response:
        if name.removesuffix(".json") not in event_types() or not name.endswith(".json"):
            raise FileUnknown()
        body = files("contracts").joinpath("schemas", name).read_bytes()
        return Response(body, headers=HEADERS, media_type="application/schema+json")


def _add_proofs(router: APIRouter, proof_of: ProofOf) -> None:
    """Where the code on a paper leads. Quiet: a receipt looked at is a bid or a deposit made."""

    @router.get(
        "/proofs/{sale_id}/{kind}/{paper_id}",
        tags=["quiet"],
        **open_to("anyone", is_public=False),
    )
    async def proof(sale_id: str, kind: str, paper_id: str, sm3: str = "") -> Response:
        proven = None
        try:
            if rules.may_be_paper(sale_id, kind, paper_id, sm3):
                proven = await proof_of(sale_id, kind, paper_id, sm3)
        except Busy as busy:
            answer = _page("unproven.html", busy.status, is_known=False)
            answer.headers["Retry-After"] = str(busy.retry_after_s or 1)
        else:
            answer = (
                _page("proof.html", proof=proven)
                if proven
                else _page("unproven.html", NotFound.status, is_known=True)
            )
        answer.headers["Cache-Control"] = "no-store"
        return answer


def _page(template: str, status: int = 200, **shown: Any) -> Response:
    text = WORDS.get_template(template).render(**shown)
    return Response(text, status, HEADERS, media_type="text/html; charset=utf-8")


async def _seen(
    ask: Asked, sources: Mapping[str, str], look: Callable[[Session], Any]
) -> dict[str, Any]:
    staleness = await ask.run(lambda s: board.staleness(s, sources), "worker")
    shown: dict[str, Any] = await ask.run(look)
    return shown | {"sources": staleness}


async def _home(session: Session) -> dict[str, Any]:
    running = await board.sales(session, Page(1, 20), states=rules.RUNNING)
    ended = await board.sales(session, Page(1, 20), states=ENDED_STATES)
    news = await board.announcements(session, Page(1, 6))
    known = [found.as_of for found in (running, ended) if found.as_of]
    as_of = max(known, default=None)
    return {"running": running.sales, "ended": ended.sales, "news": news, "as_of": as_of}


async def _sale(session: Session, sale_id: str, page: int) -> dict[str, Any]:
    sale = await board.sale(session, sale_id)
    settlements = await board.settlements(session, sale_id, Page(1, 200))
    kinds = [step.kind for step in sale.steps]
    return {
        "sale": sale,
        "course": rules.course(sale.state, kinds),
        "given_up": rules.given_up(kinds),
        "unit": rules.unit_title(sale.asset),
        "bids": await board.bids(session, sale_id, Page(page, 50)),
        "news": await board.announcements(session, Page(1, 50), sale_id=sale_id),
        "awards": await board.awards(session, sale_id, Page(1, 200)),
        "settled": {(one.bidder, one.project_code): one for one in settlements.settlements},
        "as_of": sale.as_of,
    }


async def _news(session: Session, page: int) -> dict[str, Any]:
    found = await board.announcements(session, Page(page, 20))
    return {"found": found, "as_of": found.as_of}
