"""HTTP of corrections; who accepted is as quiet as who registered."""

from fastapi import APIRouter, Response

from marketkit.doors import AskDep, CommandDep, open_to
from saleroom.corrections import actions
from saleroom.corrections.actions import CorrectionOut, Corrections
from saleroom.corrections.rules import AcceptanceIn, CorrectionIn
from saleroom.entries.actions import RegistrationOut
from saleroom.markets import Market
from saleroom.notices.routes import open_at_the_city

CORRECTIONS = "/v1/sales/{sale_id}/corrections"
ACCEPTANCES = "/v1/sales/{sale_id}/registrations/{registration_id}/acceptances"


def routes(market: Market) -> APIRouter:
    router = APIRouter()
    center, enterprise = open_at_the_city("trading_center"), open_to("enterprise")

    @router.post(
        CORRECTIONS, status_code=201, response_model=CorrectionOut, tags=["sales"], **center
    )
    async def correct_notice(sale_id: str, form: CorrectionIn, command: CommandDep) -> Response:
        return await command.run(
            lambda s: actions.correct_notice(s, market, sale_id, form), status=201
        )

    @router.get(CORRECTIONS, response_model=Corrections, tags=["sales"], **open_to("anyone"))
    async def list_corrections(sale_id: str, ask: AskDep) -> Corrections:
        return await ask.run(lambda s: actions.corrections_of(s, sale_id))

    @router.post(ACCEPTANCES, response_model=RegistrationOut, tags=["quiet"], **enterprise)
    async def accept_correction(
        sale_id: str, registration_id: str, form: AcceptanceIn, command: CommandDep
    ) -> Response:
        caller = command.caller
        return await command.run(
            lambda s: actions.accept_correction(s, sale_id, registration_id, caller, form)
        )

    return router
