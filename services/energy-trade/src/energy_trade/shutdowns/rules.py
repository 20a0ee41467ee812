"""What a capacity shutdown frees, for whom, and which units must go. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from energy_trade.accounts.rules import Restrictions
from energy_trade.policy import Asset, Policy, Tier
from marketkit.errors import Conflict, NotFound, RuleBroken
from marketkit.units import split

TIERS: tuple[Tier, ...] = ("province", "city", "county")


class SplitCaseUndefined(RuleBroken):
    title = "该关停情形不在指标分配表内，须人工裁定"


class CoalSourceForbidden(RuleBroken):
    title = "省直调公用电厂关停腾出的煤炭指标不得作为本地新上耗煤项目的替代源"


class UnitNotOnList(RuleBroken):
    title = "该机组不属于须关停的小型抽凝煤电机组"


class UnitRetiresTooLate(RuleBroken):
    title = "机组关停日期晚于规定期限"


class UnitRegisterStands(Conflict):
    title = "机组清单已登记"


class UnitUnknown(NotFound):
    title = "该县区的清单中没有此机组"


class UnitAlreadyRetired(Conflict):
    title = "该机组已关停"


class ShutdownAlreadyRecorded(Conflict):
    title = "同一文件下的该项关停已登记"


class UnitRegisterIncomplete(Conflict):
    title = "抽凝煤电机组清单与规定的台数或总容量不符"


@dataclass(frozen=True)
class Split:
    """Shares of what a shutdown freed, in kgce or kg; they make the whole to the last one."""

    province: int
    city: int
    county: int
    share_bp: dict[Tier, int]
    compensated: dict[Tier, bool]
    usable_locally: bool

    def of(self, tier: Tier) -> int:
        return {"province": self.province, "city": self.city, "county": self.county}[tier]


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


def split_shutdown(case: str, asset: Asset, quantity_minor: int, policy: Policy) -> Split:
    """What province, city and county of origin get of the energy or coal a shutdown freed.

    Largest remainder; an equal remainder goes to the higher tier.

    Args:
        case: A case of the table; whatever is not in it waits for a ruling.
        quantity_minor: kgce of `ENERGY`, kg of `COAL`.

    Raises:
        SplitCaseUndefined: art. 4, the case stands outside the table.
    """
    rule = policy.shutdown_split
    by_asset = {str(name): row for name, row in rule.value.items()}.get(case)
    if by_asset is None:
        raise SplitCaseUndefined(article=rule.article)
    shares = by_asset[asset]
    weights = [shares.province, shares.city, shares.county]
    province, city, county = split(quantity_minor, weights)
    return Split(
        province=province,
        city=city,
        county=county,
        share_bp=dict(zip(TIERS, weights, strict=True)),
        compensated={tier: tier in shares.compensated for tier in TIERS},
        usable_locally=shares.usable_locally,
    )


def restrictions_of(tier: Tier, split: Split, policy: Policy) -> Restrictions:
    """What may be done with one tier's share, art. 4."""
    rule = policy.shutdown_restrictions.value
    return Restrictions(
        is_dual_high_barred=tier in rule.dual_high_barred,
        is_locally_usable=split.usable_locally,
        needs_city_consent=tier in rule.needs_city_consent,
    )


def check_coal_source(usable_locally: bool, policy: Policy) -> None:
    """Return if freed coal may replace the coal of a new local project.

    Args:
        usable_locally: As its split said, kept on the lot.

    Raises:
        CoalSourceForbidden: art. 4, freed by a province-dispatched public power plant.
    """
    if not usable_locally:
        raise CoalSourceForbidden(article=policy.shutdown_split.article)


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
