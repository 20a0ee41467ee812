"""Whose account is whose, by natural id, and what may be said of any quota. Pure."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from contracts.holdings import OwnerKind
from marketkit.codes import CITY, PROVINCE, county
from marketkit.errors import Conflict, Forbidden, NotFound, RuleBroken
from marketkit.units import TCE, Edge

# tce or t, as the asset says: both have three places.
QuantityTceOrT = Annotated[int, Edge(TCE, positive=True)]
QuantityTceOrTOrZero = Annotated[int, Edge(TCE)]


class AccountUnknown(NotFound):
    title = "账户不存在"


class LotUnknown(NotFound):
    title = "指标批次不存在"


class AccountElsewhere(Conflict):
    title = "该项目的账户登记在另一县区"


class CityOfficerRequired(Forbidden):
    title = "此操作跨县区，仅限市级人员"


class EffectiveInFuture(RuleBroken):
    title = "文件日期晚于当前日期"


@dataclass(frozen=True)
class Holder:
    """Someone quota stands with: all that opens an account, and its natural id."""

    account: str
    owner_kind: OwnerKind
    region_code: str
    uscc: str | None = None
    project_code: str | None = None


@dataclass(frozen=True)
class Restrictions:
    """What may be done with a lot."""

    is_dual_high_barred: bool
    is_locally_usable: bool
    needs_city_consent: bool
    valid_until_on: date | None = None


PROVINCE_STORE = Holder(f"province:{PROVINCE}", "PROVINCE", PROVINCE)
CITY_RETAINED = Holder(f"city:{CITY}", "CITY", CITY)
POOL = Holder(f"pool:{CITY}", "CITY", CITY)


def county_holder(region_code: str) -> Holder:
    """A county-level unit's own account.

    Raises:
        RegionUnknown: no county-level unit of this city.
    """
    code = county(region_code)
    return Holder(f"county:{code}", "COUNTY", code)


def enterprise_holder(uscc: str, project_code: str, region_code: str) -> Holder:
    """The account of an enterprise for one project, seen by the county the project stands in."""
    return Holder(
        f"enterprise:{uscc}:{project_code}", "ENTERPRISE", region_code, uscc, project_code
    )


def issuance_holder(asset: str) -> Holder:
    """The asset's other side: what was issued stands here below zero."""
    return Holder(f"issuance:{asset}", "ISSUANCE", CITY)


def check_effective(effective_on: date, today: date) -> None:
    """Return if a document's day has come.

    Raises:
        EffectiveInFuture: a fact is never told before the day of its document.
    """
    if effective_on > today:
        raise EffectiveInFuture()
