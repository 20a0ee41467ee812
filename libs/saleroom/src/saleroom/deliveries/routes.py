"""HTTP of deliveries; a reversal is asked for by one officer and confirmed by another."""

from fastapi import APIRouter, Response

from marketkit.countersign import RequestOut
from marketkit.doors import AskDep, CommandDep
from marketkit.reversal import Reversal, ReversalIn
from saleroom.deliveries import actions
from saleroom.deliveries.actions import DeliveryIn
from saleroom.markets import Market
from saleroom.notices.routes import open_at_the_city
from saleroom.settlements.actions import SettlementOut
from saleroom.settlements.routes import ONE

REQUESTS = ONE + "/delivery-reversals/requests"


def routes(market: Market) -> APIRouter:
    router = APIRouter(tags=["settlements"])
    bureau = open_at_the_city("bureau_officer", department=market.department)

    @router.post(ONE + "/deliveries", response_model=SettlementOut, **bureau)
    async def deliver(
        sale_id: str, registration_id: str, form: DeliveryIn, command: CommandDep
    ) -> Response:
        return await command.run(
            lambda s: actions.deliver(s, market, sale_id, registration_id, form)
        )

    @router.post(REQUESTS, status_code=201, response_model=RequestOut, **bureau)
    async def ask_to_reverse_delivery(
        sale_id: str, registration_id: str, form: ReversalIn, command: CommandDep
    ) -> Response:
        caller = command.caller
        return await command.run(
            lambda s: actions.ask_to_reverse_delivery(s, sale_id, registration_id, caller, form),
            status=201,
        )

    @router.get(REQUESTS + "/{request_id}", response_model=Reversal, **bureau)
    async def show_delivery_reversal_request(
        sale_id: str, registration_id: str, request_id: str, ask: AskDep
    ) -> Reversal:
        return await ask.run(
            lambda s: actions.show_delivery_reversal_request(s, registration_id, request_id),
            "market",
        )

    @router.post(REQUESTS + "/{request_id}/confirmations", response_model=SettlementOut, **bureau)
    async def reverse_delivery(
        sale_id: str, registration_id: str, request_id: str, command: CommandDep
    ) -> Response:
        caller = command.caller
        return await command.run(
            lambda s: actions.reverse_delivery(s, sale_id, registration_id, request_id, caller)
        )

    return router
