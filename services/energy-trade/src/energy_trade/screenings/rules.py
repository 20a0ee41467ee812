"""Who may use province-stored quota: projects their county has screened. Pure."""

from energy_trade.pool.rules import DualHighNotAllowed
from marketkit.codes import COUNTIES
from marketkit.errors import Conflict, Forbidden, RuleBroken

ARTICLE = "art. 5"


class NoCounty(Forbidden):
    title = "须由县区（单位）人员对本辖区项目进行筛选"
    article = ARTICLE


class ProjectAlreadyScreened(Conflict):
    title = "该项目已经筛选"
    article = ARTICLE


class NotScreenedByCounty(RuleBroken):
    title = "项目未经所在县区（单位）筛选"
    article = ARTICLE


def county_of(region_code: str) -> str:
    """The county for which an officer of this region screens.

    Raises:
        NoCounty: art. 5, screening is a county's: the officer is of no county-level unit.
    """
    if region_code not in COUNTIES:
        raise NoCounty()
    return region_code


def check_project(is_dual_high: bool | None, *, is_dual_high_barred: bool) -> None:
    """Return if a project may get quota out of a supply.

    Args:
        is_dual_high: What its county found; None if no county has screened it.
        is_dual_high_barred: Whether the supply is for other than 两高 projects.

    Raises:
        NotScreenedByCounty: art. 5.
        DualHighNotAllowed: art. 5, the supply's own restriction.
    """
    if is_dual_high is None:
        raise NotScreenedByCounty()
    if is_dual_high and is_dual_high_barred:
        raise DualHighNotAllowed(article=ARTICLE)
