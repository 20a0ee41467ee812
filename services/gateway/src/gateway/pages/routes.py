"""Pages for people under `/`; what they show is the board, and they are made without a script."""

from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from gateway.board import rules as wording
from gateway.pages import actions, rules
from gateway.pages.actions import SaleFile, latest
from marketkit.codes import CITY
from marketkit.db import Session
from marketkit.doors import AskDep, open_to
from marketkit.errors import NotFound, refusals

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
STATIC = {"board.css": "text/css", "board.js": "text/javascript"}
ANNOUNCEMENTS_PAGE = 20

PageNumber = Annotated[int, Query(ge=1, le=100_000)]


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
    found.globals.update(rules=rules, wording=wording, city=rules.region_name(CITY))
    return found


WORDS = _words()


def _page(template: str, status: int = 200, **shown: Any) -> Response:
    text = WORDS.get_template(template).render(**shown)
    return Response(text, status, HEADERS, media_type="text/html; charset=utf-8")


def routes() -> APIRouter:
    router = APIRouter(tags=["pages"], include_in_schema=False)
    anyone = open_to("anyone", is_public=False)

    @router.get("/", **anyone)
    async def home(ask: AskDep) -> Response:
        totals = await ask.run(actions.regional_totals, "market")
        return _page("home.html", totals=totals, **await ask.run(_home))

    @router.get("/sales/{sale_id}", **anyone)
    async def sale(sale_id: str, ask: AskDep, page: PageNumber = 1) -> Response:
        found = await ask.run(lambda s: actions.sale_file(s, sale_id, page))
        return _missing("没有这场交易") if found is None else _sale(found)

    @router.get("/announcements", **anyone)
    async def announcements(ask: AskDep, page: PageNumber = 1) -> Response:
        found = await ask.run(lambda s: actions.announcements(s, page, ANNOUNCEMENTS_PAGE))
        as_of = latest(*(row.published_at for row in found.rows))
        return _page("announcements.html", found=found, as_of=as_of)

    @router.get("/problems/{code}", **anyone)
    async def problem(code: str, request: Request) -> Response:
        found = rules.explained(code, refusals() | getattr(request.app.state, "problems", {}))
        return _page("problem.html", found=found) if found else _missing("没有这个代码")

    @router.get("/static/{name}", **anyone)
    async def static(name: str) -> Response:
        if name not in STATIC:
            raise FileUnknown()
        body = files("gateway.pages").joinpath("static", name).read_bytes()
        return Response(body, headers=HEADERS, media_type=f"{STATIC[name]}; charset=utf-8")

    return router


async def _home(session: Session) -> dict[str, Any]:
    running, ended = await actions.running_sales(session), await actions.ended_sales(session)
    news = await actions.announcements(session, 1, actions.HOME_ANNOUNCEMENTS_MAX)
    return {
        "running": running,
        "ended": ended,
        "news": news.rows,
        "as_of": latest(*(sale.as_of for sale in (*running, *ended))),
    }


def _sale(found: SaleFile) -> Response:
    asset = found.sale.asset
    return _page(
        "sale.html",
        file=found,
        sale=found.sale,
        unit=rules.unit_title(asset),
        course=rules.course(found.sale.state, found.sale.state_before),
        as_of=found.sale.as_of,
    )


def _missing(said: str) -> Response:
    return _page("missing.html", 404, said=said)
