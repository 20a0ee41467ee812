"""HTTP of issues: asked for by one officer of the energy bureau, confirmed by another."""

from fastapi import APIRouter, Response

from energy_trade.issues import actions
from energy_trade.issues.actions import IssueIn, IssueOut, IssueRequestOut
from marketkit.countersign import RequestOut
from marketkit.doors import AskDep, CommandDep, open_to

REQUESTS = "/v1/issues/requests"


def routes() -> APIRouter:
    router = APIRouter(tags=["issues"])
    bureau = open_to("bureau_officer", department="energy")

    @router.post(REQUESTS, status_code=201, response_model=RequestOut, **bureau)
    async def request_issue(form: IssueIn, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(
            lambda s: actions.request_issue(s, caller, form),
            status=201,
            location=REQUESTS + "/{request_id}",
        )

    @router.get(REQUESTS + "/{request_id}", response_model=IssueRequestOut, **bureau)
    async def show_issue_request(request_id: str, ask: AskDep) -> IssueRequestOut:
        caller = ask.caller
        assert caller is not None
        return await ask.run(lambda s: actions.show_issue_request(s, caller, request_id), "market")

    @router.post(
        REQUESTS + "/{request_id}/confirmations",
        status_code=201,
        response_model=IssueOut,
        **bureau,
    )
    async def confirm_issue(request_id: str, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(lambda s: actions.confirm_issue(s, caller, request_id), status=201)

    return router
