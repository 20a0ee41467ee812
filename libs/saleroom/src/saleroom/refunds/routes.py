"""HTTP of the refund list. Quiet: a withdrawal before the opening is a participant."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from marketkit.doors import AskDep
from saleroom.exports import CSV, SHEETS, XLSX, Encoding, csv_bytes, download, xlsx_bytes
from saleroom.markets import Market
from saleroom.notices.routes import open_at_the_city
from saleroom.refunds import actions
from saleroom.refunds.rules import Refunds, Which, sheet_of


def routes(market: Market) -> APIRouter:
    router = APIRouter(tags=["quiet"])
    center = open_at_the_city("trading_center")

    @router.get("/v1/refunds", response_model=Refunds, **center)
    async def list_refunds(ask: AskDep, state: Which = "open") -> Refunds:
        return await ask.run(lambda s: actions.refunds_of(s, state))

    @router.get("/v1/refunds.xlsx", response_class=Response, responses=SHEETS, **center)
    async def refund_sheet(ask: AskDep, state: Which = "open") -> Response:
        found = await ask.run(lambda s: actions.refunds_of(s, state))
        return Response(xlsx_bytes(sheet_of(found)), 200, download("refunds.xlsx"), XLSX)

    @router.get("/v1/refunds.csv", response_class=Response, responses=SHEETS, **center)
    async def refund_csv(
        ask: AskDep,
        state: Which = "open",
        encoding: Annotated[Encoding, Query()] = "utf-8",
    ) -> Response:
        found = await ask.run(lambda s: actions.refunds_of(s, state))
        body = csv_bytes(sheet_of(found), encoding)
        return Response(body, 200, download("refunds.csv"), CSV[encoding])

    return router
