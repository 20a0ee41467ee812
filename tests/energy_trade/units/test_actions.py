import asyncio
from typing import Any

import pytest

from builders import a_caller
from energy_office import CAPACITIES, SECOND, Office, a_register, a_unit
from energy_trade.units.actions import UnitRegisterIn, register_units
from energy_trade.units.rules import UnitRegisterIncomplete, UnitRegisterStands

OFFICER = a_caller("bureau_officer", department="energy")


async def register(office: Office, form: dict[str, Any]) -> None:
    units = UnitRegisterIn.model_validate(form)
    await office.house.run(lambda s: register_units(s, OFFICER, units))


@pytest.mark.article("art. 4")
async def test_the_register_is_entered_whole_and_once(office: Office) -> None:
    with pytest.raises(UnitRegisterIncomplete):
        await register(office, a_register(*(a_unit(n) for n in range(18))))
    with pytest.raises(UnitRegisterIncomplete):
        await register(office, a_register(a_unit(1, "299.999")))
    assert await office.events() == []
    await register(office, a_register())
    events = await office.events()
    assert [event["subject"] for event in events] == [f"unit-{n}" for n in range(1, 19)]
    assert {event["type"] for event in events} == {"yaosu.energy.unit.registered.v1"}
    assert [event["data"]["capacity_mw"] for event in events] == [f"{c}00" for c in CAPACITIES]
    with pytest.raises(UnitRegisterStands):
        await register(office, a_register())


async def test_five_registers_at_once_are_one(office: Office) -> None:
    answers = await asyncio.gather(
        *(office.send("unit-registers", a_register(), SECOND) for _ in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert len(await office.events()) == 18
