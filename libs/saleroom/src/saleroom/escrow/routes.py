"""HTTP of the escrow account: reconciled with treasury and ledger; forfeits remitted.

Quiet. Who does not book money sees nothing of a sale that is not opened.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from marketkit.doors import AskDep, Asked, CommandDep
from marketkit.units import Day
from saleroom.deliveries.actions import DeliveryIn
from saleroom.escrow import actions
from saleroom.escrow.actions import Reconciliation
from saleroom.markets import Market
from saleroom.notices.routes import open_at_the_city
from saleroom.settlements.actions import SettlementOut

ONE = "/v1/sales/{sale_id}/settlements/{registration_id}/forfeit-remittances"
OnDay = Annotated[Day | None, Query(alias="on")]


def routes(market: Market) -> APIRouter:
    router = APIRouter(tags=["quiet"])
    bureau = open_at_the_city("bureau_officer", department=market.department)
    readers = open_at_the_city("trading_center", "auditor", "supervisor")

    @router.post(ONE, response_model=SettlementOut, **bureau)
    async def remit_forfeit(
        sale_id: str, registration_id: str, form: DeliveryIn, command: CommandDep
    ) -> Response:
        return await command.run(lambda s: actions.remit_forfeit(s, sale_id, registration_id, form))

    @router.get("/v1/escrow-reconciliation", response_model=Reconciliation, **readers)
    async def reconcile_escrow(ask: AskDep, on: OnDay = None) -> Reconciliation:
        # The ledger's movements are no scope's: only this door lets one see their sums.
        return await ask.run(
            lambda s: actions.reconcile_escrow(s, None, on, sees_sealed=_books(ask)), "worker"
        )

    @router.get(
        "/v1/sales/{sale_id}/escrow-reconciliation", response_model=Reconciliation, **readers
    )
    async def reconcile_sale(sale_id: str, ask: AskDep, on: OnDay = None) -> Reconciliation:
        return await ask.run(
            lambda s: actions.reconcile_escrow(s, sale_id, on, sees_sealed=_books(ask)), "worker"
        )

    return router


def _books(ask: Asked) -> bool:
    return ask.caller is not None and "trading_center" in ask.caller.roles
