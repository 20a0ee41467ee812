"""HTTP of reversals: asked for by one officer, confirmed by another. Quiet, as all money."""

from fastapi import APIRouter, Response

from marketkit.countersign import RequestOut
from marketkit.doors import CommandDep
from saleroom.allocations.actions import BankBookingOut
from saleroom.markets import Market
from saleroom.notices.routes import open_at_the_city
from saleroom.reversals import actions
from saleroom.reversals.actions import ReversalIn

REVERSALS = "/v1/sales/{sale_id}/reversals/requests"


def routes(market: Market) -> APIRouter:
    router = APIRouter(tags=["quiet"])
    center = open_at_the_city("trading_center")

    @router.post(REVERSALS, status_code=201, response_model=RequestOut, **center)
    async def ask_to_reverse(sale_id: str, form: ReversalIn, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(
            lambda s: actions.ask_to_reverse(s, sale_id, caller, form), status=201
        )

    @router.post(REVERSALS + "/{request_id}/confirmations", response_model=BankBookingOut, **center)
    async def reverse(sale_id: str, request_id: str, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(lambda s: actions.reverse(s, sale_id, request_id, caller))

    return router
