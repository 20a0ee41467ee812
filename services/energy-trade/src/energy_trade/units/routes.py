"""HTTP of the register of units that must go, and those that still run."""

from fastapi import APIRouter, Response
from sqlmodel import col, select

from energy_trade.units import actions
from energy_trade.units.actions import UnitRegisterIn, UnitRegisterOut
from energy_trade.units.rules import remaining_units
from energy_trade.units.tables import ExtractionUnit
from marketkit.db import Session, instant
from marketkit.doors import AskDep, CommandDep, open_to
from marketkit.units import MW, Day, Form, Quantity, day_of


class UnitOut(Form):
    unit_id: str
    name: str
    region_code: str
    capacity_mw: Quantity
    retire_by: Day
    replacement_measure: str
    retired_on: Day | None
    shutdown_id: str | None


class RemainingOut(Form):
    count: int
    capacity_mw: Quantity


class UnitsOut(Form):
    """The units the caller sees, and those of them that still run today."""

    items: list[UnitOut]
    remaining: RemainingOut


def routes() -> APIRouter:
    router = APIRouter(tags=["units"])
    bureau = open_to("bureau_officer", department="energy")
    readers = open_to("county_officer", "bureau_officer", "supervisor", "auditor")

    @router.post("/v1/unit-registers", status_code=201, response_model=UnitRegisterOut, **bureau)
    async def register_units(form: UnitRegisterIn, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(lambda s: actions.register_units(s, caller, form), status=201)

    @router.get("/v1/units", response_model=UnitsOut, **readers)
    async def list_units(ask: AskDep) -> UnitsOut:
        return await ask.run(_units)

    return router


async def _units(session: Session) -> UnitsOut:
    found = (await session.exec(select(ExtractionUnit).order_by(col(ExtractionUnit.id)))).all()
    left = remaining_units([one.plain for one in found], day_of(await instant(session)))
    items = [
        UnitOut(
            unit_id=one.id,
            capacity_mw=MW.format(one.capacity_kw),
            **one.model_dump(exclude={"id", "capacity_kw"}),
        )
        for one in found
    ]
    remaining = RemainingOut(count=left.count, capacity_mw=MW.format(left.capacity_kw))
    return UnitsOut(items=items, remaining=remaining)
