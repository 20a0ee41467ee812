"""How many days a plant's coal lasts, which level that is, and whose reports count. Pure."""

from dataclasses import dataclass
from datetime import date

from contracts.energy import CoalStockLevel
from energy_trade.accounts.rules import check_effective
from energy_trade.policy import Policy
from marketkit.codes import COUNTIES
from marketkit.errors import Conflict, Forbidden
from marketkit.units import DAYS

ARTICLE = "art. 7"


class CountyReporterRequired(Forbidden):
    title = "须由县区（单位）人员或系统上报本辖区电厂"
    article = ARTICLE


class ReportDiffers(Conflict):
    title = "该电厂当日数据已按另一内容上报；更正须以下一修订号提交"
    article = ARTICLE


class RevisionWrong(Conflict):
    title = "修订号应为上一修订号加一，首次上报为1"
    article = ARTICLE


@dataclass(frozen=True)
class Stock:
    """What a report says of a plant's coal on one day."""

    name: str
    stock_kg: int
    daily_burn_kg: int


@dataclass(frozen=True)
class CoalDays:
    """How long the coal lasts, in hundredths of a day, and what level that is."""

    days_e2: int
    level: CoalStockLevel

    @property
    def days(self) -> str:
        return DAYS.format(self.days_e2)


def reporting_county(region_code: str) -> str:
    """The county for whose plants a caller of this region reports.

    Raises:
        CountyReporterRequired: of no county-level unit.
    """
    if region_code not in COUNTIES:
        raise CountyReporterRequired()
    return region_code


def days_of_coal(stock_kg: int, daily_burn_kg: int, policy: Policy) -> CoalDays:
    """How long a plant's coal lasts, rounded down, and its level; reaching a threshold is enough.

    days = stock / daily burn (art. 7)
    """
    days_e2 = stock_kg * DAYS.scale // daily_burn_kg
    levels: tuple[tuple[int, CoalStockLevel], ...] = (
        (policy.coal_stock.stretch.value, "STRETCH"),
        (policy.coal_stock.target.value, "TARGET"),
        (policy.coal_stock.floor.value, "OK"),
    )
    reached = (level for days, level in levels if stock_kg >= days * daily_burn_kg)
    return CoalDays(days_e2, next(reached, "BREACH"))


def check_report(
    stock: Stock, revision: int, *, known: dict[int, Stock], effective_on: date, today: date
) -> bool:
    """Whether a report is new; False if the same was said before, which has no effect.

    Args:
        stock: What is reported.
        revision: 1, or one more than the last: a correction says that it is one.
        known: What was said before of the same plant and day, by revision.
        effective_on: The day the stock was counted.
        today: The day of the command's instant.

    Raises:
        EffectiveInFuture: a day that has not come.
        ReportDiffers: this revision was said before, with another content.
        RevisionWrong: not the next one.
    """
    check_effective(effective_on, today)
    if revision in known:
        if known[revision] != stock:
            raise ReportDiffers()
        return False
    if revision != len(known) + 1:
        raise RevisionWrong()
    return True
