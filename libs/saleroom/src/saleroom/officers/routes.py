"""HTTP of key officers: their keys, and the drill before an announcement."""

from fastapi import APIRouter, Response

from marketkit.doors import AskDep, CommandDep, open_to
from saleroom.markets import Market
from saleroom.notices.routes import open_at_the_city
from saleroom.notices.rules import RegionNotAllowed
from saleroom.officers import actions
from saleroom.officers.actions import (
    AnswerIn,
    AnswerOut,
    DrillOut,
    DrillRef,
    OfficerIn,
    OfficerOut,
)

DRILLS = "/v1/sales/{sale_id}/drills"


def routes(market: Market) -> APIRouter:
    router = APIRouter(tags=["officers"])
    center, officer = open_at_the_city("trading_center"), open_to("key_officer")

    @router.post("/v1/key-officers", response_model=OfficerOut, **officer)
    async def register_key_officer(form: OfficerIn, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(lambda s: actions.register_key_officer(s, caller, form))

    @router.post(DRILLS, status_code=201, response_model=DrillRef, **center)
    async def begin_drill(sale_id: str, command: CommandDep) -> Response:
        return await command.run(lambda s: actions.begin_drill(s, sale_id), status=201)

    @router.post(DRILLS + "/{drill_id}/answers", response_model=AnswerOut, **officer)
    async def answer_drill(
        sale_id: str, drill_id: str, form: AnswerIn, command: CommandDep
    ) -> Response:
        caller = command.caller
        return await command.run(lambda s: actions.answer_drill(s, sale_id, drill_id, caller, form))

    @router.get(
        "/v1/sales/{sale_id}/drill",
        response_model=DrillOut,
        **open_to("key_officer", "trading_center"),
    )
    async def show_drill(sale_id: str, ask: AskDep) -> DrillOut:
        assert ask.caller is not None
        caller = ask.caller
        # Of the trading centre's, those of the city: a sale is no county's.
        if "key_officer" not in caller.roles and not caller.is_citywide:
            raise RegionNotAllowed()
        return await ask.run(lambda s: actions.drill_of(s, sale_id, caller))

    return router
