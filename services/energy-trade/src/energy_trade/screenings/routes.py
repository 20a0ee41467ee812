"""HTTP of screenings."""

from fastapi import APIRouter, Response

from energy_trade.screenings import actions
from energy_trade.screenings.rules import county_of
from marketkit.doors import AskDep, CommandDep, open_to


def routes() -> APIRouter:
    """Screening by the county's own officers; lists by who may see the rows."""
    router = APIRouter(tags=["screenings"])

    @router.post(
        "/v1/screenings",
        status_code=201,
        response_model=actions.ScreeningOut,
        summary="县区筛选项目",
        **open_to("county_officer"),
    )
    async def screen_project(command: CommandDep, form: actions.ScreeningIn) -> Response:
        county = county_of(command.caller.region_code)
        return await command.run(
            lambda session: actions.screen_project(session, form, county),
            status=201,
            role="scoped",
        )

    @router.get(
        "/v1/screenings",
        summary="已筛选项目",
        **open_to("county_officer", "bureau_officer", "enterprise", "supervisor", "auditor"),
    )
    async def screenings(ask: AskDep) -> list[actions.ScreeningOut]:
        return await ask.run(actions.screenings)

    return router
