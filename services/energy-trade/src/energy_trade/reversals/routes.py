"""HTTP of reversals of issues: asked for by one officer of the bureau, confirmed by another."""

from fastapi import APIRouter, Response

from energy_trade.issues.actions import IssueOut
from energy_trade.reversals import actions
from marketkit.countersign import RequestOut
from marketkit.doors import AskDep, CommandDep, open_to
from marketkit.reversal import Reversal, ReversalIn

REVERSALS = "/v1/issues/{lot}/reversals/requests"


def routes() -> APIRouter:
    router = APIRouter(tags=["issues"])
    bureau = open_to("bureau_officer", department="energy")

    @router.post(REVERSALS, status_code=201, response_model=RequestOut, **bureau)
    async def request_reversal(lot: str, form: ReversalIn, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(
            lambda s: actions.request_reversal(s, caller, lot, form), status=201
        )

    @router.get(REVERSALS + "/{request_id}", response_model=Reversal, **bureau)
    async def show_reversal_request(lot: str, request_id: str, ask: AskDep) -> Reversal:
        caller = ask.caller
        assert caller is not None
        return await ask.run(
            lambda s: actions.show_reversal_request(s, caller, lot, request_id), "market"
        )

    @router.post(REVERSALS + "/{request_id}/confirmations", response_model=IssueOut, **bureau)
    async def confirm_reversal(lot: str, request_id: str, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(lambda s: actions.confirm_reversal(s, caller, lot, request_id))

    return router
