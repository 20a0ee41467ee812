"""The board as JSON, open to all; every answer with `as_of` and how current each source is."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, TypeVar
from xml.etree import ElementTree

from fastapi import APIRouter, Query, Request, Response

from gateway.board import actions
from gateway.board.actions import Page
from gateway.board.rules import (
    AnnouncementsOut,
    Answer,
    AwardsOut,
    BidsOut,
    HoldingsOut,
    OwnHoldingsOut,
    SaleOut,
    SalesOut,
    SettlementsOut,
)
from gateway.holdings.actions import own_holdings
from marketkit.db import Role, Session
from marketkit.doors import AskDep, Asked, open_to
from marketkit.units import format_instant

A = TypeVar("A", Answer, SaleOut, SalesOut, BidsOut, AwardsOut, SettlementsOut, HoldingsOut,
            AnnouncementsOut, OwnHoldingsOut)  # fmt: skip

ATOM = "http://www.w3.org/2005/Atom"
ATOM_TYPE = "application/atom+xml"
FEED_MAX = 50

PageNumber = Annotated[int, Query(ge=1, le=100_000)]
PageSize = Annotated[int, Query(ge=1, le=200)]
Filter = Annotated[str, Query(max_length=20)]


async def answered(
    ask: Asked,
    sources: Mapping[str, str],
    look: Callable[[Session], Awaitable[A]],
    role: Role = "scoped",
) -> A:
    """What a look-up finds, with how current it is; asked before, so that it is never flattered."""
    staleness = await ask.run(lambda s: actions.staleness(s, sources), "worker")
    found = await ask.run(look, role)
    return found.model_copy(update={"sources": tuple(staleness)})


def routes(sources: Mapping[str, str]) -> APIRouter:
    """Sales, what was revealed and settled of each, holdings by region, announcements."""
    router, anyone = APIRouter(tags=["board"], prefix="/v1/board"), open_to("anyone")

    @router.get("/sales", summary="交易列表", **anyone)
    async def board_sales(
        ask: AskDep,
        market: Annotated[Filter, Query(alias="filter[market]")] = "",
        state: Annotated[Filter, Query(alias="filter[state]")] = "",
        page: PageNumber = 1,
        page_size: PageSize = 20,
    ) -> SalesOut:
        states = [state] if state else []
        at = Page(page, page_size)
        return await answered(
            ask, sources, lambda s: actions.sales(s, at, market=market, states=states)
        )

    @router.get("/sales/{sale_id}", summary="交易详情", **anyone)
    async def board_sale(ask: AskDep, sale_id: str) -> SaleOut:
        return await answered(ask, sources, lambda s: actions.sale(s, sale_id))

    @router.get("/sales/{sale_id}/bids", summary="开标后公布的报价", **anyone)
    async def board_bids(
        ask: AskDep, sale_id: str, page: PageNumber = 1, page_size: PageSize = 20
    ) -> BidsOut:
        at = Page(page, page_size)
        return await answered(ask, sources, lambda s: actions.bids(s, sale_id, at))

    @router.get("/sales/{sale_id}/awards", summary="成交明细", **anyone)
    async def board_awards(
        ask: AskDep, sale_id: str, page: PageNumber = 1, page_size: PageSize = 20
    ) -> AwardsOut:
        at = Page(page, page_size)
        return await answered(ask, sources, lambda s: actions.awards(s, sale_id, at))

    @router.get("/sales/{sale_id}/settlements", summary="履约情况", **anyone)
    async def board_settlements(
        ask: AskDep, sale_id: str, page: PageNumber = 1, page_size: PageSize = 20
    ) -> SettlementsOut:
        at = Page(page, page_size)
        return await answered(ask, sources, lambda s: actions.settlements(s, sale_id, at))

    @router.get("/holdings", summary="各县区持有量", **anyone)
    async def board_holdings(ask: AskDep) -> HoldingsOut:
        return await answered(ask, sources, actions.holdings, "market")

    add_own_holdings(router, sources)
    add_announcements(router, sources)
    return router


def add_own_holdings(router: APIRouter, sources: Mapping[str, str]) -> None:
    @router.get("/holdings/own", summary="本企业持有量", **open_to("enterprise"))
    async def board_own_holdings(ask: AskDep) -> OwnHoldingsOut:
        return await answered(ask, sources, own)


async def own(session: Session) -> OwnHoldingsOut:
    found = await own_holdings(session)
    return OwnHoldingsOut(holdings=found, as_of=max((one.as_of for one in found), default=None))


def add_announcements(router: APIRouter, sources: Mapping[str, str]) -> None:
    anyone = open_to("anyone")

    @router.get("/announcements", summary="公告列表", **anyone)
    async def board_announcements(
        ask: AskDep, page: PageNumber = 1, page_size: PageSize = 20
    ) -> AnnouncementsOut:
        at = Page(page, page_size)
        return await answered(ask, sources, lambda s: actions.announcements(s, at))

    @router.get(
        "/announcements.atom",
        summary="公告订阅（Atom）",
        response_class=Response,
        responses={200: {"content": {ATOM_TYPE: {"schema": {"type": "string"}}}}},
        **anyone,
    )
    async def board_announcements_feed(request: Request, ask: AskDep) -> Response:
        found = await ask.run(lambda s: actions.announcements(s, Page(1, FEED_MAX)))
        return Response(atom(found, str(request.base_url)), media_type=ATOM_TYPE)


def atom(found: AnnouncementsOut, base_url: str) -> bytes:
    """An Atom feed of announcements; before the first it was updated at the beginning of time."""
    ElementTree.register_namespace("", ATOM)
    feed = ElementTree.Element(f"{{{ATOM}}}feed", {"xml:lang": "zh-CN"})
    updated = format_instant(found.as_of) if found.as_of else "1970-01-01T00:00:00Z"
    _add(feed, "id", "urn:yaosu:announcements")
    _add(feed, "title", "要素市场公告")
    _add(feed, "updated", updated)
    _add(feed, "link", rel="self", href=f"{base_url}v1/board/announcements.atom")
    for told in found.announcements:
        entry = ElementTree.SubElement(feed, f"{{{ATOM}}}entry")
        _add(entry, "id", f"urn:yaosu:announcement:{told.id}")
        _add(entry, "title", told.title)
        _add(entry, "updated", format_instant(told.published_at))
        _add(ElementTree.SubElement(entry, f"{{{ATOM}}}author"), "name", "公共资源交易中心")
        _add(entry, "link", rel="alternate", href=f"{base_url}sales/{told.sale_id}")
        if told.kind == "SALE_AGAIN":
            _add(entry, "link", rel="related", href=f"{base_url}sales/{told.follows_sale_id}")
        _add(entry, "content", told.body, type="text")
    return str.encode(ElementTree.tostring(feed, "unicode", xml_declaration=True))


def _add(parent: ElementTree.Element, name: str, text: str = "", **attributes: str) -> None:
    element = ElementTree.SubElement(parent, f"{{{ATOM}}}{name}", attributes)
    element.text = text or None
