"""HTTP of settlements: confirmation, contract, payment, default."""

from fastapi import APIRouter, Response

from marketkit.doors import AskDep, CommandDep, open_to
from saleroom.markets import Market
from saleroom.notices.actions import SaleRef
from saleroom.notices.routes import open_at_the_city
from saleroom.settlements import actions
from saleroom.settlements.actions import PaymentIn, SettlementOut

ONE = "/v1/sales/{sale_id}/settlements/{registration_id}"


def routes(market: Market) -> APIRouter:
    router = APIRouter(tags=["settlements"])
    bureau = open_at_the_city("bureau_officer", department=market.department)
    center = open_at_the_city("trading_center")

    @router.post("/v1/sales/{sale_id}/confirmations", response_model=SaleRef, **bureau)
    async def confirm_sale(sale_id: str, command: CommandDep) -> Response:
        return await command.run(lambda s: actions.confirm_sale(s, market, sale_id))

    @router.post(ONE + "/contracts", response_model=SettlementOut, **open_to("enterprise"))
    async def sign_contract(sale_id: str, registration_id: str, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(
            lambda s: actions.sign_contract(s, sale_id, registration_id, caller)
        )

    @router.post(ONE + "/payments", response_model=SettlementOut, **center)
    async def record_payment(
        sale_id: str, registration_id: str, form: PaymentIn, command: CommandDep
    ) -> Response:
        return await command.run(
            lambda s: actions.record_payment(s, sale_id, registration_id, form)
        )

    @router.post(ONE + "/defaults", response_model=SettlementOut, **center)
    async def declare_default(sale_id: str, registration_id: str, command: CommandDep) -> Response:
        return await command.run(lambda s: actions.declare_default(s, sale_id, registration_id))

    _add_reads(router, market)
    return router


def _add_reads(router: APIRouter, market: Market) -> None:
    readers = open_to(
        "enterprise", "trading_center", "bureau_officer", "supervisor", "auditor",
        department=market.department,
    )  # fmt: skip

    @router.get("/v1/sales/{sale_id}/settlements", response_model=actions.Settlements, **readers)
    async def list_settlements(sale_id: str, ask: AskDep) -> actions.Settlements:
        return await ask.run(lambda s: actions.settlements_of(s, sale_id))
