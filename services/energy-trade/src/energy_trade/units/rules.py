"""The extraction-condensing coal units that must go, and which still run. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from energy_trade.policy import Policy
from marketkit.errors import Conflict, NotFound, RuleBroken


class UnitNotOnList(RuleBroken):
    title = "该机组不属于须关停的小型抽凝煤电机组"


class UnitRetiresTooLate(RuleBroken):
    title = "机组关停日期晚于规定期限"


class UnitRegisterStands(Conflict):
    title = "机组清单已登记"
    article = "art. 4"


class UnitUnknown(NotFound):
    title = "该县区的清单中没有此机组"
    article = "art. 4"


class UnitAlreadyRetired(Conflict):
    title = "该机组已关停"
    article = "art. 4"


class UnitRegisterIncomplete(Conflict):
    title = "抽凝煤电机组清单与规定的台数或总容量不符"


@dataclass(frozen=True)
class Unit:
    """One extraction-condensing coal unit of the register."""

    capacity_kw: int
    retires_on: date
    retired_on: date | None = None


@dataclass(frozen=True)
class Remaining:
    """Units that still run on a day."""

    count: int
    capacity_kw: int


def check_unit(unit: Unit, policy: Policy) -> None:
    """Return if the unit may stand in the register with this timetable.

    Raises:
        UnitNotOnList: art. 4, as large as the units that may stay, or larger.
        UnitRetiresTooLate: art. 4, planned past the last day.
    """
    register = policy.unit_register
    if unit.capacity_kw >= register.unit_capacity_below.value:
        raise UnitNotOnList(article=register.unit_capacity_below.article)
    if unit.retires_on > register.retired_by.value:
        raise UnitRetiresTooLate(article=register.retired_by.article)


def check_register(units: Sequence[Unit], policy: Policy) -> None:
    """Return if the register holds the units the plan counts, all of them and no more.

    Raises:
        UnitRegisterIncomplete: art. 4, another number of units, or another capacity in all.
    """
    register = policy.unit_register
    if len(units) != register.count.value:
        raise UnitRegisterIncomplete(
            f"应为{register.count.value}台，现有{len(units)}台", article=register.count.article
        )
    capacity_kw = sum(unit.capacity_kw for unit in units)
    if capacity_kw != register.capacity.value:
        raise UnitRegisterIncomplete(
            f"总容量应为{register.capacity.value}千瓦，现为{capacity_kw}千瓦",
            article=register.capacity.article,
        )


def check_unit_runs(unit: Unit | None) -> None:
    """Return if a unit of the register may be shut.

    Args:
        unit: None where the register of the county of origin does not hold it.

    Raises:
        UnitUnknown: not there.
        UnitAlreadyRetired: shut before.
    """
    if unit is None:
        raise UnitUnknown()
    if unit.retired_on is not None:
        raise UnitAlreadyRetired()


def remaining_units(units: Sequence[Unit], on: date) -> Remaining:
    """Units that still run at the end of a day."""
    running = [unit for unit in units if unit.retired_on is None or unit.retired_on > on]
    return Remaining(len(running), sum(unit.capacity_kw for unit in running))
