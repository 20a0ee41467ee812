"""The register of units that must go: entered whole, and each unit retired by its shutdown."""

from datetime import date, datetime
from typing import Annotated

from pydantic import Field, model_validator
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import col

from contracts.energy import UnitRegistered, UnitRetired
from energy_trade.accounts.actions import check_citywide
from energy_trade.policy import Policy, policy_on
from energy_trade.units.rules import (
    Unit,
    UnitRegisterStands,
    check_register,
    check_unit,
)
from energy_trade.units.tables import ExtractionUnit, UnitRegister
from marketkit.codes import CountyCode
from marketkit.db import Session, instant
from marketkit.identity import Caller
from marketkit.outbox import Telling, tell_all
from marketkit.rows import insert_all
from marketkit.units import MW, Day, Edge, Form, LongText, Quantity, Text, day_of

CapacityMw = Annotated[int, Edge(MW, positive=True)]
UNITS_MAX = 200


class UnitIn(Form):
    unit_id: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,40}$")]
    name: Text
    region_code: CountyCode
    capacity_mw: CapacityMw
    retire_by: Day
    replacement_measure: LongText


class UnitRegisterIn(Form):
    """The whole register."""

    units: Annotated[list[UnitIn], Field(min_length=1, max_length=UNITS_MAX)]

    @model_validator(mode="after")
    def _each_unit_once(self) -> "UnitRegisterIn":
        if len({unit.unit_id for unit in self.units}) < len(self.units):
            raise ValueError("机组编号重复")
        return self


class UnitRegisterOut(Form):
    count: int
    capacity_mw: Quantity
    policy_version: str


async def register_units(session: Session, caller: Caller, form: UnitRegisterIn) -> UnitRegisterOut:
    """Enter the whole register of units that must go, once.

    Raises:
        CityOfficerRequired: the caller is of one county.
        UnitNotOnList: art. 4, a unit as large as those that may stay.
        UnitRetiresTooLate: art. 4, a unit planned past the last day.
        UnitRegisterIncomplete: art. 4, another number of units, or another capacity in all.
        UnitRegisterStands: it was entered before.
    """
    check_citywide(caller)
    at = await instant(session)
    policy = policy_on(day_of(at))
    units = [Unit(one.capacity_mw, one.retire_by) for one in form.units]
    for unit in units:
        check_unit(unit, policy)
    check_register(units, policy)
    register = upsert(UnitRegister).values(
        id=1, registered_at=at, registered_by=caller.sub, policy_version=policy.version
    )
    new = register.on_conflict_do_nothing().returning(col(UnitRegister.id))
    if (await session.exec(new)).first() is None:
        raise UnitRegisterStands()
    rows = [
        {"id": one.unit_id, "capacity_kw": one.capacity_mw}
        | one.model_dump(exclude={"unit_id", "capacity_mw", "retire_by"})
        | {"retire_by": one.retire_by}
        for one in form.units
    ]
    await insert_all(session, ExtractionUnit, rows)
    await tell_all(session, [_registered(one, at, policy) for one in form.units])
    return UnitRegisterOut(
        count=len(units),
        capacity_mw=MW.format(sum(unit.capacity_kw for unit in units)),
        policy_version=policy.version,
    )


def _registered(unit: UnitIn, at: datetime, policy: Policy) -> Telling:
    fact = UnitRegistered(
        unit_id=unit.unit_id,
        name=unit.name,
        region_code=unit.region_code,
        capacity_mw=MW.format(unit.capacity_mw),
        retire_by=unit.retire_by,
        replacement_measure=unit.replacement_measure,
    )
    return Telling(fact, unit.unit_id, region_code=unit.region_code, at=at,
                   policy_version=policy.version)  # fmt: skip


async def locked_unit(session: Session, unit_id: str, region_code: str) -> ExtractionUnit | None:
    """The unit, if the register of this county holds it, locked for its shutdown."""
    unit = await session.get(ExtractionUnit, unit_id, with_for_update=True)
    return unit if unit is not None and unit.region_code == region_code else None


def retire(unit: ExtractionUnit, on: date, shutdown_id: str) -> Telling:
    """Note on the locked unit that it was shut; the caller tells it with the shutdown."""
    unit.retired_on, unit.shutdown_id = on, shutdown_id
    return Telling(UnitRetired(unit_id=unit.id, retired_on=on, shutdown_id=shutdown_id), unit.id)
