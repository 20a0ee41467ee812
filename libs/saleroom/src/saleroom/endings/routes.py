"""HTTP of cancellations: asked for by one officer, confirmed by another."""

from fastapi import APIRouter, Response

from marketkit.countersign import RequestOut
from marketkit.doors import CommandDep
from saleroom.endings import actions
from saleroom.markets import Market
from saleroom.notices.actions import ReasonIn, SaleRef
from saleroom.notices.routes import open_at_the_city

CANCELLATIONS = "/v1/sales/{sale_id}/cancellations/requests"


def routes(market: Market) -> APIRouter:
    router = APIRouter(tags=["sales"])
    center = open_at_the_city("trading_center")

    @router.post(CANCELLATIONS, status_code=201, response_model=RequestOut, **center)
    async def ask_to_cancel(sale_id: str, form: ReasonIn, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(
            lambda s: actions.ask_to_cancel(s, sale_id, caller, form), status=201
        )

    @router.post(CANCELLATIONS + "/{request_id}/confirmations", response_model=SaleRef, **center)
    async def cancel_sale(sale_id: str, request_id: str, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(
            lambda s: actions.cancel_sale(s, market, sale_id, request_id, caller)
        )

    return router
